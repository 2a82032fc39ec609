/// Writes the pieces of a trace.dat (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)).
struct DatWriter {
  private(set) var all: [UInt8] = []
  var count: Int { all.count }
  /// Small, so that a run is short.
  static let pageSize = 512

  mutating func number(_ value: UInt64, _ size: Int) {
    for index in 0..<size { all.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }
  mutating func bytes(_ text: String) { all += Array(text.utf8) }
  mutating func bytes(_ bytes: [UInt8]) { all += bytes }
  mutating func pad(to count: Int) {
    if count > all.count { all += [UInt8](repeating: 0, count: count - all.count) }
  }
  mutating func sized(_ text: String) {
    number(UInt64(text.utf8.count), 8)
    bytes(text)
  }

  mutating func begin(version: String) {
    bytes([0x17, 0x08, 0x44])
    bytes("tracing\(version)\0")
    number(0, 1)  // little endian
    number(8, 1)  // size of long
    number(UInt64(Self.pageSize), 4)
  }

  /// What version 6 has in one fixed order, and version 7 in sections.
  static var parts: [(UInt64, (inout DatWriter) -> Void)] {
    [
      (
        16,
        {
          $0.bytes("header_page\0")
          $0.sized("\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n")
          $0.bytes("header_event\0")
          $0.sized("# compressed entry header\n")
        }
      ), (17, { $0.number(0, 4) }),
      (
        18,
        {
          $0.number(1, 4)
          $0.bytes("dma\0")
          $0.number(4, 4)
          for format in formats { $0.sized(format) }
        }
      ),
      (21, { $0.sized("156 insmod\n180 ping\n") }),
    ]
  }

  mutating func describe() {
    for (option, write) in Self.parts where option != 21 { write(&self) }
    number(0, 4)  // kallsyms
    number(0, 4)  // printk formats
    sized("156 insmod\n180 ping\n")
  }

  /// A section of version 7, not compressed.
  mutating func section(_ id: UInt64, _ contents: [UInt8]) {
    number(id, 2)
    number(0, 2)
    number(0, 4)
    number(UInt64(contents.count), 8)
    bytes(contents)
  }

  // MARK: Records

  mutating func event(_ record: DatWriter) {
    var padded = record
    padded.pad(to: (record.count + 3) / 4 * 4)
    if padded.count / 4 <= 28 {
      number(UInt64(padded.count / 4) | 100 << 5, 4)
    } else {
      number(100 << 5, 4)
      number(UInt64(padded.count + 4), 4)
    }
    bytes(padded.all)
  }

  /// Time that a record's own delta has no room for.
  mutating func extend(_ nanoseconds: UInt64) {
    number(30 | (nanoseconds & 0x7ff_ffff) << 5, 4)
    number(nanoseconds >> 27, 4)
  }

  private static func common(_ type: UInt64) -> DatWriter {
    var record = DatWriter()
    record.number(type, 2)
    record.number(0, 2)
    record.number(156, 4)
    return record
  }

  private static let device = "0000:00:01.0\0"

  static func map(physical: UInt64, bus: UInt64, size: UInt64) -> DatWriter {
    var record = common(381)
    record.number(56 | UInt64(device.utf8.count) << 16, 4)
    record.pad(to: 16)
    for value in [physical, bus, size] { record.number(value, 8) }
    record.number(1, 4)
    record.pad(to: 48)
    record.number(0, 8)
    record.bytes(device)
    return record
  }

  static func unmap(bus: UInt64, size: UInt64) -> DatWriter {
    var record = common(379)
    record.number(48 | UInt64(device.utf8.count) << 16, 4)
    record.pad(to: 16)
    for value in [bus, size] { record.number(value, 8) }
    record.number(1, 4)
    record.pad(to: 40)
    record.number(0, 8)
    record.bytes(device)
    return record
  }

  /// A list of three entries, or its release.
  static func list(map: Bool, _ cpu: UInt64) -> DatWriter {
    let physical = (0..<3).map { UInt64($0) << 14 + cpu << 20 + 0x400_0000 }
    var record = common(map ? 370 : 368)
    let start: UInt64 = map ? 48 : 32
    record.number(start | UInt64(device.utf8.count) << 16, 4)
    if map {
      for value in [3, 3] as [UInt64] { record.number(value, 4) }
      record.pad(to: 24)
      record.number((start + 16) | 24 << 16, 4)
      record.number((start + 40) | 24 << 16, 4)
      record.number((start + 64) | 12 << 16, 4)
      record.number(2, 4)
      record.pad(to: 48)
    } else {
      record.number((start + 16) | 24 << 16, 4)
      record.number(2, 4)
      record.pad(to: 32)
    }
    record.bytes(device)
    record.pad(to: Int(start) + 16)
    for address in physical { record.number(address, 8) }
    if map {
      for address in physical { record.number(address, 8) }
      for _ in physical { record.number(4096, 4) }
    }
    return record
  }

  // MARK: Formats

  private static func format(_ name: String, _ id: Int, _ fields: [(String, Int, Int)]) -> String {
    var text = "name: \(name)\nID: \(id)\nformat:\n"
    let common = [
      ("unsigned short common_type", 0, 2), ("unsigned char common_flags", 2, 1),
      ("int common_pid", 4, 4),
    ]
    for (field, offset, size) in common + fields {
      text += "\tfield:\(field);\toffset:\(offset);\tsize:\(size);\tsigned:0;\n"
    }
    return text + "\nprint fmt: \"\"\n"
  }

  private static let formats = [
    format(
      "dma_map_page", 381,
      [
        ("__data_loc char[] device", 8, 4), ("u64 phys_addr", 16, 8), ("u64 dma_addr", 24, 8),
        ("size_t size", 32, 8), ("enum dma_data_direction dir", 40, 4),
        ("unsigned long attrs", 48, 8),
      ]),
    format(
      "dma_unmap_page", 379,
      [
        ("__data_loc char[] device", 8, 4), ("u64 addr", 16, 8), ("size_t size", 24, 8),
        ("enum dma_data_direction dir", 32, 4), ("unsigned long attrs", 40, 8),
      ]),
    format(
      "dma_map_sg", 370,
      [
        ("__data_loc char[] device", 8, 4), ("int full_nents", 12, 4), ("int full_ents", 16, 4),
        ("bool truncated", 20, 1), ("__data_loc u64[] phys_addrs", 24, 4),
        ("__data_loc u64[] dma_addrs", 28, 4), ("__data_loc unsigned int[] lengths", 32, 4),
        ("enum dma_data_direction dir", 36, 4), ("unsigned long attrs", 40, 8),
      ]),
    format(
      "dma_unmap_sg", 368,
      [
        ("__data_loc char[] device", 8, 4), ("__data_loc u64[] addrs", 12, 4),
        ("enum dma_data_direction dir", 16, 4), ("unsigned long attrs", 24, 8),
      ]),
  ]
}
