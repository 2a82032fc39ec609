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
  for index in 0..<bytes.byteCount {
    bytes.storeBytes(of: value, toByteOffset: index, as: UInt8.self)
  }
}
