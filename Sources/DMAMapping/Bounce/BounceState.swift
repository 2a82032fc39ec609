internal import DMA
internal import Synchronization

/// A bounce pool in plain memory: what mapping and unmapping work on.
@safe
struct BounceState: ~Copyable {
  let platform: UnsafeMutablePointer<PlatformCore>
  /// Bus address minus physical address.
  let offset: UInt64
  /// Memory of the pool ends at or below this physical address.
  let limit: UInt64
  let isForced: Bool
  let areaCount: Int
  /// Address bits that every copy keeps.
  let alignmentMask: UInt64
  /// The pool grows up to this many slots.
  let slotCountMax: Int
  let notices: NoticeSink
  /// Room for `chunkCountMax` chunks; the first `chunkCount` are there for good.
  private let chunks: UnsafeMutablePointer<BounceChunk>
  private let chunkCount = Atomic<Int>(0)
  private let growth = RawSpinLock()
  let syncedIn = Atomic<UInt64>(0)
  let syncedOut = Atomic<UInt64>(0)

  static var chunkCountMax: Int { 16 }
  /// A pool grows by 4 MiB at a time.
  private static var growthSlots: Int { 2048 }

  init(
    platform: UnsafeMutablePointer<PlatformCore>, _ options: BounceMapping.Options
  ) throws(DMAError) {
    let areaCount = options.areaCount
    guard areaCount > 0, areaCount & (areaCount - 1) == 0, areaCount <= 1024 else {
      throw .invalidAlignment(areaCount, limit: 1024)
    }
    let mask = options.minimumAlignmentMask
    guard mask & (mask &+ 1) == 0 else {
      throw .invalidAlignment(Int(truncatingIfNeeded: mask), limit: BounceSlots.setByteCount)
    }
    guard options.slotCount > 0 else { throw .emptyRequest }
    guard options.slotCount <= 1 << 30 else {
      throw .tooLarge(
        byteCount: options.slotCount, limit: 1 << 30)
    }
    let unit = BounceSlots.perSet * areaCount
    let slotCount = (options.slotCount + unit - 1) / unit * unit
    let limit = options.limit.rawValue.subtractingReportingOverflow(options.offset)
    guard !limit.overflow else {
      throw .outOfMemory(byteCount: slotCount * BounceSlots.byteCount, limit: 0)
    }
    let first = try unsafe BounceChunk(
      platform: platform, slotCount: slotCount, areaCount: areaCount, limit: limit.partialValue,
      offset: options.offset)
    unsafe self.platform = platform
    offset = options.offset
    self.limit = limit.partialValue
    isForced = options.isForced
    self.areaCount = areaCount
    alignmentMask = mask
    slotCountMax = options.slotCountMax
    notices = NoticeSink(options.notices ?? MappingNoticeReceiver())
    unsafe chunks = .allocate(capacity: Self.chunkCountMax)
    unsafe chunks.initialize(to: first)
    chunkCount.store(1, ordering: .relaxed)
  }

  deinit {
    unsafe chunks.deinitialize(count: chunkCount.load(ordering: .acquiring))
    unsafe chunks.deallocate()
  }

  /// The chunk a bus address lies in.
  @inline(__always)
  func chunk(_ address: UInt64) -> UnsafeMutablePointer<BounceChunk>? {
    // SAFETY: the first chunkCount are initialised. Acquiring: and seen so.
    for index in 0..<chunkCount.load(ordering: .acquiring) {
      if unsafe chunks[index].contains(address) { return unsafe chunks + index }
    }
    return nil
  }

  /// The highest bus address of the pool.
  var lastAddress: UInt64 {
    var last: UInt64 = 0
    for index in 0..<chunkCount.load(ordering: .acquiring) {
      last = unsafe max(last, chunks[index].address + UInt64(chunks[index].byteCount - 1))
    }
    return last
  }

  func statistics() -> BounceMapping.Statistics {
    var statistics = BounceMapping.Statistics()
    for index in 0..<chunkCount.load(ordering: .acquiring) {
      unsafe chunks[index].add(to: &statistics)
    }
    statistics.bytesIn += syncedIn.load(ordering: .relaxed)
    statistics.bytesOut += syncedOut.load(ordering: .relaxed)
    return statistics
  }

  func resetHighWater() {
    for index in 0..<chunkCount.load(ordering: .acquiring) {
      unsafe chunks[index].resetHighWater()
    }
  }

  // MARK: Slots

  /// Takes slots; the data's bus address, or all ones when there is no room.
  @inline(__always)
  func allocate(_ request: BounceSlots.Request, cpuAddress: UInt) -> UInt64 {
    let threadSlot = SlotGate.currentSlot
    let count = chunkCount.load(ordering: .acquiring)
    for index in 0..<count {
      let found = unsafe chunks[index].allocate(
        request, threadSlot: threadSlot, cpuAddress: cpuAddress)
      if found != .max { return found }
    }
    return grow(request, seen: count, cpuAddress: cpuAddress)
  }

  /// Adds memory and tries again; all ones when the pool is as large as it may be, or the machine has
  /// none.
  @inline(never)
  private func grow(_ request: BounceSlots.Request, seen: Int, cpuAddress: UInt) -> UInt64 {
    let threadSlot = SlotGate.currentSlot
    guard slotCountMax > 0 else { return .max }
    growth.lock()
    let count = chunkCount.load(ordering: .relaxed)
    if count == seen {
      var total = 0
      for index in 0..<count { total += unsafe chunks[index].slotCount }
      let areas = min(areaCount, Self.growthSlots / BounceSlots.perSet)
      guard count < Self.chunkCountMax, total + Self.growthSlots <= slotCountMax,
        let chunk = try? unsafe BounceChunk(
          platform: platform, slotCount: Self.growthSlots, areaCount: areas, limit: limit,
          offset: offset)
      else {
        growth.unlock()
        return .max
      }
      unsafe (chunks + count).initialize(to: chunk)
      // Releasing: whoever sees the count sees the chunk.
      chunkCount.store(count + 1, ordering: .releasing)
      growth.unlock()
      notices.send(
        MappingNotice(
          .bouncePoolGrew, UInt64(Self.growthSlots), UInt64(total + Self.growthSlots)))
    } else {
      growth.unlock()
    }
    for index in seen..<chunkCount.load(ordering: .acquiring) {
      let found = unsafe chunks[index].allocate(
        request, threadSlot: threadSlot, cpuAddress: cpuAddress)
      if found != .max { return found }
    }
    return .max
  }
}
