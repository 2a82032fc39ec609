/// A stack of up to 127 first pages of free runs of one size; 1 KiB.
@safe
struct IOVAMagazine: BitwiseCopyable {
  /// The count, then the pages.
  private let words: UnsafeMutablePointer<UInt64>

  static var capacity: Int { 127 }
  /// Runs of 1, 2, 4 ...
  ///
  /// 32 pages are cached.
  static var orderCount: Int { 6 }

  static func make() -> IOVAMagazine {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity + 1)
    unsafe words[0] = 0
    return unsafe IOVAMagazine(words: words)
  }

  private init(words: UnsafeMutablePointer<UInt64>) { unsafe self.words = words }

  /// The magazine at an address, or nil for 0.
  @inline(__always)
  init?(rawValue: UInt) {
    guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: rawValue) else { return nil }
    unsafe self.words = words
  }

  @inline(__always)
  var rawValue: UInt { unsafe UInt(bitPattern: words) }

  func free() { unsafe words.deallocate() }

  @inline(__always)
  var count: Int { Int(truncatingIfNeeded: unsafe words[0]) }

  /// Takes a page that is at most `last`: nearly always the top one.
  @inline(__always)
  func pop(last: UInt64) -> UInt64? {
    let count = count
    // SAFETY: pages 1 to count are set.
    guard count > 0 else { return nil }
    let page = unsafe words[count]
    guard page <= last else { return popBelow(last) }
    unsafe words[0] = UInt64(truncatingIfNeeded: count &- 1)
    return page
  }

  @inline(never)
  private func popBelow(_ last: UInt64) -> UInt64? {
    let count = count
    var index = count
    while index > 0 {
      let page = unsafe words[index]
      if page <= last {
        unsafe words[index] = words[count]
        unsafe words[0] = UInt64(count - 1)
        return page
      }
      index -= 1
    }
    return nil
  }

  /// Puts a page on top; false when there is no room.
  @inline(__always)
  func push(_ page: UInt64) -> Bool {
    let count = count
    guard count < Self.capacity else { return false }
    // SAFETY: at most the last of the 128 words.
    unsafe words[count &+ 1] = page
    unsafe words[0] = UInt64(truncatingIfNeeded: count &+ 1)
    return true
  }
}

/// What stands behind all threads' magazines: for each order up to 32 full ones.
///
/// One empty magazine is kept for each order as well, so that threads which only map and threads
/// which only unmap exchange them without allocating.
@safe
struct IOVADepot: ~Copyable {
  private let full: UnsafeMutablePointer<UInt>
  private let counts: UnsafeMutablePointer<Int>
  private let spare: UnsafeMutablePointer<UInt>

  static var capacity: Int { 32 }

  init() {
    let orders = IOVAMagazine.orderCount
    unsafe full = .allocate(capacity: orders * Self.capacity)
    unsafe counts = .allocate(capacity: orders)
    unsafe spare = .allocate(capacity: orders)
    unsafe full.initialize(repeating: 0, count: orders * Self.capacity)
    unsafe counts.initialize(repeating: 0, count: orders)
    unsafe spare.initialize(repeating: 0, count: orders)
  }

  deinit {
    for order in 0..<IOVAMagazine.orderCount {
      for index in unsafe 0..<counts[order] {
        unsafe IOVAMagazine(rawValue: full[order * Self.capacity + index])?.free()
      }
      unsafe IOVAMagazine(rawValue: spare[order])?.free()
    }
    unsafe full.deallocate()
    unsafe counts.deallocate()
    unsafe spare.deallocate()
  }

  /// A full magazine for an empty one, or nil when there is none: the empty one stays the caller's.
  mutating func exchange(empty: IOVAMagazine, order: Int) -> IOVAMagazine? {
    guard let magazine = removeFull(order: order) else { return nil }
    // SAFETY: orders are below orderCount.
    if unsafe spare[order] == 0 {
      unsafe spare[order] = empty.rawValue
    } else {
      empty.free()
    }
    return magazine
  }

  /// An empty magazine for a full one; the full one comes back when the depot is full as well.
  mutating func exchange(
    full magazine: IOVAMagazine, order: Int
  ) -> (empty: IOVAMagazine, overflow: IOVAMagazine?) {
    let empty: IOVAMagazine
    if let kept = unsafe IOVAMagazine(rawValue: spare[order]) {
      empty = kept
      unsafe spare[order] = 0
    } else {
      empty = .make()
    }
    let count = unsafe counts[order]
    guard count < Self.capacity else { return (empty, magazine) }
    unsafe full[order * Self.capacity + count] = magazine.rawValue
    unsafe counts[order] = count + 1
    return (empty, nil)
  }

  mutating func removeFull(order: Int) -> IOVAMagazine? {
    let count = unsafe counts[order]
    guard count > 0 else { return nil }
    unsafe counts[order] = count - 1
    return unsafe IOVAMagazine(rawValue: full[order * Self.capacity + count - 1])
  }
}
