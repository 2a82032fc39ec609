/// A stack of first pages of free runs of one size, up to 127 of them; 1 KiB.
///
/// Word 0 is the index of the top. The word below the lowest page is `bottom`, which is beyond every
/// space: that one is read when the stack is empty, and never fits. Of runs above 32 pages a stack
/// holds few, because what threads keep is missing elsewhere: its lowest page lies high up, so that
/// all stacks are full at the same index.
@safe
@usableFromInline
struct IOVAMagazine: BitwiseCopyable {
  @usableFromInline let words: UnsafeMutablePointer<UInt64>

  /// What stands where there is no magazine: empty for who takes, full for who puts, so that neither
  /// has to look for it.
  ///
  /// Never written.
  nonisolated(unsafe) static let none: IOVAMagazine = {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: lastIndex + 1)
    // SAFETY: freshly allocated; never freed.
    unsafe words.initialize(repeating: 0, count: lastIndex + 1)
    unsafe words[lastIndex] = bottom
    unsafe words[0] = UInt64(lastIndex)
    return unsafe IOVAMagazine(words: words)
  }()

  var isNone: Bool { unsafe words == Self.none.words }

  /// How many runs of up to 32 pages there is room for.
  static var capacity: Int { lastIndex - 1 }
  @inlinable static var lastIndex: Int { 128 }
  private static var bottom: UInt64 { 1 << 62 }
  /// How many sizes are cached: 1, 2, 4 and so on up to 512 pages.
  static var orderCount: Int { 10 }
  /// The orders that Linux caches too, with all the room there is.
  static var plentifulOrderCount: Int { 6 }

  /// An empty one.
  static func make(order: Int) -> IOVAMagazine {
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: lastIndex + 1)
    let lowest = lastIndex - (order < plentifulOrderCount ? capacity : 8)
    unsafe words[lowest] = bottom
    unsafe words[0] = UInt64(lowest)
    return unsafe IOVAMagazine(words: words)
  }

  @usableFromInline
  init(words: UnsafeMutablePointer<UInt64>) { unsafe self.words = words }

  /// The magazine at an address, or nil for 0.
  @inlinable
  @inline(__always)
  init?(rawValue: UInt) {
    guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: rawValue) else { return nil }
    unsafe self.words = words
  }

  @inline(__always)
  var rawValue: UInt { unsafe UInt(bitPattern: words) }

  /// Gives the memory back; not for `none`.
  func free() { unsafe words.deallocate() }

  @inlinable
  @inline(__always)
  var top: Int { Int(truncatingIfNeeded: unsafe words[0]) }

  // SAFETY: the top is an index of one of the words.
  var isEmpty: Bool { unsafe words[top] == Self.bottom }

  /// Takes the top run when its `count` pages end at or below page `end`; 0 when they do not, and
  /// when there is none.
  @inlinable
  @inline(__always)
  func popTop(_ count: UInt64, below end: UInt64) -> UInt64 {
    let top = top
    // SAFETY: as above.
    let page = unsafe words[top]
    guard page &+ count <= end else { return 0 }
    unsafe words[0] = UInt64(truncatingIfNeeded: top &- 1)
    return page
  }

  /// The same for one page.
  @inline(__always)
  func popPage(below end: UInt64) -> UInt64 {
    let top = top
    // SAFETY: as above.
    let page = unsafe words[top]
    guard page < end else { return 0 }
    unsafe words[0] = UInt64(truncatingIfNeeded: top &- 1)
    return page
  }

  /// The same for any of the runs, the upper ones first.
  func pop(_ count: UInt64, below end: UInt64) -> UInt64 {
    let top = top
    var index = top
    while true {
      // SAFETY: the loop ends at the word below the lowest page at the latest.
      let page = unsafe words[index]
      if page == Self.bottom { return 0 }
      if page + count <= end {
        unsafe words[index] = words[top]
        unsafe words[0] = UInt64(top - 1)
        return page
      }
      index -= 1
    }
  }

  /// Puts a page on top; false when there is no room.
  @inlinable
  @inline(__always)
  func push(_ page: UInt64) -> Bool {
    let top = top
    guard top < Self.lastIndex else { return false }
    // SAFETY: at most the last of the words.
    unsafe words[top &+ 1] = page
    unsafe words[0] = UInt64(truncatingIfNeeded: top &+ 1)
    return true
  }
}

/// What stands behind all threads' magazines: full ones, of each order so many that they hold at
/// most 65,536 pages but at least 32 of them, and 2 of runs above 32 pages.
///
/// One empty magazine is kept for each order as well, so that threads which only map and threads
/// which only unmap exchange them without allocating.
@safe
struct IOVADepot: ~Copyable {
  /// The addresses of full ones, order after order.
  private let full: UnsafeMutablePointer<UInt>
  private let counts: UnsafeMutablePointer<Int>
  private let spare: UnsafeMutablePointer<UInt>

  /// How many of an order fit.
  static func capacity(order: Int) -> Int {
    order < IOVAMagazine.plentifulOrderCount ? max(32, 512 >> order) : 2
  }

  /// Where an order's begin in `full`.
  private static func start(order: Int) -> Int {
    var sum = 0
    for lower in 0..<order { sum += capacity(order: lower) }
    return sum
  }

  init() {
    let orders = IOVAMagazine.orderCount
    unsafe full = .allocate(capacity: Self.start(order: orders))
    unsafe counts = .allocate(capacity: orders)
    unsafe spare = .allocate(capacity: orders)
    unsafe full.initialize(repeating: 0, count: Self.start(order: orders))
    unsafe counts.initialize(repeating: 0, count: orders)
    unsafe spare.initialize(repeating: 0, count: orders)
  }

  deinit {
    for order in 0..<IOVAMagazine.orderCount {
      for index in unsafe 0..<counts[order] {
        unsafe IOVAMagazine(rawValue: full[Self.start(order: order) + index])?.free()
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
      empty = .make(order: order)
    }
    let count = unsafe counts[order]
    guard count < Self.capacity(order: order) else { return (empty, magazine) }
    unsafe full[Self.start(order: order) + count] = magazine.rawValue
    unsafe counts[order] = count + 1
    return (empty, nil)
  }

  mutating func removeFull(order: Int) -> IOVAMagazine? {
    let count = unsafe counts[order]
    guard count > 0 else { return nil }
    unsafe counts[order] = count - 1
    return unsafe IOVAMagazine(rawValue: full[Self.start(order: order) + count - 1])
  }
}
