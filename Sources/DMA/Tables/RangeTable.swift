/// A range of addresses that a `RangeTable` keeps.
@usableFromInline
package protocol RangeRecord: BitwiseCopyable {
  /// Whose range it is: ranges of different owners have nothing to do with each other.
  var owner: UInt32 { get }
  /// The first address; all ones marks a free slot and is no range's.
  var address: UInt64 { get }
  var byteCount: UInt64 { get }
  /// What a free slot holds.
  static var vacant: Self { get }
}

/// A table of ranges that may overlap, found by their start or by any address inside.
///
/// Open addressing with the records in the slots: an insertion or a removal touches about one
/// cache line of the table. A range is filed under the granule its start lies in, so looking up
/// an inner address walks back granule by granule, as far as the longest range ever kept.
@safe
@frozen
@usableFromInline
package struct RangeTable<Record: RangeRecord>: ~Copyable {
  @usableFromInline package var slots: UnsafeMutablePointer<Record>?
  @usableFromInline package var capacity: Int
  @usableFromInline package var count_: Int
  /// The longest range ever kept.
  @usableFromInline package var byteCountMax: UInt64
  /// Addresses that differ only below this bit are filed together.
  @usableFromInline package let shift: UInt64
  /// No more slots than this.
  @usableFromInline package let capacityMax: Int

  /// An empty table, which allocates nothing.
  @inlinable
  package init(granuleShift: UInt64 = 11, capacityMax: Int = .max) {
    unsafe slots = nil
    capacity = 0
    count_ = 0
    byteCountMax = 0
    shift = granuleShift
    self.capacityMax = capacityMax
  }

  @inlinable
  deinit { unsafe slots?.deallocate() }

  /// How many ranges there are.
  @inlinable
  package var count: Int { count_ }

  @inlinable
  package func home(_ owner: UInt32, _ granule: UInt64) -> Int {
    // Fibonacci hashing, as in AddressTable.
    let key = granule &+ UInt64(owner) &* 0xd6e8_feb8_6659_fd93
    let bits = UInt64(capacity.leadingZeroBitCount) + 1
    return Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> bits)
  }

  /// Keeps a range.
  ///
  /// - Returns: false, with nothing kept, when the table may not grow further.
  @inlinable
  package mutating func insert(_ record: Record) -> Bool {
    precondition(record.address != .max, "all-ones is not an address")
    if count_ &* 10 >= capacity &* 7 {
      guard grow() else { return false }
    }
    place(record)
    return true
  }

  @inlinable
  mutating func place(_ record: Record) {
    guard let slots = unsafe slots else { return }
    var index = home(record.owner, record.address >> shift)
    // SAFETY: `home` and the wrap keep index under `capacity`; the load factor leaves vacant slots.
    while unsafe slots[index].address != .max { index = (index &+ 1) & (capacity &- 1) }
    unsafe slots[index] = record
    count_ &+= 1
    byteCountMax = max(byteCountMax, record.byteCount)
  }

  /// The record at an index that one of the look-ups gave.
  @inlinable
  package subscript(index: Int) -> Record {
    get {
      guard let slots = unsafe slots, index < capacity else { return .vacant }
      return unsafe slots[index]
    }
    set {
      guard let slots = unsafe slots, index < capacity else { return }
      // Address and owner decide where a record is found: they must not change.
      unsafe slots[index] = newValue
    }
  }

  /// The first range that starts exactly there.
  @inlinable
  package func find(_ owner: UInt32, _ address: UInt64) -> Int? {
    guard capacity > 0 else { return nil }
    return search(owner, address, from: home(owner, address >> shift))
  }

  /// One more that starts where the one at `index` does.
  @inlinable
  package func find(after index: Int) -> Int? {
    let record = self[index]
    return search(record.owner, record.address, from: (index &+ 1) & (capacity &- 1))
  }

  @inlinable
  func search(_ owner: UInt32, _ address: UInt64, from start: Int) -> Int? {
    guard let slots = unsafe slots else { return nil }
    var index = start
    while true {
      // SAFETY: as in `place`.
      let seen = unsafe slots[index].address
      if seen == .max { return nil }
      if seen == address, unsafe slots[index].owner == owner { return index }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// The smallest range that contains all of these bytes and that `accepts` takes.
  package func find(
    _ owner: UInt32, containing address: UInt64, byteCount: UInt64,
    where accepts: (Record) -> Bool = { _ in true }
  ) -> Int? {
    guard let slots = unsafe slots, count_ > 0 else { return nil }
    var found: Int?
    var foundByteCount = UInt64.max
    func consider(_ index: Int) {
      // SAFETY: callers pass indices under the capacity.
      let record = unsafe slots[index]
      guard record.owner == owner, record.address <= address else { return }
      let offset = address - record.address
      guard offset < record.byteCount, byteCount <= record.byteCount - offset,
        record.byteCount < foundByteCount, accepts(record)
      else { return }
      found = index
      foundByteCount = record.byteCount
    }
    let last = address >> shift
    let reach = min(address, byteCountMax)
    let first = (address - reach) >> shift
    guard last - first < UInt64(capacity / 2) else {
      for index in 0..<capacity where unsafe slots[index].address != .max { consider(index) }
      return found
    }
    for granule in first...last {
      var index = home(owner, granule)
      while unsafe slots[index].address != .max {
        if unsafe slots[index].address >> shift == granule { consider(index) }
        index = (index &+ 1) & (capacity &- 1)
      }
    }
    return found
  }

  /// Removes the record at an index; all other indices change.
  @inlinable
  package mutating func remove(at found: Int) {
    guard let slots = unsafe slots else { return }
    // SAFETY: all indices are masked by the capacity; entries behind the hole move back when their
    // home does not lie between the hole and themselves.
    var hole = found
    var index = (found &+ 1) & (capacity &- 1)
    while unsafe slots[index].address != .max {
      let home = unsafe home(slots[index].owner, slots[index].address >> shift)
      let distanceToHome = (index &- home) & (capacity &- 1)
      let distanceToHole = (index &- hole) & (capacity &- 1)
      if distanceToHome >= distanceToHole {
        unsafe slots[hole] = slots[index]
        hole = index
      }
      index = (index &+ 1) & (capacity &- 1)
    }
    unsafe slots[hole] = .vacant
    count_ &-= 1
  }

  /// Calls `body` with every range and its index, in no order; `body` must not change the table.
  package func forEach(_ body: (Int, Record) -> Void) {
    guard let slots = unsafe slots else { return }
    for index in 0..<capacity {
      // SAFETY: index is below the capacity.
      let record = unsafe slots[index]
      if record.address != .max { body(index, record) }
    }
  }

  @usableFromInline
  package mutating func grow() -> Bool {
    let oldCapacity = capacity
    let old = unsafe slots
    let wanted = oldCapacity == 0 ? 16 : oldCapacity * 2
    guard wanted <= capacityMax else { return false }
    // On cache lines of their own, so that a record of 64 bytes lies in one.
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: wanted * MemoryLayout<Record>.stride, alignment: 64)
    let fresh = unsafe raw.bindMemory(to: Record.self, capacity: wanted)
    unsafe fresh.initialize(repeating: .vacant, count: wanted)
    unsafe slots = fresh
    capacity = wanted
    count_ = 0
    guard let old = unsafe old else { return true }
    for index in 0..<oldCapacity {
      // SAFETY: index is below the old capacity.
      let record = unsafe old[index]
      if record.address != .max { place(record) }
    }
    unsafe old.deallocate()
    return true
  }
}
