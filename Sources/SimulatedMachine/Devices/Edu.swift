/// QEMU's `edu` device: liveness, factorials, interrupts, and a DMA engine with a 4096-byte buffer.
///
/// Registers and behaviour as in QEMU's `docs/specs/edu.rst`: what a driver writes for it runs on
/// QEMU's own. It drives 28 address bits unless told otherwise; higher ones are dropped silently,
/// as there. A transfer that overruns its buffer is refused and recorded; QEMU 7.2 instead
/// ends the virtual machine, even when the buffer is only filled to the last byte.
public final class Edu: SimulatedDevice {
  /// How an `edu` differs from the default one.
  public struct Configuration: Sendable {
    /// The highest address the engine drives: `dma_mask` of QEMU's device.
    public var mask: UInt64 = 1 << 28 - 1
    /// How long a transfer or a factorial takes, in nanoseconds of the machine's time.
    public var latency: UInt64 = 20_000

    public init() {}
  }

  private enum Register {
    static let identification = 0x00
    static let liveness = 0x04
    static let factorial = 0x08
    static let status = 0x20
    static let interruptStatus = 0x24
    static let interruptRaise = 0x60
    static let interruptAcknowledge = 0x64
    static let source = 0x80
    static let destination = 0x88
    static let count = 0x90
    static let command = 0x98
  }

  private enum Status {
    static let computing: UInt32 = 1 << 0
    static let interruptWhenDone: UInt32 = 1 << 7
  }

  private enum Command {
    static let start: UInt64 = 1 << 0
    static let toMemory: UInt64 = 1 << 1
    static let interruptWhenDone: UInt64 = 1 << 2
  }

  private enum Interrupt {
    static let factorial: UInt32 = 0x001
    static let transfer: UInt32 = 0x100
  }

  private enum Work {
    static let factorial: UInt64 = 0
    static let transfer: UInt64 = 1
  }

  /// Where the device's own buffer begins, as its registers count.
  public static let bufferStart: UInt64 = 0x40000
  /// How many bytes the buffer has.
  public static let bufferByteCount = 4096

  private let options: Configuration
  private var liveness: UInt32 = 0
  private var factorial: UInt32 = 0
  private var status: UInt32 = 0
  private var interruptStatus: UInt32 = 0
  private var source: UInt64 = 0
  private var destination: UInt64 = 0
  private var count: UInt64 = 0
  private var command: UInt64 = 0
  private var buffer = [UInt8](repeating: 0, count: Edu.bufferByteCount)

  public init(_ options: Configuration = Configuration()) {
    self.options = options
    super.init(
      identity: PCIIdentity(
        vendorID: 0x1234, deviceID: 0x11e8, classCode: 0x00ff00, revision: 0x10),
      bars: [SimulatedBAR(index: 0, byteCount: 1 << 20)], msiVectorCount: 1)
  }

  public override func reset() {
    (liveness, factorial, status, interruptStatus) = (0, 0, 0, 0)
    (source, destination, count, command) = (0, 0, 0, 0)
    buffer = [UInt8](repeating: 0, count: Self.bufferByteCount)
  }

  /// Below 0x80 registers have 4 bytes, from there on 4 or 8.
  private static func isAccessible(_ offset: Int, _ byteCount: Int) -> Bool {
    byteCount == 4 || (byteCount == 8 && offset >= Register.source)
  }

  public override func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    guard Self.isAccessible(offset, byteCount) else { return .max }
    return switch offset {
    // Version 1.0, and "edu" as far as hexadecimal goes.
    case Register.identification: 0x0100_00ed
    case Register.liveness: UInt64(liveness)
    case Register.factorial: UInt64(factorial)
    case Register.status: UInt64(status)
    case Register.interruptStatus: UInt64(interruptStatus)
    case Register.source: source
    case Register.destination: destination
    case Register.count: count
    case Register.command: command
    default: .max
    }
  }

  public override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    guard Self.isAccessible(offset, byteCount) else { return }
    let word = UInt32(truncatingIfNeeded: value)
    switch offset {
    case Register.liveness: liveness = ~word
    case Register.factorial:
      guard status & Status.computing == 0 else { return }
      factorial = word
      status |= Status.computing
      schedule(after: options.latency, tag: Work.factorial)
    case Register.status:
      // The computing bit is the device's own.
      status = status & ~Status.interruptWhenDone | word & Status.interruptWhenDone
    case Register.interruptRaise: raise(word)
    case Register.interruptAcknowledge:
      interruptStatus &= ~word
      if interruptStatus == 0 { setInterruptWire(false) }
    case Register.source, Register.destination, Register.count, Register.command:
      writeTransferRegister(value, offset)
    default: break
    }
  }

  /// Nothing of a running transfer can be changed.
  private func writeTransferRegister(_ value: UInt64, _ offset: Int) {
    guard command & Command.start == 0 else { return }
    switch offset {
    case Register.source: source = value
    case Register.destination: destination = value
    case Register.count: count = value
    default:
      guard value & Command.start != 0 else { return }
      command = value
      schedule(after: options.latency, tag: Work.transfer)
    }
  }

  public override func step(now: UInt64, tag: UInt64) {
    if tag == Work.factorial { computeFactorial() } else { transfer() }
  }

  private func computeFactorial() {
    guard status & Status.computing != 0 else { return }
    var result: UInt32 = 1
    var factor = factorial
    // 34! is a multiple of 2^32, so a large number is done early.
    while factor > 0, result != 0 {
      result &*= factor
      factor -= 1
    }
    factorial = result
    status &= ~Status.computing
    if status & Status.interruptWhenDone != 0 { raise(Interrupt.factorial) }
  }

  private func transfer() {
    guard command & Command.start != 0 else { return }
    let isWrite = command & Command.toMemory != 0
    let inner = isWrite ? source : destination
    let outer = isWrite ? destination : source
    let size = UInt64(Self.bufferByteCount)
    if inner >= Self.bufferStart, inner - Self.bufferStart <= size,
      count <= size - (inner - Self.bufferStart)
    {
      move(outer, Int(inner - Self.bufferStart), Int(count), isWrite)
    } else {
      let shown = Int(truncatingIfNeeded: min(count, UInt64(Int.max)))
      report(.outOfDeviceRange, address: inner, byteCount: shown, isWrite: isWrite)
    }
    let interrupts = command & Command.interruptWhenDone != 0
    command &= ~Command.start
    if interrupts { raise(Interrupt.transfer) }
  }

  private func move(_ address: UInt64, _ start: Int, _ count: Int, _ isWrite: Bool) {
    let reached = address & options.mask
    if reached != address {
      report(.clamped(given: address), address: reached, byteCount: count, isWrite: isWrite)
    }
    // SAFETY: start and count were checked against the buffer's size.
    unsafe buffer.withUnsafeMutableBytes { bytes in
      let part = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count])
      if isWrite {
        _ = unsafe writeMemory(reached, from: UnsafeRawBufferPointer(part))
      } else {
        _ = unsafe readMemory(reached, into: part)
      }
    }
  }

  private func raise(_ bits: UInt32) {
    interruptStatus |= bits
    guard interruptStatus != 0 else { return }
    if hasMessageInterrupts { signal() } else { setInterruptWire(true) }
  }
}
