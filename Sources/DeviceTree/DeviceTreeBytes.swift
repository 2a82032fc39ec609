/// Bounds-checked big-endian reads of a blob that somebody else wrote.
@safe
struct DeviceTreeBytes: @unchecked Sendable {
  // SAFETY (Sendable): whoever makes a DeviceTree promises that the bytes never change.
  let start: UnsafeRawPointer
  let count: Int

  func byte(_ offset: Int) throws(DeviceTreeError) -> UInt8 {
    guard offset >= 0, offset < count else { throw .truncated(offset: offset) }
    // SAFETY: the offset was checked.
    return unsafe start.load(fromByteOffset: offset, as: UInt8.self)
  }

  func word(_ offset: Int) throws(DeviceTreeError) -> UInt32 {
    guard offset >= 0, offset <= count - 4 else { throw .truncated(offset: offset) }
    // SAFETY: the offset was checked.
    return UInt32(
      bigEndian: unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  func doubleWord(_ offset: Int) throws(DeviceTreeError) -> UInt64 {
    UInt64(try word(offset)) << 32 | UInt64(try word(offset + 4))
  }

  /// The length of the NUL-terminated string at `offset`, which must end before `end`.
  func stringLength(_ offset: Int, end: Int) throws(DeviceTreeError) -> Int {
    var length = 0
    while offset + length < end {
      if try byte(offset + length) == 0 { return length }
      length += 1
    }
    throw .truncated(offset: offset)
  }

  /// Whether the `length` bytes at `offset` are `text`.
  func matches(_ offset: Int, _ length: Int, _ text: StaticString) -> Bool {
    guard length == text.utf8CodeUnitCount, offset >= 0, offset <= count - length else {
      return false
    }
    for index in 0..<length {
      // SAFETY: both indices are below the lengths, which are equal.
      let left = unsafe start.load(fromByteOffset: offset + index, as: UInt8.self)
      guard unsafe left == text.utf8Start[index] else { return false }
    }
    return true
  }
}
