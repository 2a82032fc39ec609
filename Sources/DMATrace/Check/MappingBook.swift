import DMA
import Glibc

/// Every live mapping of a trace, and the ones released lately.
@safe
struct MappingBook {
  // SAFETY: owned; `recordCount` initialized records, free ones chained by `older`.
  private(set) var records: UnsafeMutablePointer<MappingRecord>
  private(set) var recordCount = 0
  private var recordCapacity = 1 << 10
  private var free: UInt32 = 0
  private var live = KeyTable()
  /// The first cache line of each mapping the device may write.
  private var lines = KeyTable()
  private(set) var liveCount = 0
  private var history = ReleaseHistory()

  init() {
    unsafe records = Self.reallocated(nil, recordCapacity)
  }

  func deallocate() {
    for index in 0..<recordCount { unsafe records[index].lists?.deallocate() }
    unsafe Glibc.free(records)
    history.deallocate()
    live.deallocate()
    lines.deallocate()
  }

  @inline(__always)
  static func owner(_ device: UInt32, _ space: MappingRecord.Space) -> UInt32 {
    device | UInt32(space.rawValue) &<< 24
  }

  /// The address a record is found by: scatter lists by their first physical address, because
  /// that is all their release tells.
  @inline(__always)
  static func key(_ record: MappingRecord) -> UInt64 {
    record.space == .scatter ? record.physicalAddress : record.dmaAddress
  }

  /// The newest live record of a key.
  @inline(__always)
  func first(_ address: UInt64, _ device: UInt32, _ space: MappingRecord.Space) -> Int? {
    live.record(address, Self.owner(device, space))
  }

  /// The next older live record of the same key.
  @inline(__always)
  func next(_ record: Int) -> Int? {
    let older = unsafe records[record].older
    return older == 0 ? nil : Int(older) - 1
  }

  /// Adds a live record and returns its number.
  @inline(__always)
  mutating func add(_ record: MappingRecord) -> Int {
    let number: Int
    if free != 0 {
      number = Int(free) - 1
      free = unsafe records[number].older
      unsafe records[number] = record
    } else {
      if recordCount == recordCapacity { growRecords() }
      number = recordCount
      unsafe (records + number).initialize(to: record)
      recordCount += 1
    }
    liveCount += 1
    let before = live.put(Self.key(record), Self.owner(record.device, record.space), number)
    unsafe records[number].older = before.map { UInt32($0 + 1) } ?? 0
    return number
  }

  /// Takes a record out; it is remembered as released when somebody released it.
  @inline(__always)
  mutating func remove(_ number: Int, releasedBy release: TraceOrigin?, epoch: UInt32) {
    let record = unsafe records + number
    let key = unsafe Self.key(record.pointee)
    let owner = unsafe Self.owner(record.pointee.device, record.pointee.space)
    if unsafe record.pointee.older == 0, live.remove(key, owner, onlyFor: number) {
      // The usual case: nothing else is mapped there.
    } else if let newest = live.record(key, owner) {
      if newest == number {
        _ = unsafe live.put(key, owner, Int(record.pointee.older) - 1)
      } else {
        unchain(number, from: newest)
      }
    }
    if unsafe record.pointee.flags.contains(.lined) { removeLine(number) }
    if let lists = unsafe record.pointee.lists {
      unsafe lists.deallocate()
      unsafe record.pointee.lists = nil
    }
    if let release { unsafe history.add(record.pointee, release, epoch) }
    unsafe record.pointee.flags = []
    unsafe record.pointee.older = free
    free = UInt32(truncatingIfNeeded: number &+ 1)
    liveCount &-= 1
  }

  private mutating func unchain(_ number: Int, from newest: Int) {
    var at = newest
    while let older = next(at) {
      if older == number {
        unsafe records[at].older = unsafe records[number].older
        return
      }
      at = older
    }
  }

  private mutating func growRecords() {
    recordCapacity *= 2
    unsafe records = Self.reallocated(records, recordCapacity)
  }

  /// Room for so many records; those there keep their values.
  ///
  /// The C library moves pages of large blocks instead of copying them, so that a trace with ten
  /// million live mappings does not need room for them twice.
  private static func reallocated(_ old: UnsafeMutablePointer<MappingRecord>?, _ count: Int)
    -> UnsafeMutablePointer<MappingRecord>
  {
    // SAFETY: records are bitwise copyable; `old` came from here, and is not used again.
    let size = count * MemoryLayout<MappingRecord>.stride
    guard let room = unsafe realloc(old, size) else {
      fatalError("no memory for \(count) live mappings")
    }
    return unsafe room.bindMemory(to: MappingRecord.self, capacity: count)
  }

  // MARK: Cache lines

  /// Notes a mapping's first cache line and returns the live mapping that already has it.
  @inline(__always)
  mutating func addLine(_ number: Int) -> Int? {
    let line = unsafe records[number].physicalAddress >> 6
    if let other = lines.record(line, 0) {
      if unsafe records[other].flags.contains(.live) { return other }
      _ = lines.put(line, 0, number)
    } else {
      _ = lines.put(line, 0, number)
    }
    unsafe records[number].flags.insert(.lined)
    return nil
  }

  @inline(__always)
  private mutating func removeLine(_ number: Int) {
    _ = unsafe lines.remove(records[number].physicalAddress >> 6, 0, onlyFor: number)
  }

  /// The mapping that was released last at a key, if it is still remembered.
  func released(_ address: UInt64, _ device: UInt32, _ space: MappingRecord.Space)
    -> ReleaseHistory.Released?
  {
    history.released(address, device, space)
  }
}
