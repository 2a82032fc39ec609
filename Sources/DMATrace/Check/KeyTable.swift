import DMA

/// From an address of a device to a record, by open addressing.
///
/// Several records may share a key (memory mapped twice at once): the table holds the newest, and
/// records chain to older ones themselves.
@safe
struct KeyTable {
  struct Slot {
    var address: UInt64
    /// The device's number, and in the upper bits what kind of key this is.
    var owner: UInt32
    /// The record's number plus one; 0 says that the slot is free.
    var record: UInt32
  }
  // SAFETY: owned; `mask + 1` initialized slots, at least a quarter of them free.
  private var slots: UnsafeMutablePointer<Slot>
  private var mask: Int
  private(set) var count = 0
  /// How many keys it takes before it grows.
  ///
  /// While it is small, three quarters stay free: a probe that finds its slot at once is one the
  /// processor guesses right. A large one waits for memory anyway, and must not take more of it.
  private var most: Int
  private static func most(_ capacity: Int) -> Int {
    capacity <= 1 << 16 ? capacity / 4 : capacity / 4 * 3
  }

  init(capacity: Int = 1 << 12) {
    mask = capacity - 1
    most = Self.most(capacity)
    unsafe slots = .allocate(capacity: capacity)
    unsafe slots.initialize(repeating: Slot(address: 0, owner: 0, record: 0), count: capacity)
  }

  func deallocate() { unsafe slots.deallocate() }

  @inline(__always)
  private func home(_ address: UInt64, _ owner: UInt32) -> Int {
    let mixed = (address ^ (UInt64(owner) &<< 40)) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed ^ (mixed &>> 32)) & mask
  }

  /// The record of a key, or nil.
  @inline(__always)
  func record(_ address: UInt64, _ owner: UInt32) -> Int? {
    var at = home(address, owner)
    while true {
      let slot = unsafe slots[at]
      if slot.record == 0 { return nil }
      if slot.address == address, slot.owner == owner { return Int(slot.record) &- 1 }
      at = (at &+ 1) & mask
    }
  }

  /// Puts a record at a key and returns the one that stood there.
  @inline(__always)
  mutating func put(_ address: UInt64, _ owner: UInt32, _ record: Int) -> Int? {
    if count >= most { grow() }
    var at = home(address, owner)
    while true {
      let slot = unsafe slots[at]
      if slot.record == 0 { break }
      if slot.address == address, slot.owner == owner {
        unsafe slots[at].record = UInt32(truncatingIfNeeded: record &+ 1)
        return Int(slot.record) &- 1
      }
      at = (at &+ 1) & mask
    }
    unsafe slots[at] = Slot(
      address: address, owner: owner, record: UInt32(truncatingIfNeeded: record &+ 1))
    count &+= 1
    return nil
  }

  /// Takes a key out and closes the gap it leaves; false when another record stands there, or none.
  @inline(__always)
  mutating func remove(_ address: UInt64, _ owner: UInt32, onlyFor record: Int) -> Bool {
    var at = home(address, owner)
    while true {
      let slot = unsafe slots[at]
      if slot.record == 0 { return false }
      if slot.address == address, slot.owner == owner {
        guard slot.record == UInt32(truncatingIfNeeded: record &+ 1) else { return false }
        break
      }
      at = (at &+ 1) & mask
    }
    count &-= 1
    var next = at
    while true {
      next = (next &+ 1) & mask
      let slot = unsafe slots[next]
      if slot.record == 0 { break }
      let wanted = home(slot.address, slot.owner)
      if (next &- wanted) & mask >= (next &- at) & mask {
        unsafe slots[at] = slot
        at = next
      }
    }
    unsafe slots[at].record = 0
    return true
  }

  private mutating func grow() {
    let old = unsafe slots
    let oldMask = mask
    mask = mask * 2 + 1
    most = Self.most(mask + 1)
    unsafe slots = .allocate(capacity: mask + 1)
    unsafe slots.initialize(repeating: Slot(address: 0, owner: 0, record: 0), count: mask + 1)
    for index in 0...oldMask where unsafe old[index].record != 0 {
      var at = unsafe home(old[index].address, old[index].owner)
      while unsafe slots[at].record != 0 { at = (at &+ 1) & mask }
      unsafe slots[at] = unsafe old[index]
    }
    unsafe old.deallocate()
  }
}
