import DMA

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
  /// The newest of each set stands at `historyNext`.
  private var history: UnsafeMutablePointer<Released>
  private var historyNext: UnsafeMutablePointer<UInt8>
  /// Sets of four; they grow with the trace up to a limit, so that small traces stay small.
  private var historySets = 1 << 6
  private var remembered = 0
  private static let historyLimit = 1 << 12

  /// A mapping that is gone, and who let it go.
  struct Released {
    var record = MappingRecord()
    var release = TraceOrigin(line: 0, time: 0, cpu: 0, task: 0, taskName: 0, stack: 0)
    /// The epoch of the release; `UInt32.max` in empty entries.
    var epoch: UInt32 = .max
  }

  init() {
    unsafe records = .allocate(capacity: recordCapacity)
    unsafe history = .allocate(capacity: historySets * 4)
    unsafe history.initialize(repeating: Released(), count: historySets * 4)
    unsafe historyNext = .allocate(capacity: historySets)
    unsafe historyNext.initialize(repeating: 0, count: historySets)
  }

  func deallocate() {
    for index in 0..<recordCount { unsafe records[index].lists?.deallocate() }
    unsafe records.deallocate()
    unsafe history.deallocate()
    unsafe historyNext.deallocate()
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
    let record = unsafe records[number]
    let key = Self.key(record)
    let owner = Self.owner(record.device, record.space)
    if let newest = live.record(key, owner) {
      if newest == number {
        if record.older == 0 {
          live.remove(key, owner)
        } else {
          _ = live.put(key, owner, Int(record.older) - 1)
        }
      } else {
        unchain(number, from: newest)
      }
    }
    if record.flags.contains(.lined) { removeLine(number) }
    if let release { remember(record, release, epoch) }
    unsafe record.lists?.deallocate()
    unsafe records[number].lists = nil
    unsafe records[number].flags = []
    unsafe records[number].older = free
    free = UInt32(number + 1)
    liveCount -= 1
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
    let larger = UnsafeMutablePointer<MappingRecord>.allocate(capacity: recordCapacity * 2)
    unsafe larger.moveInitialize(from: records, count: recordCount)
    unsafe records.deallocate()
    unsafe records = unsafe larger
    recordCapacity *= 2
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
    unsafe lines.remove(records[number].physicalAddress >> 6, 0)
  }

  // MARK: History

  @inline(__always)
  private func historySet(_ address: UInt64, _ owner: UInt32) -> Int {
    let mixed = (address ^ (UInt64(owner) &<< 40)) &* 0xd6e8_feb8_6659_fd93
    return Int(truncatingIfNeeded: mixed &>> 40) & (historySets - 1)
  }

  @inline(__always)
  private mutating func remember(_ record: MappingRecord, _ release: TraceOrigin, _ epoch: UInt32) {
    let set = historySet(Self.key(record), Self.owner(record.device, record.space))
    let next = unsafe historyNext[set]
    unsafe historyNext[set] = (next &+ 1) & 3
    let entry = unsafe history + (set * 4 + Int(next))
    unsafe entry.pointee.record = record
    unsafe entry.pointee.record.lists = nil
    unsafe entry.pointee.release = release
    unsafe entry.pointee.epoch = epoch
    remembered &+= 1
    if remembered > historySets, historySets < Self.historyLimit { growHistory() }
  }

  private mutating func growHistory() {
    let old = unsafe history
    let oldNext = unsafe historyNext
    let oldSets = historySets
    historySets *= 8
    unsafe history = .allocate(capacity: historySets * 4)
    unsafe history.initialize(repeating: Released(), count: historySets * 4)
    unsafe historyNext = .allocate(capacity: historySets)
    unsafe historyNext.initialize(repeating: 0, count: historySets)
    for set in 0..<oldSets {
      // Oldest first, so that the newest stays the newest.
      for step in 0..<4 {
        let entry = unsafe old[set * 4 + (Int(oldNext[set]) + step) & 3]
        if entry.epoch != .max { remember(entry.record, entry.release, entry.epoch) }
      }
    }
    unsafe old.deallocate()
    unsafe oldNext.deallocate()
    remembered = 0
  }

  /// The mapping that was released last at a key, if it is still remembered.
  func released(_ address: UInt64, _ device: UInt32, _ space: MappingRecord.Space) -> Released? {
    let set = historySet(address, Self.owner(device, space))
    let next = unsafe Int(historyNext[set])
    for step in 1...4 {
      let entry = unsafe history[set * 4 + ((next - step) & 3)]
      if entry.epoch != .max, entry.record.device == device, entry.record.space == space,
        Self.key(entry.record) == address
      {
        return entry
      }
    }
    return nil
  }
}
