import Glibc

/// A stretch of bytes that somebody else keeps.
@safe
struct DatBytes {
  // SAFETY: the file's mapping, or memory of `DatUnpacker`; both outlive the reader.
  let base: UnsafePointer<UInt8>
  let count: Int

  var array: [UInt8] { unsafe Array(UnsafeBufferPointer(start: base, count: count)) }
  var text: String {
    unsafe String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
  }

  /// A little-endian number; nil outside.
  @inline(__always)
  func number(_ offset: Int, _ size: Int) -> UInt64? {
    guard offset >= 0, size > 0, size <= 8, offset <= count - size else { return nil }
    var value: UInt64 = 0
    for index in 0..<size { unsafe value |= UInt64(base[offset + index]) << UInt64(8 * index) }
    return value
  }
}

/// Reads numbers and strings one after the other, and never outside its bytes.
struct DatCursor {
  let bytes: DatBytes
  let path: String
  var offset = 0

  init(_ bytes: DatBytes, path: String) {
    self.bytes = bytes
    self.path = path
  }

  var isAtEnd: Bool { offset >= bytes.count }

  func damaged(_ reason: String) -> TraceInputError {
    .damaged(path: path, offset: UInt64(max(offset, 0)), reason: reason)
  }

  private mutating func take(_ size: Int) throws(TraceInputError) -> UInt64 {
    guard let value = bytes.number(offset, size) else { throw damaged("the file ends here") }
    offset += size
    return value
  }

  mutating func byte() throws(TraceInputError) -> UInt8 { UInt8(try take(1)) }
  mutating func u16() throws(TraceInputError) -> UInt16 { UInt16(try take(2)) }
  mutating func u32() throws(TraceInputError) -> UInt32 { UInt32(try take(4)) }

  /// Eight bytes that count bytes.
  mutating func size() throws(TraceInputError) -> Int {
    let value = try take(8)
    guard value <= UInt64(Int.max) else { throw damaged("a size") }
    return Int(value)
  }

  mutating func skip(_ count: Int) throws(TraceInputError) { _ = try slice(count) }

  mutating func slice(_ count: Int) throws(TraceInputError) -> DatBytes {
    guard count >= 0, offset >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw damaged("\(count) bytes expected, the file ends before")
    }
    defer { offset += count }
    return unsafe DatBytes(base: bytes.base + offset, count: count)
  }

  /// Bytes whose number stands before them in four bytes.
  mutating func skipCounted() throws(TraceInputError) {
    let count = Int(try u32())
    try skip(count)
  }

  /// Bytes whose number stands before them in eight bytes.
  mutating func sizedSlice() throws(TraceInputError) -> DatBytes {
    let count = try size()
    return try slice(count)
  }

  mutating func skipSized() throws(TraceInputError) { _ = try sizedSlice() }

  /// Bytes up to a zero.
  mutating func string() throws(TraceInputError) -> String {
    let start = offset
    while true {
      if try byte() == 0 { break }
      guard offset - start < 4096 else { throw damaged("a name without an end") }
    }
    return unsafe String(
      decoding: UnsafeBufferPointer(start: bytes.base + start, count: offset - start - 1),
      as: UTF8.self)
  }

  mutating func fixedString(_ count: Int) throws(TraceInputError) -> String {
    try slice(count).text
  }
}

/// Unpacks zstd frames through the tool.
enum DatUnpacker {
  /// - Returns: exactly `size` bytes; they are kept until the process ends.
  static func unpack(_ packed: [UInt8], size: Int, path: String)
    throws(TraceInputError) -> DatBytes
  {
    let memory = UnsafeMutablePointer<UInt8>.allocate(
      capacity: size + Bytes.readablePadding)
    unsafe memory.initialize(repeating: 0, count: size + Bytes.readablePadding)
    // A device that ends at once: everything comes from the head.
    let end = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
    let input = try Refill.pipe(head: packed, source: end)
    defer {
      close(input)
      close(end)
    }
    let unpacker = try Unpacker(.zstd, input: input)
    var filled = 0
    while filled < size {
      let count = unsafe Glibc.read(unpacker.output, memory + filled, size - filled)
      if count < 0, errno == EINTR { continue }
      if count <= 0 { break }
      filled += count
    }
    let status = unpacker.finish()
    guard filled == size else {
      unsafe memory.deallocate()
      throw .cannotUnpack(path: path, tool: "zstd", status: status)
    }
    return unsafe DatBytes(base: memory, count: size)
  }
}
