/// Numbers read eight characters at a time.
///
/// Each function says how many characters it took; a count of 0 says that the text is not what it
/// reads, and the caller leaves the line to the full reader.
enum Digits {
  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let tops: UInt64 = 0x8080_8080_8080_8080
  private static let zeros: UInt64 = 0x3030_3030_3030_3030
  private static let halves: UInt64 = 0xf0f0_f0f0_f0f0_f0f0

  /// Which bytes of a word equal `byte`: bit 7 of the first of them is the lowest set bit.
  @inline(__always)
  static func matches(_ word: UInt64, _ byte: UInt8) -> UInt64 {
    let difference = word ^ (ones &* UInt64(byte))
    return (difference &- ones) & ~difference & tops
  }

  /// How many bytes stand before the first that equals `byte`; 8 when none of the eight does.
  @inline(__always)
  static func count(before byte: UInt8, in word: UInt64) -> Int {
    matches(word, byte).trailingZeroBitCount &>> 3
  }

  /// The value of the first `count` (1 to 8) bytes as decimal digits; nil when one is none.
  @inline(__always)
  static func decimal(_ word: UInt64, _ count: Int) -> UInt64? {
    // The digits go to the upper bytes, with the character 0 in front of them.
    let shift = UInt64(truncatingIfNeeded: 64 &- 8 &* count)
    var digits = word &<< shift | ((zeros &>> 1) &>> (63 &- shift))
    guard digits & halves == zeros,
      (digits &+ 0x0606_0606_0606_0606) & halves == zeros
    else { return nil }
    digits &-= zeros
    digits = digits &* 10 &+ digits &>> 8
    let pairs: UInt64 = 0x0000_00ff_0000_00ff
    let upper = (digits & pairs) &* (100 &+ 1_000_000 &<< 32)
    let lower = ((digits &>> 16) & pairs) &* (1 &+ 10_000 &<< 32)
    return (upper &+ lower) &>> 32
  }

  /// The value of the first `count` (1 to 8) bytes as hexadecimal digits; nil when one is none.
  @inline(__always)
  static func hex(_ word: UInt64, _ count: Int) -> UInt64? {
    let shift = UInt64(truncatingIfNeeded: 64 &- 8 &* count)
    let digits = word &<< shift | ((zeros &>> 1) &>> (63 &- shift))
    // Bit 6 tells letters from digits.
    let letters = (digits &>> 6) & ones
    let low = digits & ~halves
    guard digits & halves == zeros &+ letters &* 0x30,  // '0' and up, 'a' and up
      (low &+ letters &* 3 &+ ones &* 0x76) & tops == 0,  // up to '9', up to 'f'
      letters & ~((low &+ ones &* 0x7f) &>> 7) == 0  // the back quote is no letter
    else { return nil }
    var value = low &+ letters &* 9
    // The first digit is the lowest byte: turn the word round while joining pairs.
    value = value.byteSwapped
    value = (value | value &>> 4) & 0x00ff_00ff_00ff_00ff
    value = (value | value &>> 8) & 0x0000_ffff_0000_ffff
    value = (value | value &>> 16) & 0x0000_0000_ffff_ffff
    return value
  }

  /// Whether a direction begins with this letter: B, F or T.
  @inline(__always)
  static func isDirection(_ letter: UInt8) -> Bool {
    let index = letter &- 0x42
    return index < 32 && (0x0004_0011 as UInt32 &>> UInt32(index)) & 1 == 1
  }

  /// The characters of " dir=TO_DEVICE", FROM_DEVICE and BIDIRECTIONAL, by the first letter.
  ///
  /// B, T and F differ in bits 1 and 2. For any other letter what must follow is not found there.
  @inline(__always)
  static func directionLength(_ letter: UInt8) -> Int {
    Int(truncatingIfNeeded: (0x0010_000e_0012_0000 as UInt64 &>> (UInt64(letter & 6) &<< 3)) & 0xff)
  }

  /// The direction's number in Linux, by its first letter: B 0, T 1, F 2.
  @inline(__always)
  static func directionNumber(_ letter: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: 0x0002_0001_0000_0000 as UInt64 &>> (UInt64(letter & 6) &<< 3))
  }

  /// Up to sixteen small hexadecimal digits that end at a space.
  @inline(__always)
  static func hexField(_ at: inout UnsafePointer<UInt8>) -> UInt64? {
    let word = unsafe Bytes.load8(at)
    let count = Digits.count(before: 0x20, in: word)
    guard count > 0, let upper = hex(word, count) else { return nil }
    unsafe at += count
    if count < 8 { return upper }
    let rest = unsafe Bytes.load8(at)
    let restCount = Digits.count(before: 0x20, in: rest)
    guard restCount > 0 else { return upper }
    guard let lower = hex(rest, restCount) else { return nil }
    unsafe at += restCount
    guard unsafe at.pointee == 0x20 else { return nil }
    return upper &<< UInt64(truncatingIfNeeded: 4 &* restCount) | lower
  }
}
