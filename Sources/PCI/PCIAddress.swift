/// Where a PCI function sits: segment, bus, device, function.
@frozen
public struct PCIAddress: Equatable, Sendable {
  public let segment: UInt16
  public let bus: UInt8
  /// 0 to 31.
  public let device: UInt8
  /// 0 to 7.
  public let function: UInt8

  /// Traps when device or function is out of range.
  public init(segment: UInt16 = 0, bus: UInt8, device: UInt8, function: UInt8 = 0) {
    precondition(device < 32 && function < 8, "a bus has 32 devices of 8 functions")
    self.segment = segment
    self.bus = bus
    self.device = device
    self.function = function
  }

  /// segment << 16 | bus << 8 | device << 3 | function: the low half is the requester id that
  /// IOMMUs see.
  public var packed: UInt32 {
    UInt32(segment) << 16 | UInt32(bus) << 8 | UInt32(device) << 3 | UInt32(function)
  }

  /// The reverse of `packed`.
  public init(packed: UInt32) {
    segment = UInt16(truncatingIfNeeded: packed >> 16)
    bus = UInt8(truncatingIfNeeded: packed >> 8)
    device = UInt8(truncatingIfNeeded: packed >> 3) & 31
    function = UInt8(truncatingIfNeeded: packed) & 7
  }
}

#if !hasFeature(Embedded)
  // Without an operating system, hashing would ask every port for random seeds.
  extension PCIAddress: Hashable {}
#endif

extension PCIAddress: CustomStringConvertible {
  /// The address as Linux writes it, like `0000:00:02.0`.
  public var description: String {
    Self.hex(UInt(segment), 4) + ":" + Self.hex(UInt(bus), 2) + ":" + Self.hex(UInt(device), 2)
      + "." + String(function)
  }

  private static func hex(_ value: UInt, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
