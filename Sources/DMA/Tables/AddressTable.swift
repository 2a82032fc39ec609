/// A table from addresses to small values, without hashing seeds or counted references.
///
/// Open addressing with linear probing; removal moves entries back, so nothing accumulates.
/// All-ones is not a key: no mapping ever has that address (it is Linux's error marker).
/// Look-up, insertion and removal are O(1) on average; insertion is O(n) when it grows.
@safe
@frozen
@usableFromInline
package struct AddressTable<Value: BitwiseCopyable>: ~Copyable {
  @usableFromInline
  package struct Slot {
    @usableFromInline package var key: UInt64
    @usableFromInline package var value: Value
    @inlinable
    package init(key: UInt64, value: Value) {
      self.key = key
      self.value = value
    }
  }

  @usableFromInline package var slots: UnsafeMutablePointer<Slot>?
  @usableFromInline package var capacity: Int
  @usableFromInline package var count_: Int

  /// An empty table, which allocates nothing.
  @inlinable
  package init() {
    unsafe slots = nil
    capacity = 0
    count_ = 0
  }

  @inlinable
  deinit { unsafe slots?.deallocate() }

  /// How many entries there are.
  @inlinable
  package var count: Int { count_ }

  // Fibonacci hashing: page-aligned keys differ in their middle bits, which this spreads.
  @inlinable
  package static func bucket(_ key: UInt64, _ capacity: Int) -> Int {
    let shift = UInt64(capacity.leadingZeroBitCount) + 1
    return Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> shift)
  }

  /// Where `key` is or would be.
  @inlinable
  package func find(_ key: UInt64) -> Int? {
    guard capacity > 0, let slots = unsafe slots else { return nil }
    var index = Self.bucket(key, capacity)
    while true {
      // SAFETY: `bucket` and the wrap below keep index under `capacity`; every slot's key is set.
      let seen = unsafe slots[index].key
      if seen == .max { return nil }
      if seen == key { return index }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// The value stored for `key`.
  @inlinable
  package subscript(key: UInt64) -> Value? {
    guard let index = find(key), let slots = unsafe slots else { return nil }
    // SAFETY: `find` returns an index of an occupied slot.
    return unsafe slots[index].value
  }

  /// Stores a value, replacing the one that was there; returns the one replaced.
  @inlinable
  @discardableResult
  package mutating func insert(_ value: Value, for key: UInt64) -> Value? {
    precondition(key != .max, "all-ones is not an address")
    if count_ &* 10 >= capacity &* 7 { grow() }
    guard let slots = unsafe slots else { return nil }
    var index = Self.bucket(key, capacity)
    while true {
      // SAFETY: as in `find`; the load factor leaves an empty slot, so the loop ends.
      let seen = unsafe slots[index].key
      if seen == key {
        let old = unsafe slots[index].value
        unsafe slots[index].value = value
        return old
      }
      if seen == .max {
        unsafe slots[index] = Slot(key: key, value: value)
        count_ &+= 1
        return nil
      }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// Removes an entry and returns its value.
  @inlinable
  @discardableResult
  package mutating func remove(_ key: UInt64) -> Value? {
    guard let found = find(key), let slots = unsafe slots else { return nil }
    // SAFETY: all indices are masked by the capacity; entries behind the hole move back when their
    // home bucket does not lie between the hole and themselves.
    let removed = unsafe slots[found].value
    var hole = found
    var index = (found &+ 1) & (capacity &- 1)
    while unsafe slots[index].key != .max {
      let home = Self.bucket(unsafe slots[index].key, capacity)
      let distanceToHome = (index &- home) & (capacity &- 1)
      let distanceToHole = (index &- hole) & (capacity &- 1)
      if distanceToHome >= distanceToHole {
        unsafe slots[hole] = slots[index]
        hole = index
      }
      index = (index &+ 1) & (capacity &- 1)
    }
    unsafe slots[hole].key = .max
    count_ &-= 1
    return removed
  }

  /// Calls `body` with every entry, in no order.
  ///
  /// `body` must not change the table.
  @inlinable
  package func forEach(_ body: (UInt64, Value) -> Void) {
    guard let slots = unsafe slots else { return }
    for index in 0..<capacity {
      // SAFETY: index is below the capacity.
      let slot = unsafe slots[index]
      if slot.key != .max { body(slot.key, slot.value) }
    }
  }

  @usableFromInline
  package mutating func grow() {
    let oldCapacity = capacity
    let old = unsafe slots
    let capacity = oldCapacity == 0 ? 16 : oldCapacity * 2
    let fresh = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    // SAFETY: Slot is trivial; only its key must be set for the slot to count as empty.
    unsafe UnsafeMutableRawPointer(fresh).initializeMemory(
      as: UInt8.self, repeating: 0xff, count: capacity * MemoryLayout<Slot>.stride)
    unsafe slots = fresh
    self.capacity = capacity
    count_ = 0
    guard let old = unsafe old else { return }
    for index in 0..<oldCapacity {
      // SAFETY: index is below the old capacity.
      let slot = unsafe old[index]
      if slot.key != .max { insert(slot.value, for: slot.key) }
    }
    unsafe old.deallocate()
  }
}
