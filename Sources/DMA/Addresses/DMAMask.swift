/// The address bits a device can drive: its low `bitCount` bits.
///
/// A mask has no holes. Zero bits reach nothing and are not a mask; a number with holes is
/// refused by `init(rawValue:)` (R15-R17).
@frozen
public struct DMAMask: Equatable, Sendable {
  /// The highest address the device can reach: 2^bitCount - 1.
  public let rawValue: UInt64

  /// The mask of a device that drives `bitCount` address bits.
  ///
  /// - Parameter bitCount: 1 to 64; anything else traps.
  @inlinable
  public init(bitCount: Int) {
    precondition(bitCount >= 1 && bitCount <= 64, "a mask has 1 to 64 bits")
    self.rawValue = UInt64.max >> UInt64(64 - bitCount)
  }

  /// The mask with these bits, or nil when it is zero or has holes.
  @inlinable
  public init?(rawValue: UInt64) {
    guard rawValue != 0, rawValue & (rawValue &+ 1) == 0 else { return nil }
    self.rawValue = rawValue
  }

  @usableFromInline
  init(trusted rawValue: UInt64) { self.rawValue = rawValue }

  /// How many address bits the device drives.
  @inlinable
  public var bitCount: Int { 64 - rawValue.leadingZeroBitCount }

  /// ISA-style devices: 16 MiB (R29, R45).
  public static let bits24 = DMAMask(trusted: 0xff_ffff)
  /// The default of a new device: 4 GiB (R15).
  public static let bits32 = DMAMask(trusted: 0xffff_ffff)
  /// Devices without a limit.
  public static let bits64 = DMAMask(trusted: .max)
}

#if !hasFeature(Embedded)
  // Without an operating system, hashing would ask every port for random seeds.
  extension DMAMask: Hashable {}
#endif

extension DMAMask: CustomStringConvertible {
  /// The mask in hexadecimal, with its bit count.
  public var description: String { "0x\(String(rawValue, radix: 16)) (\(bitCount) bits)" }
}
