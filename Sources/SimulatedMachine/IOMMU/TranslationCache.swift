internal import CSimulatedHost

/// The unit's IOTLB: translations stay until they are invalidated or pushed out, whatever the
/// tables say meanwhile.
@safe
struct TranslationCache: ~Copyable {
  /// One cached translation of a page of 4 KiB, 2 MiB or 1 GiB.
  struct Entry {
    /// Page number at the page's own size; the size is part of the tag.
    var tag: UInt64 = 0
    /// Physical page address, with permissions in its low bits as in a table entry.
    var value: UInt64 = 0
    /// 0 in fresh memory: not valid.
    ///
    /// Entries of an older epoch are not valid either.
    var epoch: UInt64 = 0
    var domain: UInt64 = 0
  }

  private static let wayCount = 4
  private static let setCount = 1024
  private static let entryCount = wayCount * setCount

  private let entries: UnsafeMutablePointer<Entry>
  private var epoch: UInt64 = 1
  private var nextWay = 0
  /// Whether large pages were ever cached: they are only looked for then.
  private var hasLargePages = false
  /// Whether anything was cached since all was forgotten: otherwise there is nothing to look for.
  private var isUsed = false

  /// Nil when the host has no memory for it.
  init?() {
    let byteCount = UInt64(Self.entryCount * MemoryLayout<Entry>.stride)
    let address = simulated_host_private(byteCount)
    guard let entries = unsafe UnsafeMutablePointer<Entry>(bitPattern: address) else {
      return nil
    }
    unsafe self.entries = entries
  }

  deinit {
    let byteCount = UInt64(Self.entryCount * MemoryLayout<Entry>.stride)
    unsafe simulated_host_release(UInt(bitPattern: entries), byteCount)
  }

  /// Level 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB.
  static func pageShift(_ level: Int) -> UInt64 { 12 + 9 * UInt64(level - 1) }

  private static func tag(_ address: UInt64, _ level: Int) -> UInt64 {
    (address >> pageShift(level)) << 2 | UInt64(level)
  }

  private static func firstIndex(_ tag: UInt64, _ domain: UInt64) -> Int {
    let mixed = (tag ^ domain << 48) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed >> 54) * wayCount
  }

  // SAFETY of every access: indices are below entryCount, and zeroed memory is an invalid entry.

  /// The cached translation of an address: level and value.
  func find(_ address: UInt64, domain: UInt64) -> (level: Int, value: UInt64)? {
    for level in 1...(hasLargePages ? 3 : 1) {
      let tag = Self.tag(address, level)
      let first = Self.firstIndex(tag, domain)
      for index in first..<first + Self.wayCount {
        let entry = unsafe entries[index]
        if entry.epoch == epoch, entry.tag == tag, entry.domain == domain {
          return (level, entry.value)
        }
      }
    }
    return nil
  }

  /// Keeps a translation, in place of the oldest of its set.
  mutating func insert(_ address: UInt64, level: Int, value: UInt64, domain: UInt64) {
    if level > 1 { hasLargePages = true }
    isUsed = true
    let tag = Self.tag(address, level)
    let first = Self.firstIndex(tag, domain)
    let set = first..<first + Self.wayCount
    nextWay = (nextWay + 1) % Self.wayCount
    let free = set.first { unsafe entries[$0].epoch != epoch }
    unsafe entries[free ?? first + nextWay] = Entry(
      tag: tag, value: value, epoch: epoch, domain: domain)
  }

  /// Forgets everything.
  mutating func invalidateAll() {
    epoch += 1
    hasLargePages = false
    isUsed = false
  }

  mutating func invalidate(domain: UInt64) {
    guard isUsed else { return }
    for index in 0..<Self.entryCount where unsafe entries[index].domain == domain {
      unsafe entries[index].epoch = 0
    }
  }

  /// Forgets what lies in 2^order pages of 4 KiB from an address aligned to them.
  mutating func invalidate(_ address: UInt64, order: Int, domain: UInt64) {
    // Few pages are looked up; for many it is cheaper to look at all entries.
    if order <= 6, !hasLargePages {
      for page in 0..<UInt64(1) << UInt64(order) { forget(address + page << 12, domain) }
      return
    }
    let start = address & ~(1 << (12 + UInt64(order)) - 1)
    let last = start + (1 << (12 + UInt64(order)) - 1)
    for index in 0..<Self.entryCount {
      let entry = unsafe entries[index]
      guard entry.epoch == epoch, entry.domain == domain else { continue }
      let shift = Self.pageShift(Int(entry.tag & 3))
      let pageStart = (entry.tag >> 2) << shift
      let pageLast = pageStart + (1 << shift - 1)
      if pageStart <= last, pageLast >= start { unsafe entries[index].epoch = 0 }
    }
  }

  private mutating func forget(_ address: UInt64, _ domain: UInt64) {
    let tag = Self.tag(address, 1)
    let first = Self.firstIndex(tag, domain)
    for index in first..<first + Self.wayCount {
      let entry = unsafe entries[index]
      if entry.epoch == epoch, entry.tag == tag, entry.domain == domain {
        unsafe entries[index].epoch = 0
      }
    }
  }
}
