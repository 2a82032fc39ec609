/// One piece of memory as a device is told of it.
@frozen
public struct DMASegment: Equatable, Sendable, BitwiseCopyable {
  /// Its first byte.
  public let address: DMAAddress
  /// How many bytes there are.
  public let byteCount: Int

  @inlinable
  public init(address: DMAAddress, byteCount: Int) {
    self.address = address
    self.byteCount = byteCount
  }
}
