/// What a pool does besides handing out blocks.
@frozen
public struct DMAPoolOptions: OptionSet, Sendable {
  public let rawValue: UInt32
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Free blocks hold 0xa7 and new ones 0xa9, and a free block that was written is reported when
  /// it is allocated (R63).
  ///
  /// Costs time in proportion to the block.
  @inlinable
  public static var poisoned: DMAPoolOptions { DMAPoolOptions(rawValue: 1) }
  /// Every block is zero when allocated; without it a block holds what its last owner left (T21).
  @inlinable
  public static var zeroed: DMAPoolOptions { DMAPoolOptions(rawValue: 2) }
}
