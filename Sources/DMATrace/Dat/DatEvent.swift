/// An event's description: where its fields lie, by name.
struct DatEvent {
  var number = -1
  var name: UInt16 = 0
  var shape: EventShape?
  var fields = DatFields()

  /// A field's place in the record.
  struct Field {
    var offset = -1
    var size = 0
    /// The record holds where the data lie (16 bits) and how long they are (16 bits).
    var isIndirect = false
    var exists: Bool { offset >= 0 }
  }

  /// Reads a `format` file; nil when it is none.
  init?(format: String, system: String, names: NameTable) {
    var name = ""
    for line in format.split(separator: "\n") {
      if line.hasPrefix("name:") {
        name = String(line.dropFirst(5).drop { $0 == " " })
      } else if line.hasPrefix("ID:") {
        number = Int(line.dropFirst(3).drop { $0 == " " }) ?? -1
      } else if let found = Self.field(line) {
        fields.set(found.name, found.field)
      }
    }
    guard number >= 0, !name.isEmpty else { return nil }
    switch system {
    case "dma", "iommu", "swiotlb": shape = EventShape.named(name)
    case "ftrace":
      shape = name == "print" ? EventShape.named(name) : nil
      if name == "print" { name = "tracing_mark_write" }
    default: shape = nil
    }
    self.name = UInt16(truncatingIfNeeded: names.intern(name))
  }

  /// A field's line.
  ///
  /// `\tfield:__data_loc u64[] dma_addrs;\toffset:28;\tsize:4;\tsigned:0;`
  private static func field(_ line: Substring) -> (name: String, field: Field)? {
    let parts = line.split(separator: ";")
    guard parts.count >= 3, let colon = parts[0].firstIndex(of: ":"),
      parts[0][..<colon].drop(while: { $0 == "\t" || $0 == " " }) == "field"
    else { return nil }
    let declaration = parts[0][parts[0].index(after: colon)...]
    var name = declaration.split(separator: " ").last.map(String.init) ?? ""
    if let bracket = name.firstIndex(of: "[") { name = String(name[..<bracket]) }
    var field = Field()
    field.isIndirect = declaration.contains("__data_loc")
    for part in parts.dropFirst() {
      let words = part.split(separator: ":")
      guard words.count == 2, let value = Int(words[1]) else { continue }
      let key = words[0].drop { $0 == "\t" || $0 == " " }
      if key == "offset" { field.offset = value }
      if key == "size" { field.size = value }
    }
    return field.exists ? (name, field) : nil
  }
}

/// The fields a reader wants, by the names every kernel so far has given them.
struct DatFields {
  var device = DatEvent.Field()
  var bus = DatEvent.Field()
  var physical = DatEvent.Field()
  var virtual = DatEvent.Field()
  var size = DatEvent.Field()
  var direction = DatEvent.Field()
  var attributes = DatEvent.Field()
  var busList = DatEvent.Field()
  var physicalList = DatEvent.Field()
  var lengthList = DatEvent.Field()
  var entries = DatEvent.Field()
  var segments = DatEvent.Field()
  var truncated = DatEvent.Field()
  var forced = DatEvent.Field()
  var text = DatEvent.Field()
  var flags = DatEvent.Field()
  var task = DatEvent.Field()

  mutating func set(_ name: String, _ field: DatEvent.Field) {
    switch name {
    case "device", "dev_name": device = field
    case "dma_addr", "addr", "iova": bus = field
    case "phys_addr", "paddr", "dev_addr": physical = field
    case "virt_addr": virtual = field
    case "size": size = field
    case "dir": direction = field
    case "attrs": attributes = field
    case "dma_addrs": busList = field
    case "phys_addrs", "addrs": physicalList = field
    case "lengths": lengthList = field
    case "full_nents", "gid": entries = field
    case "full_ents": segments = field
    case "truncated": truncated = field
    case "force": forced = field
    case "buf": text = field
    case "common_flags": flags = field
    case "common_pid": task = field
    default: break
    }
  }
}
