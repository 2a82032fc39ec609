public import Synchronization

/// From a page's bus address to its blocks, read without a lock.
///
/// Pages come under the lock of the pool's books and stay until the pool ends, so a table only ever
/// grows: readers see the old one or the new one, and old ones are kept until then.
@safe
@usableFromInline
struct PoolPageIndex: ~Copyable {
  @safe
  @usableFromInline
  struct Entry: ~Copyable {
    /// All ones: vacant.
    @usableFromInline let page: Atomic<UInt64>
    @usableFromInline var records: UnsafeMutablePointer<PoolRecord>?

    init(page: UInt64) { self.page = Atomic(page) }
  }

  @safe
  @usableFromInline
  struct Table: ~Copyable {
    @usableFromInline let mask: Int
    var count = 0
    @usableFromInline let entries: UnsafeMutablePointer<Entry>
    let older: UnsafeMutablePointer<Table>?

    init(capacity: Int, older: UnsafeMutablePointer<Table>?) {
      mask = capacity - 1
      unsafe self.older = unsafe older
      unsafe entries = .allocate(capacity: capacity)
      for index in 0..<capacity {
        unsafe (entries + index).initialize(to: Entry(page: .max))
      }
    }

    deinit {
      // SAFETY: made in `init`; entries are trivial but for being noncopyable.
      unsafe entries.deallocate()
    }

    mutating func add(_ page: UInt64, _ records: UnsafeMutablePointer<PoolRecord>?) {
      var index = Int(truncatingIfNeeded: page >> 12) & mask
      // SAFETY: indices are masked; half of the entries are vacant.
      while unsafe entries[index].page.load(ordering: .relaxed) != .max {
        index = (index &+ 1) & mask
      }
      unsafe entries[index].records = unsafe records
      // Releasing: who sees the page sees its records.
      unsafe entries[index].page.store(page, ordering: .releasing)
      count += 1
    }
  }

  @usableFromInline let current = Atomic<UInt>(0)

  init() {}

  @inlinable
  static func table(_ bits: UInt) -> UnsafeMutablePointer<Table>? {
    unsafe UnsafeMutablePointer<Table>(bitPattern: bits)
  }

  deinit { clear() }

  /// The blocks of the page at a bus address; nil when there is none.
  @inlinable
  @inline(__always)
  func find(_ page: UInt64) -> UnsafeMutablePointer<PoolRecord>? {
    // Acquiring: pairs with `insert`.
    guard let table = unsafe Self.table(current.load(ordering: .acquiring)) else { return nil }
    let mask = unsafe table.pointee.mask
    let entries = unsafe table.pointee.entries
    var index = Int(truncatingIfNeeded: page >> 12) & mask
    while true {
      // SAFETY: indices are masked, and tables stay until the pool ends.
      let seen = unsafe entries[index].page.load(ordering: .acquiring)
      if seen == page { return unsafe entries[index].records }
      if seen == .max { return nil }
      index = (index &+ 1) & mask
    }
  }

  /// Adds a page; the lock of the pool's books is held.
  func insert(_ page: UInt64, _ records: UnsafeMutablePointer<PoolRecord>) {
    let old = unsafe Self.table(current.load(ordering: .relaxed))
    if let old = unsafe old, unsafe old.pointee.count * 2 < old.pointee.mask {
      return unsafe old.pointee.add(page, records)
    }
    let capacity = unsafe old.map { unsafe ($0.pointee.mask + 1) * 2 } ?? 8
    let fresh = UnsafeMutablePointer<Table>.allocate(capacity: 1)
    unsafe fresh.initialize(to: Table(capacity: capacity, older: old))
    if let old = unsafe old {
      for index in unsafe 0...old.pointee.mask {
        // SAFETY: the index is within the old table.
        let key = unsafe old.pointee.entries[index].page.load(ordering: .relaxed)
        if key != .max { unsafe fresh.pointee.add(key, old.pointee.entries[index].records) }
      }
    }
    unsafe fresh.pointee.add(page, records)
    // Releasing: who sees the table sees what is in it.
    current.store(UInt(bitPattern: fresh), ordering: .releasing)
  }

  /// Forgets all pages, when nobody looks any more.
  func clear() {
    var next = unsafe Self.table(current.exchange(0, ordering: .acquiringAndReleasing))
    while let table = unsafe next {
      unsafe next = table.pointee.older
      // SAFETY: made in `insert`, and taken out of sight above.
      unsafe table.deinitialize(count: 1)
      unsafe table.deallocate()
    }
  }
}
