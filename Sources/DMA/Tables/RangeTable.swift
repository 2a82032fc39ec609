/// A range of addresses that a `RangeTable` keeps.
@usableFromInline
package protocol RangeRecord: BitwiseCopyable {
  /// Whose range it is: ranges of different owners have nothing to do with each other.
  var owner: UInt32 { get }
  /// The first address; all ones marks a free record and is no range's.
  var address: UInt64 { get set }
  var byteCount: UInt64 { get }
}

/// A table of ranges that may overlap, found by their start or by any address inside.
///
/// Records lie one after the other and keep their place while they are there; an index beside
/// them, 8 bytes an entry, is searched by open addressing. Looking up a range touches one cache
/// line of each; removing it only the index, because an entry knows where it belongs. The place
/// that was freed last is filled first, while it is still in the cache. Allocates only to grow.
///
/// A range is filed under the granule its start lies in, so looking up an inner address walks back
/// granule by granule, as far as the longest range ever kept.
@safe
@frozen
@usableFromInline
package struct RangeTable<Record: RangeRecord>: ~Copyable {
  /// An entry: the upper half of its hash above the number of its record plus one; 0 is empty.
  @usableFromInline package var entries: UnsafeMutablePointer<UInt64>?
  @usableFromInline package var records: UnsafeMutablePointer<Record>?
  /// The place that was freed last; each free place holds the one before.
  @usableFromInline package var freePlaces: UnsafeMutablePointer<UInt32>?
  @usableFromInline package var freeCount: Int
  /// Places that were ever used.
  @usableFromInline package var usedCount: Int
  /// Entries of the index: a power of two, or 0.
  @usableFromInline package var capacity: Int
  /// How far a hash is shifted right to be the number of a cache line of the index.
  @usableFromInline package var homeShift: UInt64
  /// Places for records.
  @usableFromInline package var placeCount: Int
  @usableFromInline package var count_: Int
  /// The longest range ever kept.
  @usableFromInline package var byteCountMax: UInt64
  /// Addresses that differ only below this bit are filed together.
  @usableFromInline package let shift: UInt64
  /// No more entries than this.
  @usableFromInline package let capacityMax: Int

  /// An empty table, which allocates nothing.
  ///
  /// - Parameter capacityMax: how many records' worth of memory it may take, about.
  @inlinable
  package init(granuleShift: UInt64 = 11, capacityMax: Int = .max) {
    unsafe entries = nil
    unsafe records = nil
    unsafe freePlaces = nil
    freeCount = 0
    usedCount = 0
    capacity = 0
    homeShift = 63
    placeCount = 0
    count_ = 0
    byteCountMax = 0
    shift = granuleShift
    // A record's number has 31 bits.
    self.capacityMax = min(capacityMax, 1 << 31)
  }

  @inlinable
  deinit {
    unsafe entries?.deallocate()
    unsafe records?.deallocate()
    unsafe freePlaces?.deallocate()
  }

  /// How many ranges there are.
  @inlinable
  package var count: Int { count_ }

  /// What an entry of a granule holds in its upper half.
  @inlinable
  @inline(__always)
  package func tag(_ owner: UInt32, _ granule: UInt64) -> UInt64 {
    // Fibonacci hashing, as in AddressTable, of eight granules together: neighbours in memory are
    // neighbours in the index, which a ring of buffers walks along.
    let key = granule &>> 3 &+ UInt64(owner) &* 0xd6e8_feb8_6659_fd93
    let hash = (key &* 0x9e37_79b9_7f4a_7c15) & 0xffff_fff8_0000_0000
    return hash | (granule & 7) &<< 32
  }

  /// Where the search for an entry or its tag begins.
  @inlinable
  @inline(__always)
  package func home(_ entry: UInt64) -> Int {
    // The highest bits name the cache line, the lowest three of the tag the place in it.
    Int(truncatingIfNeeded: (entry &>> homeShift) &<< 3 | (entry &>> 32) & 7)
  }

  /// Keeps a range.
  ///
  /// - Returns: false, with nothing kept, when the table may not grow further.
  @inlinable
  @inline(__always)
  package mutating func insert(_ record: Record) -> Bool {
    precondition(record.address != .max, "all-ones is not an address")
    if count_ &* 10 >= capacity &* 7 {
      guard grow() else { return false }
    }
    guard let entries = unsafe entries, let records = unsafe records,
      let freePlaces = unsafe freePlaces
    else { return false }
    var place = usedCount
    // SAFETY: the load factor leaves free places and empty entries; `home` and the wrap keep index
    // under `capacity`; free places are numbers of places.
    if freeCount > 0 {
      freeCount &-= 1
      place = unsafe Int(freePlaces[freeCount])
    } else {
      usedCount &+= 1
    }
    unsafe records[place] = record
    let tag = tag(record.owner, record.address &>> shift)
    var index = home(tag)
    while unsafe entries[index] != 0 { index = (index &+ 1) & (capacity &- 1) }
    unsafe entries[index] = tag | UInt64(truncatingIfNeeded: place &+ 1)
    count_ &+= 1
    byteCountMax = max(byteCountMax, record.byteCount)
    return true
  }

  /// Where a record is that one of the look-ups gave.
  ///
  /// Valid until the next insertion.
  @inlinable
  @inline(__always)
  package func pointer(_ place: Int) -> UnsafeMutablePointer<Record> {
    guard let records = unsafe records, place >= 0, place < usedCount else {
      preconditionFailure("no record there")
    }
    return unsafe records + place
  }

  /// The record at a place that one of the look-ups gave.
  ///
  /// Address and owner decide where a record is found: they must not be changed.
  @inlinable
  package subscript(place: Int) -> Record {
    get { unsafe pointer(place).pointee }
    nonmutating set { unsafe pointer(place).pointee = newValue }
  }

  /// The first range that starts exactly there.
  @inlinable
  @inline(__always)
  package func find(_ owner: UInt32, _ address: UInt64) -> Int? {
    guard capacity > 0 else { return nil }
    let tag = tag(owner, address &>> shift)
    return search(owner, address, tag, from: home(tag))
  }

  /// One more that starts where the one at `place` does.
  @inlinable
  package func find(after place: Int) -> Int? {
    let record = self[place]
    let tag = tag(record.owner, record.address &>> shift)
    guard let index = entry(of: place, tag) else { return nil }
    return search(record.owner, record.address, tag, from: (index &+ 1) & (capacity &- 1))
  }

  @inlinable
  @inline(__always)
  func search(_ owner: UInt32, _ address: UInt64, _ tag: UInt64, from start: Int) -> Int? {
    guard let entries = unsafe entries, let records = unsafe records else { return nil }
    var index = start
    while true {
      // SAFETY: as in `insert`; an entry that is not empty names a record.
      let entry = unsafe entries[index]
      if entry == 0 { return nil }
      if (entry ^ tag) &>> 32 == 0 {
        let place = Int(truncatingIfNeeded: entry & 0xffff_ffff) &- 1
        if unsafe records[place].address == address, unsafe records[place].owner == owner {
          return place
        }
      }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// The first range that starts exactly there and that `accepts` takes: its entry and its place.
  ///
  /// The entry is valid until the table changes.
  @inlinable
  @inline(__always)
  package func findEntry(
    _ owner: UInt32, _ address: UInt64, where accepts: (UnsafeMutablePointer<Record>) -> Bool
  ) -> (entry: Int, place: Int)? {
    guard capacity > 0, let entries = unsafe entries, let records = unsafe records else {
      return nil
    }
    let tag = tag(owner, address &>> shift)
    var index = home(tag)
    while true {
      // SAFETY: as in `insert`; an entry that is not empty names a record.
      let entry = unsafe entries[index]
      if entry == 0 { return nil }
      if (entry ^ tag) &>> 32 == 0 {
        let place = Int(truncatingIfNeeded: entry & 0xffff_ffff) &- 1
        let record = unsafe records + place
        if unsafe record.pointee.address == address, unsafe record.pointee.owner == owner,
          unsafe accepts(record)
        {
          return (index, place)
        }
      }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// Which entry names the record at a place.
  @inlinable
  @inline(__always)
  func entry(of place: Int, _ tag: UInt64) -> Int? {
    guard let entries = unsafe entries else { return nil }
    let wanted = tag | UInt64(truncatingIfNeeded: place &+ 1)
    var index = home(tag)
    while true {
      // SAFETY: as in `insert`.
      let entry = unsafe entries[index]
      if entry == wanted { return index }
      if entry == 0 { return nil }
      index = (index &+ 1) & (capacity &- 1)
    }
  }

  /// The smallest range that contains all of these bytes and that `accepts` takes.
  package func find(
    _ owner: UInt32, containing address: UInt64, byteCount: UInt64,
    where accepts: (Record) -> Bool = { _ in true }
  ) -> Int? {
    guard let entries = unsafe entries, let records = unsafe records, count_ > 0 else {
      return nil
    }
    var found: Int?
    var foundByteCount = UInt64.max
    func consider(_ place: Int) {
      // SAFETY: callers pass numbers of records.
      let record = unsafe records[place]
      guard record.owner == owner, record.address <= address else { return }
      let offset = address - record.address
      guard offset < record.byteCount, byteCount <= record.byteCount - offset,
        record.byteCount < foundByteCount, accepts(record)
      else { return }
      found = place
      foundByteCount = record.byteCount
    }
    let last = address &>> shift
    let reach = min(address, byteCountMax)
    let first = (address - reach) &>> shift
    guard last - first < UInt64(capacity / 2) else {
      for place in 0..<usedCount where unsafe records[place].address != .max { consider(place) }
      return found
    }
    for granule in first...last {
      let tag = tag(owner, granule)
      var index = home(tag)
      while true {
        // SAFETY: as in `insert`.
        let entry = unsafe entries[index]
        if entry == 0 { break }
        let place = Int(truncatingIfNeeded: entry & 0xffff_ffff) &- 1
        if (entry ^ tag) &>> 32 == 0, unsafe records[place].address &>> shift == granule {
          consider(place)
        }
        index = (index &+ 1) & (capacity &- 1)
      }
    }
    return found
  }

  /// Removes the record at a place; the others stay where they are.
  @inlinable
  @inline(__always)
  package mutating func remove(at place: Int) {
    let record = unsafe pointer(place)
    let tag = unsafe tag(record.pointee.owner, record.pointee.address &>> shift)
    guard let found = entry(of: place, tag) else { return }
    remove(at: place, entry: found)
  }

  /// Removes the record at a place that its entry names.
  @inlinable
  @inline(__always)
  package mutating func remove(at place: Int, entry found: Int) {
    guard let entries = unsafe entries, let records = unsafe records,
      let freePlaces = unsafe freePlaces
    else { return }
    // SAFETY: all indices are masked by the capacity; entries behind the hole move back when their
    // home does not lie between the hole and themselves.
    var hole = found
    var index = (found &+ 1) & (capacity &- 1)
    while true {
      let entry = unsafe entries[index]
      if entry == 0 { break }
      let home = home(entry)
      let distanceToHome = (index &- home) & (capacity &- 1)
      let distanceToHole = (index &- hole) & (capacity &- 1)
      if distanceToHome >= distanceToHole {
        unsafe entries[hole] = entry
        hole = index
      }
      index = (index &+ 1) & (capacity &- 1)
    }
    unsafe entries[hole] = 0
    unsafe records[place].address = .max
    unsafe freePlaces[freeCount] = UInt32(truncatingIfNeeded: place)
    freeCount &+= 1
    count_ &-= 1
  }

  /// Calls `body` with every range and its place, in no order; `body` must not add or remove.
  package func forEach(_ body: (Int, Record) -> Void) {
    guard let records = unsafe records else { return }
    for place in 0..<usedCount {
      // SAFETY: the place was used.
      let record = unsafe records[place]
      if record.address != .max { body(place, record) }
    }
  }

  @usableFromInline
  @inline(never)
  package mutating func grow() -> Bool {
    let oldCapacity = capacity
    let wanted = oldCapacity == 0 ? 16 : oldCapacity * 2
    guard wanted <= capacityMax else { return false }
    // The load factor leaves three of ten entries empty: as many places are not needed.
    let places = wanted / 10 * 7 + 7
    // On cache lines of their own, so that a record of 64 bytes lies in one, and eight entries.
    let rawEntries = UnsafeMutableRawPointer.allocate(byteCount: wanted * 8, alignment: 64)
    let fresh = unsafe rawEntries.bindMemory(to: UInt64.self, capacity: wanted)
    unsafe fresh.initialize(repeating: 0, count: wanted)
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: places * MemoryLayout<Record>.stride, alignment: 64)
    let freshRecords = unsafe raw.bindMemory(to: Record.self, capacity: places)
    let freshPlaces = UnsafeMutablePointer<UInt32>.allocate(capacity: places)
    // SAFETY: the new arrays are longer than what is moved into them; everything is trivial.
    if let records = unsafe records {
      unsafe freshRecords.initialize(from: records, count: usedCount)
    }
    if let freePlaces = unsafe freePlaces {
      unsafe freshPlaces.initialize(from: freePlaces, count: freeCount)
    }
    let old = unsafe entries
    unsafe records?.deallocate()
    unsafe freePlaces?.deallocate()
    unsafe entries = fresh
    unsafe records = freshRecords
    unsafe freePlaces = freshPlaces
    capacity = wanted
    homeShift = UInt64(wanted.leadingZeroBitCount) + 4
    placeCount = places
    guard let old = unsafe old else { return true }
    for position in 0..<oldCapacity {
      let entry = unsafe old[position]
      guard entry != 0 else { continue }
      var index = home(entry)
      while unsafe fresh[index] != 0 { index = (index &+ 1) & (capacity &- 1) }
      unsafe fresh[index] = entry
    }
    unsafe old.deallocate()
    return true
  }
}
