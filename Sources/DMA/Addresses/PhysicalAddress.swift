/// An address of the machine's memory as the machine itself counts it.
///
/// For those who write machines and mappings. No call of the driver-facing API takes or gives one.
@frozen
public struct PhysicalAddress: Equatable, Comparable, Sendable {
  /// The number as the machine counts it.
  public let rawValue: UInt64

  /// Wraps a number of the machine's memory map.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  public static func < (left: PhysicalAddress, right: PhysicalAddress) -> Bool {
    left.rawValue < right.rawValue
  }
}

#if !hasFeature(Embedded)
  // Without an operating system, hashing would ask every port for random seeds.
  extension PhysicalAddress: Hashable {}
#endif

extension PhysicalAddress: CustomStringConvertible {
  /// The address in hexadecimal, marked as physical.
  public var description: String { "phys 0x" + String(rawValue, radix: 16) }
}
