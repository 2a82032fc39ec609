import DMA

/// Reads trace-cmd's binary file, versions 6 and 7 (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)).
///
/// The file brings its own description of every event (`format` files), so fields are found by name
/// here too. Compressed parts are unpacked by the tool of their algorithm.
@safe
struct TraceDat: ~Copyable {
  let path: String
  let context: TraceContext
  var cursor: DatCursor
  var pageSize = 4096
  var compression = "none"
  var events: [Int: DatEvent] = [:]
  var tasks: [Int32: UInt32] = [:]
  var cpus: [DatPart] = []
  /// What was unpacked, kept until the reader is done with it.
  var unpacked: [DatBytes] = []

  /// A CPU's pages: a stretch of the file or of unpacked memory.
  struct DatPart {
    var cpu: UInt32
    var bytes: DatBytes
  }

  private static let magic: [UInt8] =
    [0x17, 0x08, 0x44] + Array("tracing".utf8)

  static func isTraceDat(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count >= 10 else { return false }
    for index in 0..<10 where unsafe base[index] != magic[index] { return false }
    return true
  }

  init(_ base: UnsafePointer<UInt8>, _ count: Int, path: String, context: TraceContext)
    throws(TraceInputError)
  {
    self.path = path
    self.context = context
    cursor = unsafe DatCursor(DatBytes(base: base, count: count), path: path)
    cursor.offset = 10
    let version = try cursor.string()
    let endian = try cursor.byte()
    let longSize = try cursor.byte()
    pageSize = Int(try cursor.u32())
    guard endian == 0, longSize == 8 else {
      throw .notDecodable(path: path, reason: "only little-endian 64-bit machines' files are read")
    }
    guard pageSize >= 64, pageSize <= 1 << 20 else { throw cursor.damaged("a page size") }
    switch version {
    case "6": try readVersion6()
    case "7": try readVersion7()
    default:
      throw .notDecodable(path: path, reason: "version \(version) of trace.dat is not known")
    }
  }

  // MARK: Version 6: everything in one fixed order

  private mutating func readVersion6() throws(TraceInputError) {
    var part = cursor
    try readHeaderInfo(&part)
    try readFtraceEvents(&part)
    try readEventFormats(&part)
    try part.skipCounted()  // kallsyms
    try part.skipCounted()  // printk formats
    let taskBytes = try part.sizedSlice()
    readTasks(taskBytes)
    let cpuCount = Int(try part.u32())
    guard cpuCount <= 1 << 16 else { throw part.damaged("a number of CPUs") }
    context.cpuCount = cpuCount
    var kind = try part.fixedString(10)
    if kind.hasPrefix("options") {
      while true {
        let option = try part.u16()
        if option == 0 { break }
        try part.skipCounted()
      }
      kind = try part.fixedString(10)
    }
    guard kind.hasPrefix("flyrecord") else {
      throw .notDecodable(path: path, reason: "it holds a latency text, not events")
    }
    for cpu in 0..<cpuCount {
      let offset = try part.size()
      let size = try part.size()
      var data = part
      data.offset = offset
      if size > 0 { cpus.append(DatPart(cpu: UInt32(cpu), bytes: try data.slice(size))) }
    }
  }

  // MARK: Version 7: sections that options point to

  private mutating func readVersion7() throws(TraceInputError) {
    compression = try cursor.string()
    _ = try cursor.string()  // the algorithm's version
    var next = try cursor.size()
    var seen = 0
    var sections: [Int: Int] = [:]
    var buffers: [DatBytes] = []
    while next != 0 {
      seen += 1
      guard seen < 10_000 else { throw cursor.damaged("a chain of options without an end") }
      var options = try section(at: next)
      next = 0
      while !options.isAtEnd {
        let option = Int(try options.u16())
        let size = Int(try options.u32())
        let bytes = try options.slice(size)
        var value = DatCursor(bytes, path: path)
        switch option {
        case 0: next = try value.size()
        case 3: buffers.append(bytes)
        case 8: context.cpuCount = Int(try value.u32() & 0xffff)
        case 16...21: sections[option] = try value.size()
        default: break
        }
        if option == 0 { break }
      }
    }
    if let offset = sections[16] { var part = try section(at: offset); try readHeaderInfo(&part) }
    if let offset = sections[17] { var part = try section(at: offset); try readFtraceEvents(&part) }
    if let offset = sections[18] { var part = try section(at: offset); try readEventFormats(&part) }
    if let offset = sections[21] {
      var part = try section(at: offset)
      readTasks(try part.sizedSlice())
    }
    for buffer in buffers { try readBuffer(buffer) }
  }

  private mutating func readBuffer(_ bytes: DatBytes) throws(TraceInputError) {
    var option = DatCursor(bytes, path: path)
    let offset = try option.size()
    let name = try option.string()
    _ = try option.string()  // the clock
    // Only the top buffer, or the only one: instances hold other people's events.
    guard name.isEmpty || cpus.isEmpty else { return }
    pageSize = Int(try option.u32())
    guard pageSize >= 64, pageSize <= 1 << 20 else { throw option.damaged("a page size") }
    let count = Int(try option.u32())
    guard count <= 1 << 16 else { throw option.damaged("a number of CPUs") }
    var header = cursor
    header.offset = offset
    _ = try header.u16()
    let isPacked = try header.u16() & 1 != 0
    for _ in 0..<count {
      let cpu = try option.u32()
      let start = try option.size()
      let size = try option.size()
      guard size > 0 else { continue }
      var data = cursor
      data.offset = start
      // The size of packed pages leaves out the word that counts their chunks.
      let raw = try data.slice(isPacked ? size + 4 : size)
      cpus.append(DatPart(cpu: cpu, bytes: isPacked ? try unpack(raw, isCounted: true) : raw))
    }
  }

  /// A section's contents, unpacked if need be.
  private mutating func section(at offset: Int) throws(TraceInputError) -> DatCursor {
    var header = cursor
    header.offset = offset
    _ = try header.u16()
    let flags = try header.u16()
    _ = try header.u32()
    let size = try header.size()
    let bytes = try header.slice(size)
    return DatCursor(flags & 1 != 0 ? try unpack(bytes, isCounted: false) : bytes, path: path)
  }

  /// Unpacks chunks, each with its packed and full size before it.
  ///
  /// In front of a CPU's pages stands the number of chunks; a section is one chunk that fills it.
  private mutating func unpack(_ bytes: DatBytes, isCounted: Bool) throws(TraceInputError)
    -> DatBytes
  {
    var chunks = DatCursor(bytes, path: path)
    var left = isCounted ? Int(try chunks.u32()) : 1
    var packed: [UInt8] = []
    var fullSize = 0
    while left > 0 {
      left -= 1
      let size = Int(try chunks.u32())
      fullSize += Int(try chunks.u32())
      packed += try chunks.slice(size).array
    }
    // zstd makes a page of zeros very small, but not smaller than this.
    guard fullSize <= 1 << 26 + packed.count << 14 else { throw chunks.damaged("a size") }
    guard compression == "zstd" else {
      throw .notDecodable(
        path: path,
        reason: "it is compressed with \(compression): write it again with "
          + "`trace-cmd convert --compression none`")
    }
    let result = try DatUnpacker.unpack(packed, size: fullSize, path: path)
    unpacked.append(result)
    return result
  }

  // MARK: What the file says about itself

  private func readHeaderInfo(_ part: inout DatCursor) throws(TraceInputError) {
    guard try part.string() == "header_page" else { throw part.damaged("header_page expected") }
    try part.skipSized()
    guard try part.string() == "header_event" else { throw part.damaged("header_event expected") }
    try part.skipSized()
  }

  private mutating func readFtraceEvents(_ part: inout DatCursor) throws(TraceInputError) {
    let count = try part.u32()
    for _ in 0..<count { add(format: try part.sizedSlice().text, system: "ftrace") }
  }

  private mutating func readEventFormats(_ part: inout DatCursor) throws(TraceInputError) {
    let systems = try part.u32()
    for _ in 0..<systems {
      let system = try part.string()
      let count = try part.u32()
      for _ in 0..<count { add(format: try part.sizedSlice().text, system: system) }
    }
  }

  private mutating func add(format: String, system: String) {
    guard let event = DatEvent(format: format, system: system, names: context.eventNames) else {
      return
    }
    events[event.number] = event
  }

  /// Lines of a number and a name.
  private mutating func readTasks(_ bytes: DatBytes) {
    for line in bytes.text.split(separator: "\n") {
      guard let space = line.firstIndex(of: " "), let task = Int32(line[..<space]) else { continue }
      tasks[task] = context.tasks.intern(String(line[line.index(after: space)...]))
    }
  }
}
