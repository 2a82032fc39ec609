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
  /// Per thread slot: its gate, and 32 bytes on its magazines, two for each order.
  private let slots: UnsafeMutableRawPointer

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

  private static var slotByteCount: Int { 192 }
  private static var magazinesAt: Int { 32 }

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
      unsafe (slots + slot * Self.slotByteCount).bindMemory(to: SlotGate.self, capacity: 1)
        .initialize(to: SlotGate(slot: slot, isPlain: isCaching))
    }
    unsafe self.state = state
    unsafe self.slots = slots
  }

  deinit {
    for slot in 0..<SlotGate.count {
      let magazines = unsafe magazines(slot)
      for index in 0..<(2 * IOVAMagazine.orderCount) {
        unsafe IOVAMagazine(rawValue: magazines[index])?.free()
      }
    }
    // SAFETY: nobody else knows them any more.
    unsafe slots.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  @inline(__always)
  private func gate(_ slot: Int) -> UnsafeMutablePointer<SlotGate> {
    // SAFETY: bound by init; slots are below SlotGate.count.
    unsafe (slots + slot &* Self.slotByteCount).assumingMemoryBound(to: SlotGate.self)
  }

  @inline(__always)
  private func magazines(_ slot: Int) -> UnsafeMutablePointer<UInt> {
    // SAFETY: twenty words of zeroes or magazines' addresses.
    unsafe (slots + slot &* Self.slotByteCount + Self.magazinesAt).assumingMemoryBound(
      to: UInt.self)
  }

  /// One past the last page that any space has.
  static var endOfAll: UInt64 { 1 << 52 }

  // MARK: Pages

  /// How many pages a request really takes.
  @inline(__always)
  static func roundedCount(_ count: UInt64) -> UInt64 {
    count < 32 ? 1 &<< UInt64(truncatingIfNeeded: PageBits.order(holding: count)) : count
  }

  /// The order of runs that are cached for `count` pages; `IOVAMagazine.orderCount` when none is.
  @inline(__always)
  private static func cachedOrder(_ count: UInt64) -> Int {
    // The usual case without counting bits.
    if count == 1 { return 0 }
    let order = PageBits.order(holding: count)
    return count <= 32 || count & (count &- 1) == 0 ? order : IOVAMagazine.orderCount
  }

  /// Takes `count` pages below page `bound`; 0 when there are none.
  @inline(__always)
  func takePages(_ count: UInt64, below bound: UInt64) -> UInt64 {
    let order = Self.cachedOrder(count)
    let slot = SlotGate.claimedSlot
    let gate = unsafe gate(slot)
    if order < IOVAMagazine.orderCount, unsafe gate.pointee.enterPlainly() {
      // SAFETY: inside of the gate the slot's magazines are this thread's.
      let loaded = unsafe IOVAMagazine(rawValue: magazines(slot)[2 &* order])
      let page = loaded?.popTop(count, below: bound) ?? 0
      unsafe gate.pointee.leavePlainly()
      if page != 0 { return page }
    }
    return takeUncached(count, below: bound)
  }

  /// Gives pages back.
  @inline(__always)
  func givePages(_ first: UInt64, _ count: UInt64) {
    let order = Self.cachedOrder(count)
    let slot = SlotGate.claimedSlot
    let gate = unsafe gate(slot)
    if order < IOVAMagazine.orderCount, unsafe gate.pointee.enterPlainly() {
      // SAFETY: as in takePages.
      let loaded = unsafe IOVAMagazine(rawValue: magazines(slot)[2 &* order])
      let isKept = loaded?.push(first) ?? false
      unsafe gate.pointee.leavePlainly()
      if isKept { return }
    }
    giveUncached(first, count)
  }

  /// What the loaded magazine does not do.
  @inline(never)
  private func takeUncached(_ count: UInt64, below bound: UInt64) -> UInt64 {
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
    guard let loaded = unsafe IOVAMagazine(rawValue: pair[0]),
      let previous = unsafe IOVAMagazine(rawValue: pair[1])
    else { return 0 }
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
    unsafe pair[0] = full.rawValue
    return full.pop(count, below: bound)
  }

  @inline(never)
  private func giveUncached(_ first: UInt64, _ count: UInt64) {
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
    if unsafe pair[0] == 0 {
      unsafe pair[0] = IOVAMagazine.make(order: order).rawValue
      unsafe pair[1] = IOVAMagazine.make(order: order).rawValue
    }
    guard let loaded = unsafe IOVAMagazine(rawValue: pair[0]),
      let previous = unsafe IOVAMagazine(rawValue: pair[1])
    else { preconditionFailure("magazines come in pairs") }
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
    unsafe pair[0] = fresh.rawValue
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
  private func giveToTree(_ first: UInt64, _ count: UInt64) {
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
          if let magazine = unsafe IOVAMagazine(rawValue: pair[index]) {
            empty(magazine, index / 2)
          }
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

// MARK: For those who use a space of their own.

extension IOVASpace {
  /// Takes addresses for `pageCount` pages.
  ///
  /// - Returns: the first address, or nil when no run is free: a retry can help after a `free`.
  public func allocate(pageCount: Int) -> UInt64? {
    guard pageCount > 0 else { return nil }
    let page = takePages(UInt64(pageCount), below: Self.endOfAll)
    return page == 0 ? nil : page << 12
  }

  /// Takes addresses for `pageCount` pages that end at or below `last`.
  ///
  /// - Returns: the first address, or nil when no run is free: a retry can help after a `free`.
  public func allocate(pageCount: Int, last: UInt64) -> UInt64? {
    guard pageCount > 0 else { return nil }
    let page = takePages(UInt64(pageCount), below: Self.end(last: last))
    return page == 0 ? nil : page << 12
  }

  /// One past the last page that ends at or below an address.
  @inline(__always)
  static func end(last: UInt64) -> UInt64 {
    last &>> 12 &+ (last & 4095 == 4095 ? 1 : 0)
  }

  /// Gives addresses back, with the count that was asked for.
  ///
  /// Giving back what is not taken, or another count, traps at the latest when the caches are
  /// emptied.
  public func free(_ address: UInt64, pageCount: Int) {
    precondition(pageCount > 0 && address & 4095 == 0, "what allocate returned")
    givePages(address >> 12, UInt64(pageCount))
  }

  /// Takes addresses out of use for good: windows of other devices, interrupts, firmware.
  ///
  /// Whole pages that hold any of the bytes; some may be taken or reserved already.
  public func reserve(_ addresses: ClosedRange<UInt64>) {
    let first = addresses.lowerBound >> 12
    unsafe state.pointee.lock.withLock {
      unsafe state.pointee.tree.reserve(first, addresses.upperBound >> 12 - first + 1)
    }
  }

  /// Takes these pages; false when some are taken, kept in caches or reserved.
  func takeExactly(_ first: UInt64, _ count: UInt64) -> Bool {
    unsafe state.pointee.lock.withLock { unsafe state.pointee.tree.takeExactly(first, count) }
  }

  /// Gives back what `takeExactly` took.
  func giveExactly(_ first: UInt64, _ count: UInt64) { giveToTree(first, count) }

  /// Pages that are out of the tree: given out, kept in caches, or reserved (page 0 always is).
  public var takenPageCount: Int {
    unsafe state.pointee.lock.withLock { Int(unsafe state.pointee.tree.takenCount) }
  }
}

// SAFETY: everything is behind locks and gates.
extension IOVASpace: @unchecked Sendable {}
