/// The tables that a PC's firmware leaves for whoever runs next (ACPI specification 6.5, chapter 5).
///
/// Memory is read a byte at a time through a function, so that the tables may lie anywhere. They
/// are hostile input: nothing is believed without its checksum, and no length leads out of a table.
public struct ACPITables {
  /// The byte at a physical address; nil where no memory is.
  public typealias Memory = (UInt64) -> UInt8?

  private let memory: Memory
  /// The table of tables: where it is, and how wide its entries are.
  private let root: ACPITable
  private let entryByteCount: UInt64

  /// Reads the root pointer and checks the table it leads to (5.2.5).
  ///
  /// - Throws: `ACPIError`.
  public init(rootPointer address: UInt64, memory: @escaping Memory) throws(ACPIError) {
    self.memory = memory
    guard Self.isRootPointer(address, memory) else { throw .noRootPointer(at: address) }
    // Revision 2 has the table with wide entries too, and a checksum over itself.
    let revision = try Self.number(memory, address + 15, 1)
    var start = try Self.number(memory, address + 16, 4)
    var width: UInt64 = 4
    if revision >= 2 {
      try Self.checkSum(memory, address, 36)
      let wide = try Self.number(memory, address + 24, 8)
      if wide != 0 {
        start = wide
        width = 8
      }
    }
    root = try ACPITable(at: start, memory)
    entryByteCount = width
  }

  /// Where the root pointer is on machines whose loader does not say: in the BIOS's extended data,
  /// or in its read-only memory (5.2.5.1).
  public static func searchRootPointer(_ memory: Memory) -> UInt64? {
    // The segment of the extended data is a word of the BIOS's own.
    if let low = memory(0x40e), let high = memory(0x40f) {
      let start = (UInt64(high) << 8 | UInt64(low)) << 4
      if start >= 0x400, let found = searchRootPointer(start, start + 1024, memory) {
        return found
      }
    }
    return searchRootPointer(0xe_0000, 0x10_0000, memory)
  }

  private static func searchRootPointer(
    _ start: UInt64, _ end: UInt64, _ memory: Memory
  ) -> UInt64? {
    var address = start
    while address < end {
      if isRootPointer(address, memory) { return address }
      address += 16
    }
    return nil
  }

  /// "RSD PTR " and 20 bytes that add up to zero.
  private static func isRootPointer(_ address: UInt64, _ memory: Memory) -> Bool {
    guard address <= .max - 64, matches(memory, address, "RSD PTR ") else { return false }
    var sum: UInt8 = 0
    for offset in 0..<20 as Range<UInt64> {
      guard let byte = memory(address + offset) else { return false }
      sum &+= byte
    }
    return sum == 0
  }

  /// The first table with this signature; nil when there is none.
  ///
  /// - Throws: `ACPIError` when the table is there and broken.
  public func table(_ signature: StaticString) throws(ACPIError) -> ACPITable? {
    var offset: UInt64 = ACPITable.headerByteCount
    while offset + entryByteCount <= root.byteCount {
      let address = try Self.number(memory, root.address + offset, entryByteCount)
      offset += entryByteCount
      guard Self.matches(memory, address, signature) else { continue }
      return try ACPITable(at: address, memory)
    }
    return nil
  }

  /// A little-endian number inside of a table.
  ///
  /// - Throws: `ACPIError.truncated` when it is not wholly inside.
  public func number(
    in table: ACPITable, at offset: UInt64, byteCount: UInt64
  ) throws(ACPIError) -> UInt64 {
    guard byteCount <= table.byteCount, offset <= table.byteCount - byteCount else {
      throw .truncated(at: table.address)
    }
    return try Self.number(memory, table.address + offset, byteCount)
  }

  static func number(
    _ memory: Memory, _ address: UInt64, _ byteCount: UInt64
  ) throws(ACPIError) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<byteCount {
      let (place, overflow) = address.addingReportingOverflow(index)
      guard !overflow, let byte = memory(place) else { throw .unreadable(at: address) }
      value |= UInt64(byte) << (8 * index)
    }
    return value
  }

  static func matches(_ memory: Memory, _ address: UInt64, _ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount {
      let (place, overflow) = address.addingReportingOverflow(UInt64(index))
      // SAFETY: the index is below the constant's length.
      let expected = unsafe text.utf8Start[index]
      guard !overflow, memory(place) == expected else { return false }
    }
    return true
  }

  static func checkSum(
    _ memory: Memory, _ address: UInt64, _ byteCount: UInt64
  ) throws(ACPIError) {
    var sum: UInt8 = 0
    for offset in 0..<byteCount {
      guard let byte = memory(address + offset) else { throw .unreadable(at: address) }
      sum &+= byte
    }
    guard sum == 0 else { throw .badChecksum(at: address) }
  }
}

/// One table: where it is and how long, its header included.
public struct ACPITable: Equatable, Sendable {
  /// Signature, length, revision, checksum, and who made it (5.2.6).
  public static let headerByteCount: UInt64 = 36
  /// Longer ones are not believed: the longest there are, of code, have some hundred KiB.
  static let byteCountMax: UInt64 = 16 << 20

  public let address: UInt64
  public let byteCount: UInt64

  init(at address: UInt64, _ memory: ACPITables.Memory) throws(ACPIError) {
    guard address <= .max - Self.byteCountMax else { throw .unreadable(at: address) }
    let byteCount = try ACPITables.number(memory, address + 4, 4)
    guard byteCount >= Self.headerByteCount, byteCount <= Self.byteCountMax else {
      throw .truncated(at: address)
    }
    try ACPITables.checkSum(memory, address, byteCount)
    self.address = address
    self.byteCount = byteCount
  }
}
