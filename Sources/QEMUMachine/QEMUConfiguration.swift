public import DMA

extension QEMUMachine {
  /// What machine to build.
  public struct Configuration: Sendable {
    /// RAM in bytes: whole MiB, at least 32.
    ///
    /// It is sparse: the host pays for what is touched.
    public var memoryByteCount: UInt64 = 256 << 20
    /// How much of the RAM lies below 4 GiB; the rest begins there.
    ///
    /// Whole MiB, 32 MiB to 2816 MiB. Nil is QEMU's own rule for q35: everything up to 2816 MiB,
    /// else 2 GiB.
    public var lowMemoryByteCount: UInt64?
    /// What sits on the PCI bus, in order; see `QEMUMachine.address(of:)`.
    public var devices: [Device] = []
    /// Whether there is a VT-d unit (at 0xfed90000, translation off as after reset).
    public var hasIOMMU = false
    /// More of QEMU's own arguments, such as `-netdev` for a network card.
    public var arguments: [String] = []
    /// The program: a name to look for on `searchPath`, or a path.
    public var executable = "qemu-system-x86_64"
    /// Folders with colons between them; nil is the environment's PATH.
    public var searchPath: String?
    /// How long QEMU may take to start.
    public var startTimeoutMilliseconds = 15_000
    /// How long QEMU may take to begin an answer; it then counts as hung.
    public var replyTimeoutMilliseconds = 5_000

    /// A machine with 256 MiB and no device.
    public init() {}

    /// A machine with 256 MiB and these devices.
    public init(devices: [Device]) { self.devices = devices }
  }

  /// A device model of QEMU's.
  public enum Device: Sendable, Equatable {
    /// The teaching device (1234:11e8).
    ///
    /// It silently clears the address bits that `dmaMask` lacks.
    case edu(dmaMask: DMAMask = DMAMask(bitCount: 28))
    /// An NVMe controller with one namespace: a raw image file.
    ///
    /// An anonymous memory object of this process does as well, as `/proc/PID/fd/NUMBER`.
    case nvme(image: String, isReadOnly: Bool)
    /// Any other PCI device: what QEMU's `-device` takes, without `bus` and `addr`.
    case other(String)
  }
}

extension QEMUMachine.Configuration {
  /// The first of the slots that devices get; the machine's own are 0 and 31.
  static let firstSlot = 2
  static let slotCount = 29
  private static let mebibyte: UInt64 = 1 << 20
  /// Above it q35 has its memory-mapped configuration space.
  private static let lowMemoryMax: UInt64 = 0xb000_0000

  /// How much RAM lies below 4 GiB, as q35 itself decides it.
  var lowMemory: UInt64 {
    if let lowMemoryByteCount { return min(lowMemoryByteCount, memoryByteCount) }
    return memoryByteCount < Self.lowMemoryMax ? memoryByteCount : 0x8000_0000
  }

  /// Refuses what QEMU would refuse later or, worse, would round.
  func validate() throws(QEMUError) {
    guard memoryByteCount >= 32 * Self.mebibyte, memoryByteCount % Self.mebibyte == 0,
      memoryByteCount <= 512 << 30
    else { throw .invalidConfiguration("RAM is 32 MiB to 512 GiB in whole MiB") }
    if let low = lowMemoryByteCount {
      guard low >= 32 * Self.mebibyte, low <= Self.lowMemoryMax, low % Self.mebibyte == 0 else {
        throw .invalidConfiguration("RAM below 4 GiB is 32 to 2816 MiB in whole MiB")
      }
    }
    guard devices.count <= Self.slotCount else {
      throw .invalidConfiguration("\(devices.count) devices, the bus has \(Self.slotCount) slots")
    }
    for case .nvme(let image, _) in devices where image.isEmpty {
      throw .invalidConfiguration("an NVMe image has a path")
    }
  }
}
