internal import DMASupport

/// Which cache lines devices may write: a bit a line, a word for 64 of them.
///
/// Open addressing with linear probing. One cache line is touched for a piece of memory of up to a
/// page. A group without lines keeps its entry, because memory is mapped again and again; such
/// entries go when the table is full. Allocates only then.
@safe
struct LineTable: ~Copyable {
  private struct Slot: BitwiseCopyable {
    /// The number of the group plus one; 0 is empty.
    var group: UInt64 = 0
    var lines: UInt64 = 0
  }

  private var slots: UnsafeMutablePointer<Slot>
  private var capacity = 16
  /// How far a hash is shifted right to be the number of a cache line.
  private var homeShift: UInt64 = 62
  /// Groups with an entry.
  private(set) var count = 0

  init() {
    unsafe slots = Self.allocate(capacity)
  }

  /// Empty entries, four in a cache line.
  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
    let slots = unsafe TableMemory.allocate(capacity, of: Slot.self)
    unsafe slots.initialize(repeating: Slot(), count: capacity)
    return unsafe slots
  }

  deinit { unsafe slots.deallocate() }

  @inline(__always)
  private func home(_ group: UInt64) -> Int {
    // Fibonacci hashing, as in AddressTable, of four groups together: see LiveTable.
    let hash = (group &>> 2) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: (hash &>> homeShift) &<< 2 | group & 3)
  }

  /// Asks for what is known of a group, which is looked at soon.
  @inline(__always)
  func prefetch(_ group: UInt64) {
    unsafe dma_prefetch(UInt(bitPattern: slots + home(group &+ 1)))
  }

  /// Notes lines of a group as in use.
  ///
  /// - Returns: those that were already.
  @inline(__always)
  mutating func insert(_ group: UInt64, _ lines: UInt64) -> UInt64 {
    if count &* 10 >= capacity &* 7 { grow() }
    let key = group &+ 1
    var index = home(key)
    while true {
      // SAFETY: `home` and the wrap keep index under `capacity`; the load factor leaves empty slots.
      let seen = unsafe slots[index].group
      if seen == key {
        let old = unsafe slots[index].lines
        unsafe slots[index].lines = old | lines
        return old & lines
      }
      if seen == 0 {
        unsafe slots[index] = Slot(group: key, lines: lines)
        count &+= 1
        return 0
      }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// Notes lines of a group as not in use any more.
  @inline(__always)
  mutating func remove(_ group: UInt64, _ lines: UInt64) {
    let key = group &+ 1
    var index = home(key)
    // SAFETY: as in `insert`.
    while unsafe slots[index].group != key {
      if unsafe slots[index].group == 0 { return }
      index = (index &+ 1) & (capacity &- 1)
    }
    unsafe slots[index].lines &= ~lines
  }

  /// Drops entries without lines, and doubles the table when few were.
  @inline(never)
  private mutating func grow() {
    let old = unsafe slots
    let oldCapacity = capacity
    var usedCount = 0
    // SAFETY: the position is below the capacity.
    for position in 0..<capacity where unsafe old[position].lines != 0 { usedCount += 1 }
    if usedCount * 10 >= capacity * 4 {
      capacity *= 2
      homeShift -= 1
    }
    count = usedCount
    unsafe slots = Self.allocate(capacity)
    for position in 0..<oldCapacity {
      // SAFETY: the position is below the old capacity; as in `insert`.
      let slot = unsafe old[position]
      guard slot.lines != 0 else { continue }
      var index = home(slot.group)
      while unsafe slots[index].group != 0 { index = (index &+ 1) & (capacity &- 1) }
      unsafe slots[index] = slot
    }
    unsafe old.deallocate()
  }
}
