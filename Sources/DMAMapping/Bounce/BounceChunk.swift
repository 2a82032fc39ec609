internal import DMA
internal import Synchronization

/// A piece of a bounce pool: contiguous memory in reach of limited devices, cut into slots.
///
/// Slots come in sets of 128, sets in areas with a lock each. What a slot holds stands in tables
/// beside the memory, where no device can change it. Allocation takes the lowest free place of an
/// area: what was used last is still in the caches.
@safe
struct BounceChunk: ~Copyable {
  /// What a mapping's first slot says about it.
  struct Record: BitwiseCopyable {
    /// Where the driver has the bytes.
    var cpuAddress: UInt = 0
    /// Where the device was told they are.
    var address: UInt64 = 0
    /// 0: the slot is no mapping's first.
    var byteCount = 0
    var slotCount: Int32 = 0
    /// Whose lock guards the slots.
    var area: Int32 = 0
  }

  private struct Area: ~Copyable {
    let lock = RawSpinLock()
    /// No set of the area below this one has a free slot.
    var firstOpenSet: Int
    var usedSlots = 0
    var highWaterSlots = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
  }

  let platform: UnsafeMutablePointer<PlatformCore>
  let cpuAddress: UInt
  let physicalAddress: UInt64
  /// The bus address of the first slot.
  let address: UInt64
  let slotCount: Int
  private let areaCount: Int
  private let setsPerArea: Int
  private let areas: UnsafeMutableRawPointer
  /// Two words a set; a set bit is a free slot.
  private let free: UnsafeMutablePointer<UInt64>
  private let freeCounts: UnsafeMutablePointer<UInt8>
  private let records: UnsafeMutablePointer<Record>
  /// How many slots before it a mapping's slot its first one lies.
  private let distances: UnsafeMutablePointer<UInt8>

  private static var areaStride: Int { 128 }

  var byteCount: Int { slotCount * BounceSlots.byteCount }

  /// Takes memory at or below `limit` from the machine.
  ///
  /// - Parameter slotCount: a multiple of 128 times `areaCount`.
  /// - Throws: `DMAError.outOfMemory`.
  init(
    platform: UnsafeMutablePointer<PlatformCore>, slotCount: Int, areaCount: Int, limit: UInt64,
    offset: UInt64
  ) throws(DMAError) {
    var numbers = DMAStatusNumbers()
    let byteCount = slotCount * BounceSlots.byteCount
    // SAFETY: the platform's own function with its own context; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe platform.pointee.operations.allocatePages(
        platform.pointee.context, byteCount, BounceSlots.setByteCount, limit, 0, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    unsafe self.platform = platform
    cpuAddress = UInt(truncatingIfNeeded: numbers.first)
    physicalAddress = numbers.second
    address = numbers.second &+ offset
    self.slotCount = slotCount
    self.areaCount = areaCount
    let setCount = slotCount / BounceSlots.perSet
    setsPerArea = setCount / areaCount
    unsafe areas = UnsafeMutableRawPointer.allocate(
      byteCount: areaCount * Self.areaStride, alignment: Self.areaStride)
    for index in 0..<areaCount {
      unsafe (areas + index * Self.areaStride).bindMemory(to: Area.self, capacity: 1)
        .initialize(to: Area(firstOpenSet: index * setsPerArea))
    }
    unsafe free = .allocate(capacity: 2 * setCount)
    unsafe free.initialize(repeating: .max, count: 2 * setCount)
    unsafe freeCounts = .allocate(capacity: setCount)
    unsafe freeCounts.initialize(repeating: 128, count: setCount)
    unsafe records = .allocate(capacity: slotCount)
    unsafe records.initialize(repeating: Record(), count: slotCount)
    unsafe distances = .allocate(capacity: slotCount)
    unsafe distances.initialize(repeating: 0, count: slotCount)
  }

  deinit {
    unsafe platform.pointee.operations.freePages(
      platform.pointee.context, cpuAddress, physicalAddress, byteCount, 0)
    unsafe areas.deallocate()
    unsafe free.deallocate()
    unsafe freeCounts.deallocate()
    unsafe records.deallocate()
    unsafe distances.deallocate()
  }

  private func area(_ index: Int) -> UnsafeMutablePointer<Area> {
    // SAFETY: bound by init; indices are below areaCount.
    unsafe (areas + index &* Self.areaStride).assumingMemoryBound(to: Area.self)
  }

  /// The CPU address of a byte by its bus address.
  @inline(__always)
  func cpuAddress(of address: UInt64) -> UInt {
    cpuAddress &+ UInt(truncatingIfNeeded: address &- self.address)
  }

  /// Whether a bus address lies here.
  @inline(__always)
  func contains(_ address: UInt64) -> Bool {
    address &- self.address < UInt64(truncatingIfNeeded: slotCount &* BounceSlots.byteCount)
  }

  // MARK: Slots

  /// Takes slots, from the area of a thread's slot first; the data's bus address, or all ones
  /// when there is no room.
  @inline(__always)
  func allocate(
    _ request: BounceSlots.Request, threadSlot: Int, cpuAddress: UInt
  ) -> UInt64 {
    for turn in 0..<areaCount {
      let index = (threadSlot &+ turn) & (areaCount &- 1)
      let found = allocate(request, area: index, cpuAddress: cpuAddress)
      if found != .max { return found }
    }
    return .max
  }

  private func allocate(
    _ request: BounceSlots.Request, area index: Int, cpuAddress: UInt
  ) -> UInt64 {
    let area = unsafe area(index)
    let end = (index &+ 1) &* setsPerArea
    // SAFETY: all indices are below the counts the tables were made with; the lock guards the
    // area's part of them.
    unsafe area.pointee.lock.lock()
    var set = unsafe area.pointee.firstOpenSet
    while set < end {
      if unsafe Int(freeCounts[set]) >= request.slotCount {
        let setAddress =
          address &+ UInt64(truncatingIfNeeded: set &* BounceSlots.setByteCount)
        let slot = unsafe BounceSlots.search(
          free[2 &* set], free[2 &* set &+ 1], request, address: setAddress)
        if slot >= 0 {
          unsafe take(area, set, slot, request.slotCount)
          unsafe area.pointee.bytesIn &+= UInt64(truncatingIfNeeded: request.byteCount)
          unsafe area.pointee.lock.unlock()
          let first = set &* BounceSlots.perSet &+ slot
          let start =
            setAddress
            &+ UInt64(truncatingIfNeeded: slot &* BounceSlots.byteCount &+ request.offset)
          // The slots are this mapping's alone now.
          unsafe records[first] = Record(
            cpuAddress: cpuAddress, address: start, byteCount: request.byteCount,
            slotCount: Int32(truncatingIfNeeded: request.slotCount),
            area: Int32(truncatingIfNeeded: index))
          unsafe distances[first] = 0
          if request.slotCount > 1 {
            for distance in 1..<request.slotCount {
              unsafe distances[first &+ distance] = UInt8(truncatingIfNeeded: distance)
            }
          }
          return start
        }
      }
      set &+= 1
    }
    unsafe area.pointee.lock.unlock()
    return .max
  }

  private func mark(_ set: Int, _ slot: Int, _ count: Int, isFree: Bool) {
    // SAFETY: under the area's lock; a run lies in one set of two words.
    let bits = SlotBits(first: slot, count: count)
    let low = bits.low
    let high = bits.high
    unsafe free[2 &* set] = isFree ? free[2 &* set] | low : free[2 &* set] & ~low
    unsafe free[2 &* set &+ 1] = isFree ? free[2 &* set &+ 1] | high : free[2 &* set &+ 1] & ~high
  }

  @inline(__always)
  private func take(_ area: UnsafeMutablePointer<Area>, _ set: Int, _ slot: Int, _ count: Int) {
    // SAFETY: as in mark.
    if count == 1 {
      unsafe free[2 &* set &+ slot &>> 6] &= ~(1 &<< UInt64(truncatingIfNeeded: slot & 63))
    } else {
      mark(set, slot, count, isFree: false)
    }
    unsafe freeCounts[set] &-= UInt8(truncatingIfNeeded: count)
    if unsafe freeCounts[set] == 0 && set == area.pointee.firstOpenSet {
      unsafe area.pointee.firstOpenSet = set &+ 1
    }
    let used = unsafe area.pointee.usedSlots &+ count
    unsafe area.pointee.usedSlots = used
    if unsafe used > area.pointee.highWaterSlots { unsafe area.pointee.highWaterSlots = used }
  }

  /// The mapping that a bus address of this chunk lies in, and its first slot.
  @inline(__always)
  func find(_ address: UInt64) -> (slot: Int, record: Record)? {
    let slot = Int(truncatingIfNeeded: (address &- self.address) &>> BounceSlots.shift)
    // SAFETY: the address lies in this chunk; a stale distance still points into it, and the
    // record there tells whether it covers the address.
    let first = unsafe slot &- Int(distances[slot])
    guard first >= 0 else { return nil }
    let record = unsafe records[first]
    guard record.byteCount > 0,
      address &- record.address < UInt64(truncatingIfNeeded: record.byteCount)
    else { return nil }
    return (first, record)
  }

  /// Gives a mapping's slots back.
  ///
  /// - Parameter bytesOut: how many bytes were copied out of them at the end.
  func release(_ first: Int, _ record: Record, bytesOut: Int) {
    let set = first &>> 7
    let area = unsafe area(Int(record.area))
    let slotCount = Int(record.slotCount)
    // SAFETY: the record's slots are the caller's until the lock is taken.
    unsafe records[first].byteCount = 0
    unsafe area.pointee.lock.lock()
    if slotCount == 1 {
      unsafe free[first &>> 6] |= 1 &<< UInt64(truncatingIfNeeded: first & 63)
    } else {
      mark(set, first & 127, slotCount, isFree: true)
    }
    unsafe freeCounts[set] &+= UInt8(truncatingIfNeeded: slotCount)
    if unsafe set < area.pointee.firstOpenSet { unsafe area.pointee.firstOpenSet = set }
    unsafe area.pointee.usedSlots &-= slotCount
    unsafe area.pointee.bytesOut &+= UInt64(truncatingIfNeeded: bytesOut)
    unsafe area.pointee.lock.unlock()
  }

  // MARK: Counters

  func add(to statistics: inout BounceMapping.Statistics) {
    statistics.totalSlots += slotCount
    for index in 0..<areaCount {
      let area = unsafe area(index)
      unsafe area.pointee.lock.withLock {
        statistics.usedSlots += unsafe area.pointee.usedSlots
        statistics.highWaterSlots += unsafe area.pointee.highWaterSlots
        statistics.bytesIn += unsafe area.pointee.bytesIn
        statistics.bytesOut += unsafe area.pointee.bytesOut
      }
    }
  }

  func resetHighWater() {
    for index in 0..<areaCount {
      let area = unsafe area(index)
      unsafe area.pointee.lock.withLock {
        unsafe area.pointee.highWaterSlots = area.pointee.usedSlots
      }
    }
  }
}
