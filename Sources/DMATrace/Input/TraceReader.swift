import Glibc

/// Reads a trace of any form into a sink.
struct TraceReader {
  let context: TraceContext
  /// Called whenever what a pipe held so far was read.
  var afterEachRead: () -> Void = {}

  init(context: TraceContext) { self.context = context }

  /// Reads one file, packed or not, or standard input (`-`).
  func read<Sink: TraceSink>(_ path: String, into sink: Sink) throws(TraceInputError) {
    let file = path == "-" ? 0 : unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .cannotRead(path: path, errno: errno) }
    defer { if path != "-" { close(file) } }
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw .cannotRead(path: path, errno: errno) }
    if status.st_mode & S_IFMT == S_IFDIR { throw .cannotRead(path: path, errno: EISDIR) }
    let isRegular = status.st_mode & S_IFMT == S_IFREG && status.st_size > 0
    let head = try firstBytes(file, path, isRegular: isRegular)
    let packing = Packing(head)
    if packing != .none {
      let input = isRegular ? file : try Refill.pipe(head: head, source: file)
      defer { if !isRegular { close(input) } }
      let unpacker = try Unpacker(packing, input: input)
      var readError: TraceInputError?
      do throws(TraceInputError) {
        try readStream(unpacker.output, path, head: [], into: sink)
      } catch {
        readError = error
      }
      let status = unpacker.finish()
      if let readError { throw readError }
      if status != 0 { throw .cannotUnpack(path: path, tool: packing.tool, status: status) }
    } else if isRegular, let mapped = MappedFile(file, count: Int(status.st_size)) {
      try readMapped(mapped, path, into: sink)
    } else {
      try readStream(file, path, head: head, into: sink)
    }
  }

  /// The first bytes, which say how the file is packed; a regular file stays where it was.
  private func firstBytes(_ file: Int32, _ path: String, isRegular: Bool)
    throws(TraceInputError) -> [UInt8]
  {
    var bytes = [UInt8](repeating: 0, count: 16)
    var count = 0
    while count < bytes.count {
      let wanted = bytes.count - count
      let done = unsafe bytes.withUnsafeMutableBytes { bytes in
        let target = unsafe bytes.baseAddress.map { unsafe $0 + count }
        return unsafe isRegular
          ? pread(file, target, wanted, off_t(count)) : Glibc.read(file, target, wanted)
      }
      if done < 0, errno == EINTR { continue }
      if done < 0 { throw .cannotRead(path: path, errno: errno) }
      if done == 0 { break }
      count += done
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// Reads a file: text in windows, so that little of it is in memory at a time.
  private func readMapped<Sink: TraceSink>(
    _ mapped: borrowing MappedFile, _ path: String, into sink: Sink
  ) throws(TraceInputError) {
    let base = unsafe mapped.base
    guard unsafe !isBinary(base, mapped.count) else {
      try unsafe readMemory(base, mapped.count, path, into: sink)
      return
    }
    var parser = TextParser(context: context)
    defer { parser.deallocate() }
    unsafe MappedFile.walk(base, base + mapped.count) { start, end in
      unsafe parser.parse(start, end, into: sink)
    }
    parser.finish(into: sink)
    try judgeText(path)
  }

  /// Whether it is a trace.dat, or perf's own file.
  private func isBinary(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    unsafe TraceDat.isTraceDat(base, count)
      || count >= 8 && Bytes.load8(base) == Bytes.word("PERFILE2")
  }

  /// Reads a trace that lies in memory, with readable bytes behind it.
  func readMemory<Sink: TraceSink>(
    _ base: UnsafePointer<UInt8>, _ count: Int, _ path: String, into sink: Sink
  ) throws(TraceInputError) {
    if count >= 8, unsafe Bytes.load8(base) == Bytes.word("PERFILE2") {
      throw .notDecodable(
        path: path, reason: "it is perf's own file: give what `perf script` prints of it")
    }
    if unsafe TraceDat.isTraceDat(base, count) {
      context.form = .traceDat
      var reader = unsafe try TraceDat(base, count, path: path, context: context)
      try reader.read(into: sink)
      return
    }
    var parser = TextParser(context: context)
    unsafe parser.parse(base, base + count, into: sink)
    parser.finish(into: sink)
    parser.deallocate()
    try judgeText(path)
  }

  /// Reads a pipe, line by line as they come; a binary trace is collected first.
  private func readStream<Sink: TraceSink>(
    _ file: Int32, _ path: String, head: [UInt8], into sink: Sink
  ) throws(TraceInputError) {
    var capacity = 1 << 20
    var buffer = UnsafeMutablePointer<UInt8>.allocate(
      capacity: capacity + Bytes.readablePadding)
    unsafe buffer.initialize(repeating: 0, count: capacity + Bytes.readablePadding)
    defer { unsafe buffer.deallocate() }
    var filled = 0
    for byte in head {
      unsafe buffer[filled] = byte
      filled += 1
    }
    var parser = TextParser(context: context)
    defer { parser.deallocate() }
    var isBinary: Bool?
    while true {
      if filled == capacity {
        let larger = UnsafeMutablePointer<UInt8>.allocate(
          capacity: capacity * 2 + Bytes.readablePadding)
        unsafe larger.update(from: buffer, count: filled)
        unsafe (larger + filled).initialize(
          repeating: 0, count: capacity * 2 + Bytes.readablePadding - filled)
        unsafe buffer.deallocate()
        unsafe buffer = larger
        capacity *= 2
      }
      let count = unsafe Glibc.read(file, buffer + filled, capacity - filled)
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw .cannotRead(path: path, errno: errno) }
      if count == 0 { break }
      filled += count
      if isBinary == nil, filled >= 10 {
        isBinary =
          unsafe TraceDat.isTraceDat(buffer, filled)
          || Bytes.load8(buffer) == Bytes.word("PERFILE2")
      }
      guard isBinary == false else { continue }
      var end = filled
      while end > 0, unsafe buffer[end - 1] != 10 { end -= 1 }
      guard end > 0 else { continue }
      unsafe parser.parse(buffer, buffer + end, into: sink)
      afterEachRead()
      filled -= end
      unsafe buffer.update(from: buffer + end, count: filled)
    }
    if isBinary == true {
      try unsafe readMemory(buffer, filled, path, into: sink)
      return
    }
    if filled > 0 {
      unsafe (buffer + filled).update(repeating: 0, count: Bytes.readablePadding)
      unsafe parser.parse(buffer, buffer + filled, into: sink)
    }
    parser.finish(into: sink)
    try judgeText(path)
  }

  /// A text without a single event is no trace; one of bare numbers says so.
  private func judgeText(_ path: String) throws(TraceInputError) {
    let events = context.eventCounts.reduce(0, +)
    guard events == 0 else { return }
    if context.form == .raw {
      throw .notDecodable(
        path: path,
        reason: "it was written with options/raw=1, which leaves only type numbers: "
          + "record it again with `echo 0 > options/raw`")
    }
    // A header without events is an empty trace; with lines nobody understands it is none of ours.
    if context.badLines == 0, context.header != nil || context.form == .traceCmdReport { return }
    throw .notATrace(path: path, lines: context.lines)
  }
}
