/// A machine's memory with ACPI tables in it, as firmware leaves them.
struct TableMemory {
  private(set) var bytes: [UInt64: UInt8] = [:]

  subscript(address: UInt64) -> UInt8? {
    get { bytes[address] }
    set { bytes[address] = newValue }
  }

  mutating func put(_ content: [UInt8], at address: UInt64) {
    for (index, byte) in content.enumerated() { bytes[address + UInt64(index)] = byte }
  }

  /// A table with a header, its length and checksum made right.
  mutating func putTable(_ signature: String, _ body: [UInt8], at address: UInt64) {
    var table = Array(signature.utf8) + little(UInt32(36 + body.count))
    table += [1, 0] + [UInt8](repeating: 0x20, count: 26) + body
    table[9] = 0 &- table.reduce(0, &+)
    put(table, at: address)
  }

  /// A root pointer of revision 0, or of revision 2 when a wide table is named.
  mutating func putRootPointer(at address: UInt64, narrow: UInt32, wide: UInt64? = nil) {
    var pointer = Array("RSD PTR ".utf8) + [0] + Array("BOCHS ".utf8)
    pointer += [wide == nil ? 0 : 2] + little(narrow)
    pointer[8] = 0 &- pointer.reduce(0, &+)
    if let wide {
      pointer += little(UInt32(36)) + little(wide) + [0, 0, 0, 0]
      pointer[32] = 0 &- pointer.reduce(0, &+)
    }
    put(pointer, at: address)
  }
}

/// A number's bytes, the lowest first.
func little<Word: FixedWidthInteger>(_ value: Word) -> [UInt8] {
  (0..<Word.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// A unit's definition for a DMAR table, with one device in its scope when `scope` is set.
func unitDefinition(_ registers: UInt64, flags: UInt8, segment: UInt16, scope: Bool = false)
  -> [UInt8]
{
  let tail: [UInt8] = scope ? [1, 8, 0, 0, 0, 0, 2, 0] : []
  return little(UInt16(0)) + little(UInt16(16 + tail.count)) + [flags, 0] + little(segment)
    + little(registers) + tail
}

/// Host address width, flags and ten reserved bytes: what precedes the structures of a DMAR table.
let remappingHead: [UInt8] = [38, 1] + [UInt8](repeating: 0, count: 10)
