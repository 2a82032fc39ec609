/// One entry of a scatter list: the CPU's view, and beside it what the device was given.
///
/// The first three fields are the list's own; mapping and unmapping leave them as they were (R91).
/// The last two are valid between a successful map and its unmap, for the first entries up to the
/// segment count the map returned; entries behind those hold all ones and zero.
@frozen
public struct ScatterEntry: BitwiseCopyable, Sendable {
  /// Where the CPU sees the bytes.
  public let cpuAddress: UInt
  /// Where the machine has them.
  public let physicalAddress: UInt64
  /// How many there are.
  public let byteCount: Int
  /// The bus address of this segment.
  public var dmaAddress: UInt64
  /// How many bytes this segment has; entries may have been merged into it.
  public var dmaByteCount: Int

  /// An entry that is not mapped.
  @inlinable
  public init(cpuAddress: UInt, physicalAddress: UInt64, byteCount: Int) {
    self.cpuAddress = cpuAddress
    self.physicalAddress = physicalAddress
    self.byteCount = byteCount
    self.dmaAddress = .max
    self.dmaByteCount = 0
  }
}
