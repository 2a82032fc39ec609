/// An address a device uses to reach memory: what goes into its registers and descriptors.
///
/// The value means something only to devices on the bus it was made for (R47). It never converts
/// to or from a pointer or a `PhysicalAddress` (R6, R102, R103): a driver keeps the handles it is
/// given.
@frozen
public struct DMAAddress: Equatable, Comparable, Sendable {
  /// The number as the device is told it.
  public let rawValue: UInt64

  /// Wraps a number that came from a device, a register or a trace.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The address `byteCount` bytes further on; traps when that wraps.
  @inlinable
  public func advanced(by byteCount: Int) -> DMAAddress {
    precondition(byteCount >= 0, "a bus address only advances")
    return DMAAddress(rawValue: rawValue + UInt64(byteCount))
  }

  @inlinable
  public static func < (left: DMAAddress, right: DMAAddress) -> Bool {
    left.rawValue < right.rawValue
  }
}

#if !hasFeature(Embedded)
  // Without an operating system, hashing would ask every port for random seeds.
  extension DMAAddress: Hashable {}
#endif

extension DMAAddress: CustomStringConvertible {
  /// The address in hexadecimal, as Linux prints it.
  public var description: String { "0x" + String(rawValue, radix: 16) }
}
