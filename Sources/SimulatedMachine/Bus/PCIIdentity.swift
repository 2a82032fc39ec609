/// What a device says it is.
public struct PCIIdentity: Equatable, Sendable {
  public var vendorID: UInt16
  public var deviceID: UInt16
  /// Class, subclass and programming interface in 24 bits.
  public var classCode: UInt32
  public var revision: UInt8
  public var subsystemVendorID: UInt16
  public var subsystemID: UInt16

  public init(
    vendorID: UInt16, deviceID: UInt16, classCode: UInt32, revision: UInt8 = 0,
    subsystemVendorID: UInt16 = 0x1af4, subsystemID: UInt16 = 0x1100
  ) {
    self.vendorID = vendorID
    self.deviceID = deviceID
    self.classCode = classCode
    self.revision = revision
    self.subsystemVendorID = subsystemVendorID
    self.subsystemID = subsystemID
  }
}

/// A window of registers that a device has.
public struct SimulatedBAR: Equatable, Sendable {
  /// 0 to 5; a 64-bit one takes the next as well.
  public let index: Int
  /// A power of two of at least 16.
  public let byteCount: UInt64
  public let is64Bit: Bool

  /// Traps on what no hardware could have.
  public init(index: Int, byteCount: UInt64, is64Bit: Bool = false) {
    precondition(
      byteCount >= 16 && byteCount & (byteCount - 1) == 0, "a BAR's size is a power of two")
    precondition(index >= 0 && index < (is64Bit ? 5 : 6), "a function has six BAR registers")
    precondition(is64Bit || byteCount <= 1 << 31, "a 32-bit BAR has at most 2 GiB")
    self.index = index
    self.byteCount = byteCount
    self.is64Bit = is64Bit
  }
}

/// Where a device keeps its MSI-X table and pending bits.
public struct MSIXLayout: Equatable, Sendable {
  public let bar: Int
  public let vectorCount: Int
  public let tableOffset: Int
  public let pendingOffset: Int

  /// Offsets are multiples of 8 within the BAR; traps on what no hardware could have.
  public init(bar: Int, vectorCount: Int, tableOffset: Int, pendingOffset: Int) {
    precondition(vectorCount >= 1 && vectorCount <= 2048, "MSI-X has 1 to 2048 vectors")
    precondition(tableOffset % 8 == 0 && pendingOffset % 8 == 0, "MSI-X offsets are aligned to 8")
    self.bar = bar
    self.vectorCount = vectorCount
    self.tableOffset = tableOffset
    self.pendingOffset = pendingOffset
  }
}
