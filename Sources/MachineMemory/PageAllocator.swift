package import DMA

/// The machine's page allocator: a buddy system in zones, any number of threads.
///
/// Zones are 24-bit, 32-bit and normal memory. A request is served from the widest zone that its
/// limit lets in and only then from narrower ones, so that devices with few address bits find
/// their memory. All bookkeeping lies outside of the pages: no device can forge it.
@safe
package final class PageAllocator {
  private struct State: ~Copyable {
    var tree: BuddyTree
    var freePageCount: Int
  }

  private let memory: PhysicalMemory
  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>
  /// The strictest alignment that holds for CPU and devices alike.
  private let alignmentMax: Int
  package let totalByteCount: UInt64

  /// From this size on, freed pages go back to the host at once: below, the system call and the
  /// faults that follow cost more than they save.
  static var discardByteCount: Int { 2 << 20 }

  package init(_ memory: PhysicalMemory) throws(DMAError) {
    let map = memory.map
    let pageCount = Int(map.end >> 12)
    guard var tree = BuddyTree(pageCount: pageCount) else { throw .machine(code: 12) }
    // All that is not RAM, and the first megabyte, is never handed out.
    let start = Int(
      max(map.low.isEmpty ? 0 : map.low.lowerBound, MemoryMap.firmwareByteCount) >> 12)
    let hole: Range<Int>
    if map.low.isEmpty {
      hole = 0..<Int(map.high.lowerBound >> 12)
    } else {
      tree.withdraw(0..<start)
      hole =
        Int(
          map.low.upperBound >> 12)..<(map.high.isEmpty
        ? pageCount : Int(map.high.lowerBound >> 12))
    }
    tree.withdraw(hole)
    tree.withdraw(pageCount..<1 << tree.order)
    let lowPages = map.low.isEmpty ? 0 : Int(map.low.upperBound >> 12) - start
    let freePages = lowPages + Int(map.high.count >> 12)
    self.memory = memory
    self.totalByteCount = UInt64(freePages) << 12
    self.alignmentMax = Int(PhysicalMemory.alignment(map))
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State(tree: tree, freePageCount: freePages))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// The physical address of memory that drivers were given, or the kind of any other (R7-R13).
  package func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    guard let physicalAddress = memory.physicalAddress(cpuAddress) else {
      // Memory of this process, which no device of the machine sees.
      numbers = DMAStatusNumbers(UInt64(MemoryKind.user.rawValue))
      return .notDMAable
    }
    guard isAllocated(physicalAddress, byteCount) else {
      numbers = DMAStatusNumbers(UInt64(MemoryKind.unknown.rawValue))
      return .notDMAable
    }
    numbers = DMAStatusNumbers(physicalAddress)
    return .success
  }

  /// The zones from wide to narrow, in pages.
  private static let zones: [3 of ClosedRange<Int>] = [
    0x10_0000...Int.max >> 12, 0x1000...0xf_ffff, 0...0xfff,
  ]

  /// Takes zeroed, physically contiguous pages; see `PlatformOperations.AllocatePages`.
  ///
  /// The size is rounded up to whole pages. On success the numbers are CPU address and physical
  /// address.
  package func allocate(
    byteCount: Int, alignment: Int, limit: UInt64, options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    guard UInt64(byteCount) <= totalByteCount else {
      numbers = DMAStatusNumbers(UInt64(byteCount), totalByteCount)
      return .tooLarge
    }
    guard alignment > 0, alignment & (alignment - 1) == 0, alignment <= alignmentMax else {
      numbers = DMAStatusNumbers(UInt64(bitPattern: Int64(alignment)), UInt64(alignmentMax))
      return .invalidAlignment
    }
    let count = (byteCount - 1) >> 12 + 1
    let order = BuddyTree.order(for: max(count, alignment >> 12))
    let found = lock.withLock { () -> Int? in
      guard let page = place(count, order, limit, options) else { return nil }
      // SAFETY: the state lives as long as this object; the lock is held.
      unsafe state.pointee.tree.take(page: page, count: count)
      unsafe state.pointee.freePageCount -= count
      return page
    }
    guard let page = found else {
      numbers = DMAStatusNumbers(UInt64(byteCount), limit)
      return .outOfMemory
    }
    let physicalAddress = UInt64(page) << 12
    // The pages are nobody else's by now: no lock is needed to clear them.
    memory.zero(physicalAddress, count << 12)
    let cpuAddress =
      options.contains(.uncached)
      ? memory.deviceAddress(physicalAddress) : memory.linearAddress(physicalAddress)
    numbers = DMAStatusNumbers(UInt64(cpuAddress), physicalAddress)
    return .success
  }

  /// Takes zeroed pages that lie apart, as those of long-running machines do.
  ///
  /// - Returns: their physical addresses, or nil and nothing taken when there are not enough.
  /// - Parameter random: a number up to its argument; decides how far apart.
  package func allocateScattered(
    pageCount: Int, random: (UInt64) -> UInt64
  ) -> [UInt64]? {
    var pages: [Int] = []
    pages.reserveCapacity(pageCount)
    // Not all over memory: bookkeeping is only backed where it is used.
    let spread = UInt64(pageCount) * 4 + 64
    lock.lock()
    // SAFETY: as above.
    for _ in 0..<pageCount {
      guard let lowest = place(1, 0, .max, []) else { break }
      let wanted = lowest + Int(random(spread))
      var page =
        unsafe state.pointee.tree.find(
          order: 0, starts: wanted...Int.max >> 12, highest: false) ?? lowest
      if page - 1 == pages.last {
        page =
          unsafe state.pointee.tree.find(
            order: 0, starts: page + 1...Int.max >> 12, highest: false) ?? page
      }
      unsafe state.pointee.tree.take(page: page, count: 1)
      pages.append(page)
    }
    unsafe state.pointee.freePageCount -= pages.count
    lock.unlock()
    let addresses = pages.map { UInt64($0) << 12 }
    guard pages.count == pageCount else {
      for address in addresses { free(physicalAddress: address, byteCount: 4096) }
      return nil
    }
    for address in addresses { memory.zero(address, 4096) }
    return addresses
  }

  /// Finds room; the lock is held.
  private func place(_ count: Int, _ order: Int, _ limit: UInt64, _ options: PageOptions) -> Int? {
    // The last page that lies wholly at or below the limit.
    let lastPage = limit == .max ? Int.max >> 12 : Int((limit + 1) >> 12) - 1
    for index in 0..<3 {
      let zone = Self.zones[index]
      let lastStart = min(zone.upperBound, lastPage) - (count - 1)
      guard lastStart >= zone.lowerBound else { continue }
      // SAFETY: as above.
      if let page = unsafe state.pointee.tree.find(
        order: order, starts: zone.lowerBound...lastStart, highest: options.contains(.high))
      {
        return page
      }
    }
    return nil
  }

  /// Gives pages back, as they were allocated; traps on anything else.
  package func free(physicalAddress: UInt64, byteCount: Int) {
    let count = (byteCount - 1) >> 12 + 1
    precondition(
      byteCount > 0 && physicalAddress & 4095 == 0
        && memory.map.contains(physicalAddress, UInt64(count) << 12),
      "freed pages are what was allocated")
    // Before others can have the pages.
    if count << 12 >= Self.discardByteCount { memory.discard(physicalAddress, count << 12) }
    lock.withLock {
      // SAFETY: as above.
      unsafe state.pointee.tree.giveBack(page: Int(physicalAddress >> 12), count: count)
      unsafe state.pointee.freePageCount += count
    }
  }

  /// Whether all of these bytes lie in allocated pages.
  package func isAllocated(_ physicalAddress: UInt64, _ byteCount: Int) -> Bool {
    guard byteCount > 0, memory.map.contains(physicalAddress, UInt64(byteCount)),
      physicalAddress >= MemoryMap.firmwareByteCount
    else { return false }
    let last = Int((physicalAddress + UInt64(byteCount - 1)) >> 12)
    return lock.withLock {
      var page = Int(physicalAddress >> 12)
      while page <= last {
        // SAFETY: as above.
        guard let end = unsafe state.pointee.tree.endOfTakenBlock(at: page) else { return false }
        page = end
      }
      return true
    }
  }

  /// Bytes that are free now.
  package var freeByteCount: UInt64 {
    lock.withLock { UInt64(unsafe state.pointee.freePageCount) << 12 }
  }
}

// SAFETY: the state is only touched with the lock held.
extension PageAllocator: @unchecked Sendable {}
