internal import CQEMUHost
internal import DMA
internal import MachineHost
internal import MachineMemory
internal import PCI
internal import Synchronization

/// A QEMU and the RAM it shares with this process: what the platform and its PCI call.
///
/// Outlives `QEMUMachine` as long as buffers do: their memory stays, QEMU does not.
@safe
final class QEMUHost: Sendable {
  let name: String
  let memory: PhysicalMemory
  let pages: PageAllocator
  let interrupts: InterruptPage
  let client: QTestClient
  let process: QEMUProcess
  let pace = WaitPace(idle: 20_000_000)
  let startNanoseconds = MonotonicClock.nanoseconds
  /// For windows onto registers that are not behind a BAR.
  nonisolated(unsafe) let registerOperations: UnsafeMutablePointer<RegisterOperations>
  private let firstFailure = HostLock<QEMUError?>(nil)
  private let isStopping = Atomic<Bool>(false)

  /// Starts QEMU and waits until it answers.
  ///
  /// - Throws: `QEMUError`; nothing is left running.
  init(_ configuration: QEMUMachine.Configuration) throws(QEMUError) {
    try configuration.validate()
    let path = try QEMUExecutable.find(
      configuration.executable, searchPath: configuration.searchPath)
    do throws(DMAError) {
      // QEMU's devices write where they like, and tell nobody.
      memory = try PhysicalMemory(
        MemoryMap(
          byteCount: configuration.memoryByteCount, lowByteCount: configuration.lowMemory),
        isEveryWriteSeen: false)
      pages = try PageAllocator(memory)
    } catch {
      // ENOMEM.
      throw .host(call: "mmap", code: 12)
    }
    interrupts = InterruptPage(
      unsafeCPUAddress: memory.linearAddress(InterruptPage.physicalAddress))
    let firmware = try Descriptor.memory("parked-firmware", ParkedFirmware.image)
    let sockets = try SocketPair()
    name = Self.uniqueName()
    process = try QEMUProcess(
      path: path, arguments: configuration.commandLine(name: name),
      descriptors: [sockets.theirs.number, memory.object, firmware.number])
    client = QTestClient(
      socket: sockets.takeOurs(),
      replyTimeoutMilliseconds: configuration.startTimeoutMilliseconds)
    unsafe registerOperations = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one table.
    unsafe registerOperations.initialize(to: MachineTables.registerOperations)
    try meet()
    client.setReplyTimeout(milliseconds: configuration.replyTimeoutMilliseconds)
  }

  deinit {
    process.end(milliseconds: 0)
    unsafe registerOperations.deinitialize(count: 1)
    unsafe registerOperations.deallocate()
  }

  /// What the process is found by: no other machine of any process has it.
  private static func uniqueName() -> String {
    "swift-dma-\(qemu_host_own_process_id())-" + String(qemu_host_random(), radix: 16)
  }

  /// The first question, which shows that this is the machine that was asked for.
  private func meet() throws(QEMUError) {
    // q35's host bridge (Intel MCH).
    let expected: UInt64 = 0x29c0_8086
    let command = QTestCommand.input(4, ConfigurationPort.data)
    let found: UInt64
    do throws(QTestFailure) {
      found = try client.ask(.output(4, ConfigurationPort.address, 0x8000_0000), command)
    } catch {
      switch error {
      case .closed:
        let exit = process.exit(waiting: 500) ?? process.end(milliseconds: 0)
        throw .startFailed(message: process.diagnostics, exit: exit)
      case .malformed(let command, let reply):
        process.end(milliseconds: 0)
        throw .protocolViolation(command: command, reply: reply)
      case .silent(_, let milliseconds):
        let exit = process.end(milliseconds: 0)
        throw .startFailed(
          message: "no answer within \(milliseconds) ms. \(process.diagnostics)", exit: exit)
      }
    }
    guard found == expected else {
      process.end(milliseconds: 0)
      throw .protocolViolation(
        command: command.text, reply: "a host bridge 0x\(String(found, radix: 16))")
    }
  }

  // MARK: Failures

  /// Why the machine is gone; nil while it is not.
  var failure: QEMUError? {
    if let failure = firstFailure.withLock({ $0 }) { return failure }
    guard let exit = process.exit() else { return nil }
    return record(isStopped ? .stopped : .died(exit: exit, message: process.diagnostics))
  }

  // Relaxed: only picks the error's name.
  private var isStopped: Bool { isStopping.load(ordering: .relaxed) }

  /// Keeps the first failure, and returns it.
  @discardableResult
  private func record(_ failure: QEMUError) -> QEMUError {
    firstFailure.withLock { first in
      if let first { return first }
      first = failure
      return failure
    }
  }

  /// Finds out what became of QEMU; makes sure that it writes no more memory.
  func fail(_ failure: QTestFailure) {
    guard firstFailure.withLock({ $0 == nil }) else { return }
    if isStopped {
      record(.stopped)
      return
    }
    switch failure {
    case .closed:
      // It closes its end while it is dying.
      let exit = process.exit(waiting: 500) ?? process.end(milliseconds: 0)
      record(isStopped ? .stopped : .died(exit: exit, message: process.diagnostics))
    case .malformed(let command, let reply):
      process.end(milliseconds: 0)
      record(.protocolViolation(command: command, reply: reply))
    case .silent(let command, let milliseconds):
      process.end(milliseconds: 0)
      record(.noReply(command: command, milliseconds: milliseconds))
    }
  }

  /// Ends QEMU: at most 2 s for its own way, and 1 s for the kernel's.
  func stop() {
    isStopping.store(true, ordering: .relaxed)
    process.end(milliseconds: 2000)
    record(.stopped)
  }
}
