/// One bit a page.
@safe
struct PageMarks: ~Copyable {
  private let words: UnsafeMutablePointer<UInt64>

  init(_ count: Int) {
    let wordCount = max(1, (count + 63) / 64)
    unsafe words = .allocate(capacity: wordCount)
    unsafe words.initialize(repeating: 0, count: wordCount)
  }

  deinit { unsafe words.deallocate() }

  // SAFETY of every access below: callers name pages below the count.

  func isSet(_ page: Int) -> Bool { unsafe words[page >> 6] >> UInt64(page & 63) & 1 != 0 }

  /// The bits of a word that a range covers.
  private static func mask(_ word: Int, _ range: Range<Int>) -> UInt64 {
    let low = max(range.lowerBound - word << 6, 0)
    let high = min(range.upperBound - word << 6, 64)
    let above: UInt64 = high == 64 ? .max : 1 << UInt64(high) - 1
    return above & ~(1 << UInt64(low) - 1)
  }

  private static func wordRange(_ range: Range<Int>) -> Range<Int> {
    range.isEmpty ? 0..<0 : range.lowerBound >> 6..<(range.upperBound - 1) >> 6 + 1
  }

  func set(_ range: Range<Int>) {
    for word in Self.wordRange(range) { unsafe words[word] |= Self.mask(word, range) }
  }

  func clear(_ range: Range<Int>) {
    for word in Self.wordRange(range) { unsafe words[word] &= ~Self.mask(word, range) }
  }

  func areSet(_ range: Range<Int>) -> Bool {
    for word in Self.wordRange(range) {
      let mask = Self.mask(word, range)
      if unsafe words[word] & mask != mask { return false }
    }
    return true
  }

  /// The lowest page of a range that is marked.
  func firstMark(in range: Range<Int>) -> Int? {
    for word in Self.wordRange(range) {
      let found = unsafe words[word] & Self.mask(word, range)
      if found != 0 { return word << 6 + found.trailingZeroBitCount }
    }
    return nil
  }

  /// The highest page of a range that is marked.
  func lastMark(in range: Range<Int>) -> Int? {
    for word in Self.wordRange(range).reversed() {
      let found = unsafe words[word] & Self.mask(word, range)
      if found != 0 { return word << 6 + 63 - found.leadingZeroBitCount }
    }
    return nil
  }
}
