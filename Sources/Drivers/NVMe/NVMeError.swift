public import DMA
public import PCI

/// Why an NVMe controller or its driver could not do something.
///
/// After `timedOut`, `died`, `gone`, `unknownCompletion` and `duplicateCompletion` the controller
/// is stopped: disabled, its bus mastering off, so that memory is safe from it. Every later call
/// throws `stopped`; a retry needs a new `NVMeDevice`.
public enum NVMeError: Error, Equatable, Sendable {
  /// The function is of another class.
  case notNVMe(classCode: UInt32)
  /// The controller needs larger pages than 4096 bytes, or lacks the NVM command set.
  case unsupported(capabilities: UInt64)
  /// The controller did not become ready, or idle, in time.
  case notReady(milliseconds: Int)
  /// The controller reports that it is dead.
  case died
  /// Nobody answers any more: all registers read as ones.
  case gone
  /// The controller refused a command or failed to do it.
  case failed(NVMeStatus)
  /// No command completed in time.
  case timedOut(milliseconds: Int)
  /// The controller completed a command that it was never given.
  case unknownCompletion(queue: UInt16, id: UInt16)
  /// The controller completed a command that had completed already.
  case duplicateCompletion(queue: UInt16, id: UInt16)
  /// The driver stopped the controller before; whatever was running did not complete.
  case stopped
  /// The controller has no namespace with this number, or an inactive one.
  case noNamespace(UInt32)
  /// The namespace takes no writes.
  case readOnly(namespace: UInt32)
  /// The blocks do not all lie in the namespace.
  case outOfRange(firstBlock: UInt64, blockCount: UInt64, limit: UInt64)
  /// A transfer has whole blocks, at least one.
  case partialBlock(byteCount: Int, blockByteCount: Int)
  /// A single command moves fewer bytes: split it, or make a synchronous call, which does.
  case tooLong(byteCount: Int, limit: Int)
  /// Memory must begin at a multiple of 4; inside of a list, segments must meet at multiples of
  /// 4096.
  case misaligned(DMAAddress)
  /// All places for commands are taken; a retry after a completion can help.
  case queueFull
  /// A synchronous call needs a queue without running commands.
  case queueBusy(runningCount: Int)
  case dma(DMAError)
  case pci(PCIError)
}

extension NVMeError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notNVMe(let classCode):
      "not an NVMe controller: class 0x\(String(classCode, radix: 16))"
    case .unsupported(let capabilities):
      "the controller lacks 4096-byte pages or the NVM command set"
        + " (capabilities 0x\(String(capabilities, radix: 16)))"
    case .notReady(let milliseconds): "the controller was not ready after \(milliseconds) ms"
    case .died: "the controller reports a fatal error; it was stopped"
    case .gone: "the controller does not answer any more"
    case .failed(let status): "the controller failed a command: \(status)"
    case .timedOut(let milliseconds):
      "the controller completed nothing for \(milliseconds) ms; it was stopped"
    case .unknownCompletion(let queue, let id):
      "the controller completed command 0x\(String(id, radix: 16)) of queue \(queue), which nobody"
        + " gave it; it was stopped"
    case .duplicateCompletion(let queue, let id):
      "the controller completed command 0x\(String(id, radix: 16)) of queue \(queue) twice;"
        + " it was stopped"
    case .stopped: "the controller was stopped"
    case .noNamespace(let id): "the controller has no namespace \(id)"
    case .readOnly(let id): "namespace \(id) is read-only"
    case .outOfRange(let firstBlock, let blockCount, let limit):
      "\(blockCount) blocks from block \(firstBlock) on: the disk has \(limit)"
    case .partialBlock(let byteCount, let blockByteCount):
      "\(byteCount) bytes: a transfer has whole blocks of \(blockByteCount) bytes"
    case .tooLong(let byteCount, let limit):
      "\(byteCount) bytes in one command: this controller takes \(limit)"
    case .misaligned(let address): "memory at \(address) is not aligned as the controller needs it"
    case .queueFull: "all places for commands are taken"
    case .queueBusy(let runningCount):
      "\(runningCount) commands are running: a synchronous call needs an idle queue"
    case .dma(let error): "\(error.description)"
    case .pci(let error): "\(error.description)"
    }
  }
}
