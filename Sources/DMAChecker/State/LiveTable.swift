internal import DMA
internal import DMASupport

/// The live mappings, found by where they start or by any address inside; they may overlap.
///
/// Open addressing with linear probing over slots of 32 bytes: a correct map or unmap touches one
/// cache line. Neighbours in memory are neighbours in the table, which a ring of buffers walks
/// along. Removal moves slots back, so a place is valid until the table next changes. Allocates
/// only to grow.
///
/// A mapping is filed under the granule its start lies in, so looking up an inner address walks back
/// granule by granule, as far as the longest mapping ever kept.
@safe
struct LiveTable: ~Copyable {
  private var slots: UnsafeMutablePointer<LiveSlot>
  /// As many as slots; set where a slot says so.
  private var rests: UnsafeMutablePointer<LiveRest>
  /// A power of two, or 0 for a table that has nothing yet.
  private var capacity = 0
  private var mask = 0
  /// No more than this without growing.
  private var countMax = 0
  private(set) var count = 0
  /// How far a hash is shifted right to be the number of a group of eight slots.
  private var homeShift: UInt64 = 63
  /// Addresses that differ only below this bit are filed together.
  private let shift: UInt64
  private let capacityMax: Int
  /// The longest mapping ever kept.
  private var byteCountMax: UInt64 = 0

  /// An empty table.
  ///
  /// - Parameter capacityMax: how many slots it may have, about.
  init(granuleShift: UInt64 = 11, capacityMax: Int) {
    shift = granuleShift
    self.capacityMax = capacityMax
    unsafe slots = .allocate(capacity: 1)
    unsafe rests = .allocate(capacity: 1)
  }

  deinit {
    unsafe slots.deallocate()
    unsafe rests.deallocate()
  }

  /// Where the search for what starts at an address begins.
  @inline(__always)
  private func home(_ owner: UInt64, _ address: UInt64) -> Int {
    // Fibonacci hashing of eight granules together.
    let granule = address &>> shift
    let key = granule &>> 3 &+ owner &* 0xd6e8_feb8_6659_fd93
    let hash = key &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: (hash &>> homeShift) &<< 3 | granule & 7)
  }

  @inline(__always)
  private func home(_ slot: LiveSlot) -> Int { home(slot.key &>> 16 & 0xffff, slot.address) }

  /// Asks for where something that starts at an address is kept.
  @inline(__always)
  func prefetch(_ owner: UInt32, _ address: UInt64) {
    unsafe dma_prefetch(UInt(bitPattern: slots + home(UInt64(owner), address)))
  }

  // MARK: Insertion and removal

  /// Keeps a mapping.
  ///
  /// - Returns: false, with nothing kept, when the table may not grow further, or its device or
  ///   place has too high a number.
  mutating func insert(_ mapping: LiveMapping) -> Bool {
    precondition(mapping.address != .max, "all-ones is not an address")
    guard mapping.fitsSlot else { return false }
    let (slot, rest) = mapping.packed
    guard let place = insert(slot, mapping.byteCount) else { return false }
    // SAFETY: the place is below the capacity.
    if let rest { unsafe rests[place] = rest }
    return true
  }

  /// Keeps a slot, and returns its place.
  @inline(__always)
  mutating func insert(_ slot: LiveSlot, _ byteCount: UInt64) -> Int? {
    if count >= countMax {
      guard grow() else { return nil }
    }
    var index = home(slot)
    // SAFETY: `home` and the mask keep the index under the capacity; some slots are always empty.
    while unsafe slots[index].address != .max { index = (index &+ 1) & mask }
    unsafe slots[index] = slot
    count &+= 1
    if byteCount > byteCountMax { byteCountMax = byteCount }
    return index
  }

  /// Removes what is at a place; others may move.
  @inline(__always)
  mutating func remove(at place: Int) {
    var hole = place
    var index = (place &+ 1) & mask
    // SAFETY: all indices are masked; slots behind the hole move back when their home does not lie
    // between the hole and themselves.
    while unsafe slots[index].address != .max {
      let distanceToHome = unsafe (index &- home(slots[index])) & mask
      if distanceToHome >= (index &- hole) & mask {
        move(index, to: hole)
        hole = index
      }
      index = (index &+ 1) & mask
    }
    unsafe slots[hole].address = .max
    count &-= 1
  }

  @inline(never)
  private func move(_ from: Int, to hole: Int) {
    // SAFETY: both are below the capacity.
    unsafe slots[hole] = slots[from]
    if unsafe slots[from].hasRest { unsafe rests[hole] = rests[from] }
  }

  // MARK: Look-up

  /// The mapping at a place that one of the look-ups gave.
  ///
  /// Address and device decide where it is found: they must not be changed.
  subscript(place: Int) -> LiveMapping {
    get {
      precondition(place >= 0 && place < capacity, "no slot there")
      return unsafe LiveMapping(slots[place], rest: rests[place])
    }
    nonmutating set {
      precondition(place >= 0 && place < capacity, "no slot there")
      let (slot, rest) = newValue.packed
      unsafe slots[place] = slot
      if let rest { unsafe rests[place] = rest }
    }
  }

  /// A slot that one of the look-ups gave, where it lies.
  @inline(__always)
  func slot(at place: Int) -> UnsafeMutablePointer<LiveSlot> { unsafe slots + place }

  /// What is kept beside a slot; only where it says so.
  func rest(at place: Int) -> LiveRest { unsafe rests[place] }

  /// The first mapping that starts exactly there.
  func find(_ owner: UInt32, _ address: UInt64) -> Int? {
    guard capacity > 0 else { return nil }
    return search(owner, address, from: home(UInt64(owner), address))
  }

  /// One more that starts where the one at `place` does.
  func find(after place: Int) -> Int? {
    let mapping = self[place]
    return search(mapping.owner, mapping.address, from: (place &+ 1) & mask)
  }

  private func search(_ owner: UInt32, _ address: UInt64, from start: Int) -> Int? {
    var index = start
    // SAFETY: as in `insert`.
    while unsafe slots[index].address != .max {
      if unsafe slots[index].address == address, unsafe slots[index].owner == owner {
        return index
      }
      index = (index &+ 1) & mask
    }
    return nil
  }

  /// The first mapping that is exactly this: without a rest, the place that made it left aside.
  @inline(__always)
  func find(
    _ owner: UInt32, _ address: UInt64, _ cpuAddress: UInt64, key: UInt64, state: UInt64,
    mask stateMask: UInt64
  ) -> Int? {
    guard capacity > 0 else { return nil }
    var index = home(UInt64(owner), address)
    while true {
      // SAFETY: as in `insert`.
      let slot = unsafe slots + index
      let seen = unsafe slot.pointee.address
      if seen == address {
        let difference =
          unsafe (slot.pointee.cpuAddress ^ cpuAddress)
          | ((slot.pointee.key ^ key) & LiveSlot.keyMask)
          | ((slot.pointee.state ^ state) & stateMask)
        if difference == 0 { return index }
      }
      if seen == .max { return nil }
      index = (index &+ 1) & mask
    }
  }

  /// The smallest mapping that contains all of these bytes and that `accepts` takes.
  func find(
    _ owner: UInt32, containing address: UInt64, byteCount: UInt64,
    where accepts: (LiveMapping) -> Bool = { _ in true }
  ) -> Int? {
    guard count > 0 else { return nil }
    var found: Int?
    var foundByteCount = UInt64.max
    func consider(_ place: Int) {
      // SAFETY: callers pass places of slots that are not empty.
      guard unsafe slots[place].owner == owner, unsafe slots[place].address <= address else {
        return
      }
      let mapping = self[place]
      let offset = address - mapping.address
      guard offset < mapping.byteCount, byteCount <= mapping.byteCount - offset,
        mapping.byteCount < foundByteCount, accepts(mapping)
      else { return }
      found = place
      foundByteCount = mapping.byteCount
    }
    let last = address &>> shift
    let first = (address - min(address, byteCountMax)) &>> shift
    guard last - first < UInt64(capacity / 2) else {
      for place in 0..<capacity where unsafe slots[place].address != .max { consider(place) }
      return found
    }
    for granule in first...last {
      var index = home(UInt64(owner), granule &<< shift)
      // SAFETY: as in `insert`.
      while unsafe slots[index].address != .max {
        if unsafe slots[index].address &>> shift == granule { consider(index) }
        index = (index &+ 1) & mask
      }
    }
    return found
  }

  /// Calls `body` with every mapping and its place, in no order; `body` must not add or remove.
  func forEach(_ body: (Int, LiveMapping) -> Void) {
    for place in 0..<capacity where unsafe slots[place].address != .max {
      body(place, self[place])
    }
  }

  // MARK: Growth

  @inline(never)
  private mutating func grow() -> Bool {
    let oldCapacity = capacity
    let wanted = oldCapacity == 0 ? 32 : oldCapacity * 2
    guard wanted <= capacityMax else { return false }
    let oldSlots = unsafe slots
    let oldRests = unsafe rests
    unsafe slots = TableMemory.allocate(wanted, of: LiveSlot.self)
    unsafe slots.initialize(repeating: .empty, count: wanted)
    // Never touched as long as all mappings fit their slots.
    unsafe rests = .allocate(capacity: wanted)
    capacity = wanted
    mask = wanted - 1
    countMax = wanted / 10 * 7
    homeShift = UInt64(wanted.leadingZeroBitCount) + 4
    // SAFETY: places are below the old capacity, indices below the new; everything is trivial.
    for place in 0..<oldCapacity where unsafe oldSlots[place].address != .max {
      var index = home(unsafe oldSlots[place])
      while unsafe slots[index].address != .max { index = (index &+ 1) & mask }
      unsafe slots[index] = oldSlots[place]
      if unsafe oldSlots[place].hasRest { unsafe rests[index] = oldRests[place] }
    }
    unsafe oldSlots.deallocate()
    unsafe oldRests.deallocate()
    return true
  }
}
