import DeviceTree

/// Which pages of RAM are free: one bit a page, from the lowest address to the highest.
///
/// Searches take the highest zone that the limit allows first, so that memory in reach of limited
/// devices is kept for them, as Linux does.
@safe
struct PageMap: ~Copyable {
  static let pageByteCount: UInt64 = 4096
  /// The first address above each zone: ISA's 24 bits, 32 bits, all.
  static let zoneEnds: [3 of UInt64] = [0x100_0000, 0x1_0000_0000, .max]

  /// The address of the first page.
  let start: UInt64
  let pageCount: Int
  /// Bit set: not free (used, reserved, or no RAM there).
  private let words: UnsafeMutablePointer<UInt64>
  private(set) var freePageCount = 0

  /// A map whose pages are all taken.
  ///
  /// - Parameter storage: zeroed or not, room for one bit a page.
  init(start: UInt64, pageCount: Int, storage: UnsafeMutablePointer<UInt64>) {
    self.start = start
    self.pageCount = pageCount
    unsafe words = storage
    for index in 0..<Self.wordCount(pageCount) {
      // SAFETY: the caller gives that many words.
      unsafe words[index] = .max
    }
  }

  static func wordCount(_ pageCount: Int) -> Int { (pageCount + 63) / 64 }

  func isTaken(_ page: Int) -> Bool {
    // SAFETY: callers give pages below the count.
    unsafe words[page / 64] & 1 << UInt64(page % 64) != 0
  }

  private mutating func set(_ page: Int, taken: Bool) {
    let bit: UInt64 = 1 << UInt64(page % 64)
    // SAFETY: as above.
    if taken {
      unsafe words[page / 64] |= bit
      freePageCount -= 1
    } else {
      unsafe words[page / 64] &= ~bit
      freePageCount += 1
    }
  }

  /// The pages wholly inside of a range.
  func pages(in range: MemoryRange) -> Range<Int> {
    let (sum, overflow) = range.start.addingReportingOverflow(range.byteCount)
    let end = overflow ? UInt64.max : sum
    let first = max(start, range.start)
    guard end > first else { return 0..<0 }
    let low = Int((first - start + Self.pageByteCount - 1) / Self.pageByteCount)
    let high = min(pageCount, Int((end - start) / Self.pageByteCount))
    return low < high ? low..<high : 0..<0
  }

  /// Makes pages free.
  ///
  /// Traps when one already is.
  mutating func release(_ pages: Range<Int>) {
    for page in pages {
      precondition(isTaken(page), "pages are freed once")
      set(page, taken: false)
    }
  }

  /// Takes pages out, free or not.
  mutating func reserve(_ pages: Range<Int>) {
    for page in pages where !isTaken(page) { set(page, taken: true) }
  }

  /// Takes `count` adjoining pages at or below `limit`; nil when there are none.
  mutating func take(
    count: Int, alignment: UInt64, limit: UInt64, highest: Bool
  ) -> Int? {
    var upper = UInt64.max
    for index in (0..<3).reversed() {
      upper = Self.zoneEnds[index]
      let lower = index == 0 ? 0 : Self.zoneEnds[index - 1]
      if let found = take(count, alignment, lower, min(upper - 1, limit), highest) {
        return found
      }
    }
    // Across zones.
    return take(count, alignment, 0, limit, highest)
  }

  private mutating func take(
    _ count: Int, _ alignment: UInt64, _ lowest: UInt64, _ limit: UInt64, _ highest: Bool
  ) -> Int? {
    guard limit >= lowest, limit >= start, count <= pageCount else { return nil }
    let last = start + UInt64(pageCount) * Self.pageByteCount - 1
    // One past the last page that may be used.
    let end = Int((min(limit, last) - start + 1) / Self.pageByteCount)
    let begin = lowest > start ? Int((lowest - start) / Self.pageByteCount) : 0
    guard end >= count, end - count >= begin else { return nil }
    let step = max(1, Int(alignment / Self.pageByteCount))
    let bias = Int(start / Self.pageByteCount % UInt64(step))
    var page =
      highest
      ? (end - count + bias) / step * step - bias
      : (begin + bias + step - 1) / step * step - bias
    while page >= begin, page + count <= end {
      guard let taken = lastTaken(page, count) else {
        for index in page..<(page + count) { set(index, taken: true) }
        return page
      }
      if highest {
        page -= step
      } else {
        // On behind the page that is in the way.
        page = (taken + 1 + bias + step - 1) / step * step - bias
      }
    }
    return nil
  }

  /// The last taken page of a run, or nil when all are free.
  private func lastTaken(_ page: Int, _ count: Int) -> Int? {
    var index = page + count - 1
    while index >= page {
      if isTaken(index) { return index }
      index -= 1
    }
    return nil
  }
}
