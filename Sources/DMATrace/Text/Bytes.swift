/// Reading text eight bytes at a time.
///
/// Every buffer the text reader is given ends in at least `readablePadding` bytes that may be read
/// and belong to no line, so a load near the end of a line needs no bounds test.
enum Bytes {
  /// Bytes behind a buffer that must be readable.
  static let readablePadding = 64

  @inline(__always)
  static func load8(_ at: UnsafePointer<UInt8>) -> UInt64 {
    unsafe UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
  }

  @inline(__always)
  static func load4(_ at: UnsafePointer<UInt8>) -> UInt32 {
    unsafe UInt32(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt32.self))
  }

  /// Up to eight characters as `load8` sees them.
  @inline(__always)
  static func word(_ text: StaticString) -> UInt64 {
    var value: UInt64 = 0
    let count = text.utf8CodeUnitCount
    for index in 0..<min(count, 8) {
      unsafe value |= UInt64(text.utf8Start[index]) &<< UInt64(8 &* index)
    }
    return value
  }

  /// Keeps the first `count` (1 to 8) bytes of a word.
  @inline(__always)
  static func first(_ count: Int, of word: UInt64) -> UInt64 {
    word & (UInt64.max &>> UInt64(64 &- 8 &* count))
  }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  @inline(__always)
  static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || (byte | 0x20) &- 0x61 < 26 || byte == 0x5f
  }

  /// The value of a hexadecimal digit, or 16 and more.
  @inline(__always)
  static func hexDigit(_ byte: UInt8) -> UInt8 {
    let digit = byte &- 0x30
    if digit < 10 { return digit }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : 0xff
  }

  /// Reads hexadecimal digits and moves past them.
  @inline(__always)
  static func hex(_ at: inout UnsafePointer<UInt8>) -> UInt64 {
    var value: UInt64 = 0
    while true {
      let digit = unsafe hexDigit(at.pointee)
      if digit > 15 { return value }
      value = value &<< 4 | UInt64(digit)
      unsafe at += 1
    }
  }

  /// Reads decimal digits and moves past them.
  @inline(__always)
  static func decimal(_ at: inout UnsafePointer<UInt8>) -> UInt64 {
    var value: UInt64 = 0
    while true {
      let digit = unsafe at.pointee &- 0x30
      if digit > 9 { return value }
      value = value &* 10 &+ UInt64(digit)
      unsafe at += 1
    }
  }

  /// Reads a number in whichever base its prefix says.
  @inline(__always)
  static func number(_ at: inout UnsafePointer<UInt8>, hexByDefault: Bool) -> UInt64 {
    if unsafe at[0] == 0x30, unsafe at[1] | 0x20 == 0x78 {
      unsafe at += 2
      return unsafe hex(&at)
    }
    if unsafe at[0] == 0x2d {
      unsafe at += 1
      return unsafe 0 &- decimal(&at)
    }
    return unsafe hexByDefault ? hex(&at) : decimal(&at)
  }

  @inline(__always)
  static func skipSpaces(_ at: inout UnsafePointer<UInt8>) {
    while unsafe at.pointee == 0x20 { unsafe at += 1 }
  }

  /// Whether a text stands here.
  static func starts(_ at: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ text: StaticString)
    -> Bool
  {
    let count = text.utf8CodeUnitCount
    guard unsafe end - at >= count else { return false }
    for index in 0..<count where unsafe at[index] != text.utf8Start[index] { return false }
    return true
  }

  /// Where a text first stands.
  static func find(_ text: StaticString, _ from: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafePointer<UInt8>?
  {
    var at = unsafe from
    while unsafe at < end {
      if unsafe starts(at, end, text) { return unsafe at }
      unsafe at += 1
    }
    return nil
  }
}
