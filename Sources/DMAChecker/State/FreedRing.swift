/// The mappings that ended last: a ring, whose next place to be overwritten holds the oldest.
@safe
struct FreedRing: ~Copyable {
  private struct Entry: BitwiseCopyable {
    var slot: LiveSlot
    var time: UInt64
    var site: UInt32
  }

  private let entries: UnsafeMutablePointer<Entry>
  /// What slots have no room for; set where a slot says so.
  private let rests: UnsafeMutablePointer<LiveRest>
  private let countMax: Int
  private var next = 0
  /// Whether every place was used.
  private var isFull = false

  /// - Parameter countMax: how many it holds; 0 for none.
  init(countMax: Int) {
    self.countMax = countMax
    unsafe entries = .allocate(capacity: max(1, countMax))
    unsafe rests = .allocate(capacity: max(1, countMax))
  }

  deinit {
    unsafe entries.deallocate()
    unsafe rests.deallocate()
  }

  /// Says what the slot that is added next has no room for.
  func note(_ rest: LiveRest) { unsafe rests[next] = rest }

  /// Adds a mapping that ended at a place of the source.
  @inline(__always)
  mutating func add(_ slot: LiveSlot, _ site: UInt32, _ time: UInt64) {
    guard countMax > 0 else { return }
    // SAFETY: `next` is below the capacity.
    let place = unsafe entries + next
    unsafe place.pointee.slot = slot
    unsafe place.pointee.time = time
    unsafe place.pointee.site = site
    next &+= 1
    if next == countMax {
      next = 0
      isFull = true
    }
  }

  /// The one that ended last of those that `accepts` takes.
  func last(where accepts: (FreedMapping) -> Bool) -> FreedMapping? {
    let count = isFull ? countMax : next
    var index = next
    for _ in 0..<count {
      index = (index == 0 ? countMax : index) - 1
      // SAFETY: the last `count` entries are set.
      let entry = unsafe entries[index]
      let freed = unsafe FreedMapping(
        mapping: LiveMapping(entry.slot, rest: rests[index]), time: entry.time, site: entry.site)
      if accepts(freed) { return freed }
    }
    return nil
  }
}
