/// Why ACPI's tables cannot be used.
///
/// The same memory never succeeds later.
public enum ACPIError: Error, Equatable, Sendable {
  /// Nothing at this address is a root pointer.
  case noRootPointer(at: UInt64)
  /// The bytes of the table at this address do not add up to zero.
  case badChecksum(at: UInt64)
  /// The table at this address, or an entry in it, is shorter than what it must hold.
  case truncated(at: UInt64)
  /// Nothing answers at this address.
  case unreadable(at: UInt64)
}

extension ACPIError: CustomStringConvertible {
  /// What is wrong, and where.
  public var description: String {
    switch self {
    case .noRootPointer(let address):
      "no ACPI root pointer at 0x\(String(address, radix: 16))"
    case .badChecksum(let address):
      "the ACPI table at 0x\(String(address, radix: 16)) has a wrong checksum"
    case .truncated(let address):
      "the ACPI table at 0x\(String(address, radix: 16)) is too short"
    case .unreadable(let address):
      "no memory for an ACPI table at 0x\(String(address, radix: 16))"
    }
  }
}
