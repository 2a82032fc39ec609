internal import DMA
internal import DMASupport
internal import Synchronization

/// The bus addresses behind an IOMMU: hands out runs of 4 KiB pages and takes them back.
///
/// Top-down and naturally aligned: a run begins at a multiple of the next power of two of its
/// length. Runs below 32 pages are rounded up to a power of two, so that all of one size are
/// interchangeable; longer ones stay as long as asked for. Page 0 is never given out. Each thread
/// keeps freed runs in caches of its own, two magazines for each size: runs of up to 32 pages, and,
/// fewer of them, those of 64 to 512 pages whose length is a power of two (2 MiB is what large
/// buffers come in). Behind them stands a depot, behind that a tree; when that is exhausted, all
/// caches are emptied and the tree is asked once more. Any thread, any context; never waits. The
/// source of the rules is Linux's IOVA allocator, which caches up to 32 pages.
@safe
public struct IOVASpace: ~Copyable {
  let state: UnsafeMutablePointer<State>
  /// Per thread slot: its gate, a counter at byte 24, and from 32 on its magazines, two for each order.
  @usableFromInline let slots: UnsafeMutableRawPointer

  struct State: ~Copyable {
    /// Guards the tree.
    let lock = RawSpinLock()
    var tree: IOVATree
    /// Guards the depot; taken before `lock`.
    let depotLock = RawSpinLock()
    var depot: IOVADepot
    /// One at a time may stop all threads' caches.
    let stopLock = RawSpinLock()
    let isCaching: Bool
  }

  @inlinable static var slotByteCount: Int { 256 }
  @inlinable static var magazinesAt: Int { 32 }

  /// A space of the addresses from 4096 to `last`.
  ///
  /// - Parameters:
  ///   - last: the highest address; a page that does not end at or below it is not used.
  ///   - isCaching: whether threads keep freed runs.
  public init(last: UInt64, isCaching: Bool = true) {
    let end = last >> 12 + (last & 4095 == 4095 ? 1 : 0)
    let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    // SAFETY: freshly allocated; freed by deinit.
    unsafe state.initialize(
      to: State(tree: IOVATree(end: end), depot: IOVADepot(), isCaching: isCaching))
    let slots = UnsafeMutableRawPointer.allocate(
      byteCount: Self.slotByteCount * SlotGate.count, alignment: 64)
    unsafe slots.initializeMemory(
      as: UInt8.self, repeating: 0, count: Self.slotByteCount * SlotGate.count)
    for slot in 0..<SlotGate.count {
      let start = unsafe slots + slot * Self.slotByteCount
      unsafe start.bindMemory(to: SlotGate.self, capacity: 1)
        .initialize(to: SlotGate(slot: slot, isPlain: isCaching))
      unsafe (start + Self.magazinesAt).bindMemory(
        to: IOVAMagazine.self, capacity: 2 * IOVAMagazine.orderCount
      ).initialize(repeating: IOVAMagazine.none, count: 2 * IOVAMagazine.orderCount)
    }
    unsafe self.state = state
    unsafe self.slots = slots
  }

  deinit {
    for slot in 0..<SlotGate.count {
      let magazines = unsafe magazines(slot)
      for index in 0..<(2 * IOVAMagazine.orderCount) {
        if unsafe !magazines[index].isNone { unsafe magazines[index].free() }
      }
    }
    // SAFETY: nobody else knows them any more.
    unsafe slots.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  @inlinable
  @inline(__always)
  func gate(_ slot: Int) -> UnsafeMutablePointer<SlotGate> {
    // SAFETY: bound by init; slots are below SlotGate.count.
    unsafe (slots + slot &* Self.slotByteCount).assumingMemoryBound(to: SlotGate.self)
  }

  @inlinable
  @inline(__always)
  func magazines(_ slot: Int) -> UnsafeMutablePointer<IOVAMagazine> {
    // SAFETY: bound by init; twenty of them.
    unsafe (slots + slot &* Self.slotByteCount + Self.magazinesAt).assumingMemoryBound(
      to: IOVAMagazine.self)
  }

  /// Counts one event of the space's user: a plain addition for a thread with a slot of its own.
  @inline(__always)
  func countOne() {
    let slot = SlotGate.claimedSlot
    // SAFETY: eight zeroed bytes between gate and magazines.
    let count = unsafe counter(slot)
    if slot != 0 {
      unsafe count.pointee.store(
        count.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    } else {
      unsafe count.pointee.add(1, ordering: .relaxed)
    }
  }

  /// What `countOne` counted.
  var countedEvents: Int {
    var sum = 0
    for slot in 0..<SlotGate.count {
      sum += unsafe counter(slot).pointee.load(ordering: .relaxed)
    }
    return sum
  }

  @inline(__always)
  private func counter(_ slot: Int) -> UnsafeMutablePointer<Atomic<Int>> {
    unsafe (slots + slot &* Self.slotByteCount + 24).assumingMemoryBound(to: Atomic<Int>.self)
  }

  /// One past the last page that any space has.
  @inlinable static var endOfAll: UInt64 { 1 << 52 }

  // MARK: Pages

  /// How many pages a request really takes.
  @inline(__always)
  static func roundedCount(_ count: UInt64) -> UInt64 {
    count < 32 ? 1 &<< UInt64(truncatingIfNeeded: PageBits.order(holding: count)) : count
  }

  /// The order of runs that are cached for `count` pages; `IOVAMagazine.orderCount` when none is.
  private static func cachedOrder(_ count: UInt64) -> Int {
    let order = PageBits.order(holding: count)
    return count <= 32 || count & (count &- 1) == 0 ? order : IOVAMagazine.orderCount
  }

  /// The same for counts that are cached.
  @inlinable
  @inline(__always)
  static func smallOrder(_ count: UInt64) -> Int {
    // The usual case without counting bits; elsewhere the lowest bit is set for the optimiser, which
    // then need not care for zero.
    count == 1 ? 0 : 63 &- ((count &+ count &- 1) | 1).leadingZeroBitCount
  }

  /// Whether runs for `count` pages are cached.
  @inlinable
  @inline(__always)
  static func isCached(_ count: UInt64) -> Bool {
    count &- 1 < 32 || count &- 1 < 512 && count & (count &- 1) == 0
  }

  /// Takes `count` pages below page `bound`; 0 when there are none.
  ///
  /// - Parameter count: 0 and what no space has give 0.
  @inlinable
  @inline(__always)
  func takePages(_ count: UInt64, below bound: UInt64) -> UInt64 {
    let slot = SlotGate.claimedSlot
    if Self.isCached(count), unsafe gate(slot).pointee.enterPlainly() {
      // SAFETY: inside of the gate the slot's magazines are this thread's; there is always one, if
      // only `none`.
      let page = unsafe magazines(slot)[2 &* Self.smallOrder(count)].popTop(count, below: bound)
      unsafe gate(slot).pointee.leavePlainly()
      if page != 0 { return page }
    }
    return takeUncached(count, below: bound)
  }

  /// Takes one page below page `bound` from the loaded magazine; 0 when it has none.
  @inline(__always)
  func takeTop(below bound: UInt64) -> UInt64 {
    let slot = SlotGate.claimedSlot
    guard unsafe gate(slot).pointee.enterPlainly() else { return 0 }
    // SAFETY: as in takePages.
    let page = unsafe magazines(slot)[0].popPage(below: bound)
    unsafe gate(slot).pointee.leavePlainly()
    return page
  }

  /// Gives one page back to the loaded magazine, and counts as `countOne`; false, and nothing is
  /// changed, when it has no room.
  @inline(__always)
  func giveTopAndCount(_ page: UInt64) -> Bool {
    let slot = SlotGate.claimedSlot
    guard unsafe gate(slot).pointee.enterPlainly() else { return false }
    // SAFETY: as in takePages; inside of the gate the slot is this thread's.
    let isKept = unsafe magazines(slot)[0].push(page)
    if isKept {
      let count = unsafe counter(slot)
      unsafe count.pointee.store(count.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
    unsafe gate(slot).pointee.leavePlainly()
    return isKept
  }

  /// Gives pages back.
  @inlinable
  @inline(__always)
  func givePages(_ first: UInt64, _ count: UInt64) {
    let slot = SlotGate.claimedSlot
    if Self.isCached(count), unsafe gate(slot).pointee.enterPlainly() {
      // SAFETY: as in takePages.
      let isKept = unsafe magazines(slot)[2 &* Self.smallOrder(count)].push(first)
      unsafe gate(slot).pointee.leavePlainly()
      if isKept { return }
    }
    giveUncached(first, count)
  }

  /// What the loaded magazine does not do.
  @usableFromInline
  @inline(never)
  func takeUncached(_ count: UInt64, below bound: UInt64) -> UInt64 {
    guard count &- 1 < Self.endOfAll else { return 0 }
    let order = Self.cachedOrder(count)
    if order < IOVAMagazine.orderCount, unsafe state.pointee.isCaching {
      let slot = SlotGate.currentSlot
      unsafe gate(slot).pointee.enter(slot: slot)
      let page = takeCached(count, order, slot: slot, below: bound)
      unsafe gate(slot).pointee.leave(slot: slot)
      if page != 0 { return page }
    }
    return takeFromTree(Self.roundedCount(count), below: bound)
  }

  /// Inside of the gate.
  private func takeCached(
    _ count: UInt64, _ order: Int, slot: Int, below bound: UInt64
  ) -> UInt64 {
    let pair = unsafe magazines(slot) + 2 * order
    // SAFETY: inside of the gate; the pair belongs to one order.
    let loaded = unsafe pair[0]
    let previous = unsafe pair[1]
    guard !loaded.isNone else { return 0 }
    if !loaded.isEmpty { return loaded.pop(count, below: bound) }
    if !previous.isEmpty {
      unsafe (pair[0], pair[1]) = (pair[1], pair[0])
      return previous.pop(count, below: bound)
    }
    guard
      let full = unsafe state.pointee.depotLock.withLock({
        unsafe state.pointee.depot.exchange(empty: loaded, order: order)
      })
    else { return 0 }
    unsafe pair[0] = full
    return full.pop(count, below: bound)
  }

  @usableFromInline
  @inline(never)
  func giveUncached(_ first: UInt64, _ count: UInt64) {
    let order = Self.cachedOrder(count)
    guard order < IOVAMagazine.orderCount, unsafe state.pointee.isCaching else {
      return giveToTree(first, Self.roundedCount(count))
    }
    let slot = SlotGate.currentSlot
    unsafe gate(slot).pointee.enter(slot: slot)
    let overflow = giveCached(first, order, slot: slot)
    unsafe gate(slot).pointee.leave(slot: slot)
    guard let overflow else { return }
    empty(overflow, order)
    overflow.free()
  }

  /// Inside of the gate.
  ///
  /// - Returns: a full magazine for which there was no room anywhere.
  private func giveCached(_ first: UInt64, _ order: Int, slot: Int) -> IOVAMagazine? {
    let pair = unsafe magazines(slot) + 2 * order
    // SAFETY: inside of the gate; the pair belongs to one order. Magazines are made at the first
    // use of their slot and order only.
    if unsafe pair[0].isNone {
      unsafe pair[0] = IOVAMagazine.make(order: order)
      unsafe pair[1] = IOVAMagazine.make(order: order)
    }
    let loaded = unsafe pair[0]
    let previous = unsafe pair[1]
    if loaded.push(first) { return nil }
    if previous.push(first) {
      unsafe (pair[0], pair[1]) = (pair[1], pair[0])
      return nil
    }
    // Both are full: the loaded one goes to the depot, or back into the tree.
    let (fresh, overflow) = unsafe state.pointee.depotLock.withLock {
      unsafe state.pointee.depot.exchange(full: loaded, order: order)
    }
    _ = fresh.push(first)
    unsafe pair[0] = fresh
    return overflow
  }

  // MARK: The tree

  @inline(never)
  private func takeFromTree(_ count: UInt64, below bound: UInt64) -> UInt64 {
    let page = unsafe state.pointee.lock.withLock {
      unsafe state.pointee.tree.allocate(count, below: bound)
    }
    guard unsafe page == 0 && state.pointee.isCaching else { return page }
    flushCaches()
    return unsafe state.pointee.lock.withLock {
      unsafe state.pointee.tree.allocate(count, below: bound)
    }
  }

  @inline(never)
  func giveToTree(_ first: UInt64, _ count: UInt64) {
    unsafe state.pointee.lock.withLock { unsafe state.pointee.tree.free(first, count) }
  }

  private func empty(_ magazine: IOVAMagazine, _ order: Int) {
    unsafe state.pointee.lock.withLock {
      while case let page = magazine.popTop(1, below: IOVASpace.endOfAll), page != 0 {
        unsafe state.pointee.tree.free(page, 1 << UInt64(order))
      }
    }
  }

  /// Empties every thread's caches and the depot into the tree.
  ///
  /// Stops all allocation for some microseconds.
  public func flushCaches() {
    unsafe state.pointee.stopLock.withLock {
      for slot in 0..<SlotGate.count { unsafe gate(slot).pointee.raise() }
      dma_fence_heavy()
      for slot in 0..<SlotGate.count {
        unsafe gate(slot).pointee.waitUntilLeft()
        // SAFETY: the slot's owner is outside and stays there.
        let pair = unsafe magazines(slot)
        for index in 0..<(2 * IOVAMagazine.orderCount) {
          unsafe empty(pair[index], index / 2)
        }
        unsafe gate(slot).pointee.lower()
      }
      for order in 0..<IOVAMagazine.orderCount {
        while let full = unsafe state.pointee.depotLock.withLock({
          unsafe state.pointee.depot.removeFull(order: order)
        }) {
          empty(full, order)
          full.free()
        }
      }
    }
  }
}

// SAFETY: everything is behind locks and gates.
extension IOVASpace: @unchecked Sendable {}
