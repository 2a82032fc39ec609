/// An access that an IOMMU refused (R78): who, where, and why.
@frozen
public struct IOMMUFault: Equatable, Sendable {
  /// The device: bus, device and function in 8, 5 and 3 bits.
  public let requester: UInt16
  /// The bus address; its low 12 bits are zero where the unit reports pages.
  public let address: UInt64
  /// Whether the device wanted to write.
  public let isWrite: Bool
  /// The reason as the unit numbers it.
  public let code: UInt8

  public init(requester: UInt16, address: UInt64, isWrite: Bool, code: UInt8) {
    self.requester = requester
    self.address = address
    self.isWrite = isWrite
    self.code = code
  }

  /// What the reason means for whoever mapped, or did not.
  @frozen
  public enum Reason: UInt8, Sendable {
    /// The device is attached to no domain.
    case noDomain
    /// The tables that say which domain a device has are broken.
    case invalidContext
    /// The address is wider than the domain translates.
    case addressTooWide
    /// Written, and nothing is mapped there that may be: unmapped, or read-only.
    case writeNotPermitted
    /// Read, and nothing is mapped there that may be: unmapped, or write-only.
    case readNotPermitted
    /// A page table could not be read, or has bits it must not have.
    case invalidTable
    /// Something else.
    case other
  }

  /// The reason by VT-d's numbers (VT-d specification, "Fault Reason Encodings").
  public var reason: Reason {
    switch code {
    case 1, 2: .noDomain
    case 3, 8, 9, 0xa, 0xb: .invalidContext
    case 4: .addressTooWide
    case 5: .writeNotPermitted
    case 6: .readNotPermitted
    case 7, 0xc: .invalidTable
    default: .other
    }
  }
}

extension IOMMUFault: CustomStringConvertible {
  /// One line for a log: device, access, address, reason.
  public var description: String {
    let hex = { (value: UInt16, digits: Int) in
      let text = String(value, radix: 16)
      return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
    let device =
      hex(requester >> 8, 2) + ":" + hex(requester >> 3 & 31, 2) + "." + hex(requester & 7, 1)
    let words =
      switch reason {
      case .noDomain: "the device has no domain"
      case .invalidContext: "its domain's entry is invalid"
      case .addressTooWide: "the address is wider than is translated"
      case .writeNotPermitted: "not mapped for writing"
      case .readNotPermitted: "not mapped for reading"
      case .invalidTable: "a page table is invalid"
      case .other: "other"
      }
    return "device \(device) \(isWrite ? "write" : "read") at 0x\(String(address, radix: 16)) "
      + "refused: \(words) (reason 0x\(String(code, radix: 16)))"
  }
}
