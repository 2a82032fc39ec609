import DMA

/// The file that the run moves, as it came in.
struct SourceFile: ~Copyable {
  let buffer: StreamingBuffer
  /// How it came in, for the table.
  let origin: String

  init(_ buffer: consuming StreamingBuffer, origin: String) {
    self.buffer = buffer
    self.origin = origin
  }

  var byteCount: Int { buffer.byteCount }

  /// Where `copy` first differs; nil when it is the same file.
  func firstDifference(from copy: RawSpan) -> Int? {
    let bytes = buffer.bytes
    guard copy.byteCount >= byteCount else { return copy.byteCount }
    for index in 0..<byteCount where load(bytes, index) != load(copy, index) { return index }
    return nil
  }

  /// The file's Adler-like checksum, to tell runs apart.
  var checksum: UInt32 {
    let bytes = buffer.bytes
    var low: UInt32 = 0
    var high: UInt32 = 0
    for index in 0..<byteCount {
      low = (low + UInt32(load(bytes, index))) % 65521
      high = (high + low) % 65521
    }
    return high << 16 | low
  }
}

/// One byte of a span.
func load(_ bytes: RawSpan, _ index: Int) -> UInt8 {
  precondition(index >= 0 && index < bytes.byteCount, "a byte lies inside of its span")
  // SAFETY: the index was checked; every bit pattern is a UInt8.
  return unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
}

/// Fills memory with one byte.
func fill(_ buffer: inout StreamingBuffer, _ value: UInt8) {
  var bytes = buffer.mutableBytes
  let word = UInt64(value) &* 0x0101_0101_0101_0101
  var index = 0
  while index + 8 <= bytes.byteCount {
    bytes.storeBytes(of: word, toByteOffset: index, as: UInt64.self)
    index += 8
  }
  while index < bytes.byteCount {
    bytes.storeBytes(of: value, toByteOffset: index, as: UInt8.self)
    index += 1
  }
}

/// Fails a check unless two spans hold the same bytes.
func requireEqual(_ first: RawSpan, _ second: RawSpan) throws(CheckFailure) {
  try require(
    first.byteCount == second.byteCount, "\(first.byteCount) and \(second.byteCount) bytes")
  var index = 0
  // Words where there are whole ones: MiB are compared under an emulator.
  while index + 8 <= first.byteCount {
    // SAFETY: eight bytes from the index on are inside of both.
    let isEqual =
      unsafe first.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
      == second.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
    guard isEqual else { throw CheckFailure("bytes \(index)..<\(index + 8) differ") }
    index += 8
  }
  while index < first.byteCount {
    try require(load(first, index) == load(second, index), "byte \(index) differs")
    index += 1
  }
}

/// Whether the first 64 bytes are all the same: memory that nobody has filled.
func isUniform(_ bytes: RawSpan) -> Bool {
  for index in 1..<64 where load(bytes, index) != load(bytes, 0) { return false }
  return true
}
