/// One piece of memory as a device is told of it.
@frozen
public struct DMASegment: Equatable, Sendable {
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

/// The segments of a mapped list, in the order of its bytes (R88).
///
/// Exactly as many as the device is to use; a place behind them traps.
@frozen
@safe
public struct DMASegmentList: ~Escapable {
  @usableFromInline let entries: UnsafePointer<ScatterEntry>
  /// How many there are.
  public let count: Int

  @_lifetime(immortal)
  init(_ entries: UnsafePointer<ScatterEntry>, count: Int) {
    unsafe self.entries = entries
    self.count = count
  }

  /// The places of all segments.
  @inlinable
  public var indices: Range<Int> { 0..<count }

  @inlinable
  public subscript(index: Int) -> DMASegment {
    precondition(index >= 0 && index < count, "the list has fewer segments")
    // SAFETY: the first `count` entries hold segments while the mapping is borrowed.
    return unsafe DMASegment(
      address: DMAAddress(rawValue: entries[index].dmaAddress),
      byteCount: entries[index].dmaByteCount)
  }
}
