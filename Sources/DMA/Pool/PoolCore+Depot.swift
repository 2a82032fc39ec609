internal import DMASupport
internal import Synchronization

/// The paths of taking and putting that need the lock.
extension PoolCore {
  /// Takes a block under the lock, from new memory if need be.
  ///
  /// Never waits.
  static func takeSlowly(
    _ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite
  ) throws(DMAError) -> UnsafeMutablePointer<PoolRecord> {
    // SAFETY: the pool, which the caller has, keeps core and books.
    guard unsafe core.pointee.device.pointee.flags & DMADeviceCore.Flags.removed == 0 else {
      throw .deviceRemoved
    }
    precondition(
      unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.destroyed == 0,
      "the pool was destroyed")
    unsafe makeMagazine(core)
    if let record = unsafe takeLocked(core) { return unsafe record }
    while true {
      do throws(DMAError) {
        try unsafe grow(core, site)
      } catch {
        // The last resort: what other threads keep for themselves.
        let record = unsafe core.pointee.books.pointee.lock.withLock {
          unsafe collect(core)
          return unsafe core.pointee.books.pointee.pop()
        }
        if let record = unsafe record { return unsafe record }
        throw error
      }
      if let record = unsafe takeLocked(core) { return unsafe record }
    }
  }

  private static func takeLocked(
    _ core: UnsafeMutablePointer<PoolCore>
  ) -> UnsafeMutablePointer<PoolRecord>? {
    let books = unsafe core.pointee.books
    // SAFETY: as above; the stack's entries below its count are set, a magazine has room for its
    // capacity, and its owner is the calling thread.
    return unsafe books.pointee.lock.withLock {
      guard let record = unsafe books.pointee.pop() else { return nil }
      if let magazine = unsafe ownMagazine(core), unsafe magazine.pointee.count == 0 {
        let count = unsafe min(books.pointee.freeCount, core.pointee.magazineCapacity / 2)
        let left = unsafe books.pointee.freeCount - count
        unsafe PoolMagazine.blocks(magazine).update(from: books.pointee.free + left, count: count)
        unsafe magazine.pointee.count = count
        unsafe books.pointee.freeCount = left
      }
      return unsafe record
    }
  }

  /// Gives a block back under the lock: to a thread's magazine while nothing speaks against it.
  @usableFromInline
  @inline(never)
  static func putSlowly(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>,
    _ site: CallSite
  ) {
    // SAFETY: the block keeps core and books until it is pushed; an orphan's last block keeps them
    // to the end of this call.
    let device = unsafe core.pointee.device
    if unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 {
      unsafe DMADeviceCore.deliver(device, event(.poolFree, core, record, site))
    }
    if unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.poisoned != 0 {
      unsafe poison(core, record)
    }
    unsafe makeMagazine(core)
    let books = unsafe core.pointee.books
    let isLast = unsafe books.pointee.lock.withLock {
      if let magazine = unsafe ownMagazine(core) {
        let half = unsafe core.pointee.magazineCapacity / 2
        if unsafe magazine.pointee.count == core.pointee.magazineCapacity {
          unsafe books.pointee.push(PoolMagazine.blocks(magazine), count: half)
          unsafe magazine.pointee.count -= half
          unsafe PoolMagazine.blocks(magazine).update(
            from: PoolMagazine.blocks(magazine) + half, count: magazine.pointee.count)
        }
        unsafe PoolMagazine.blocks(magazine)[magazine.pointee.count] = record
        unsafe magazine.pointee.count += 1
        return false
      }
      unsafe books.pointee.push(record)
      return unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.orphaned != 0
        && books.pointee.freeCount == books.pointee.blockCount
    }
    if isLast { unsafe releaseOrphan(core) }
  }

  /// The calling thread's magazine, while the pool uses them.
  ///
  /// Called with the lock held.
  private static func ownMagazine(
    _ core: UnsafeMutablePointer<PoolCore>
  ) -> UnsafeMutablePointer<PoolMagazine>? {
    // SAFETY: as in takeSlowly.
    guard unsafe core.pointee.mode.load(ordering: .relaxed) == 0,
      unsafe core.pointee.device.pointee.flags & DMADeviceCore.Flags.observed == 0
    else { return nil }
    return unsafe core.pointee.magazines[Int(dma_thread_slot())]
  }
}

extension PoolCore {
  /// Runs `body` for each magazine, with the lock held, while no owner touches its own.
  static func withMagazinesStopped(
    _ core: UnsafeMutablePointer<PoolCore>,
    _ body: (UnsafeMutablePointer<PoolMagazine>) -> Void
  ) {
    guard unsafe core.pointee.hasMagazines else { return }
    let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
    unsafe core.pointee.mode.store(mode | Mode.stopped, ordering: .relaxed)
    // Releasing: owners that see the old mode again see what was done to their magazines.
    defer { unsafe core.pointee.mode.store(mode, ordering: .releasing) }
    dma_fence_heavy()
    for slot in 0..<slotCount {
      // SAFETY: entries are set under the lock, which the caller holds, and never unset.
      guard let magazine = unsafe core.pointee.magazines[slot] else { continue }
      // Acquiring: what the owner did before is seen.
      while unsafe magazine.pointee.isBusy.load(ordering: .acquiring) != 0 { dma_cpu_relax() }
      unsafe body(magazine)
    }
  }

  /// Moves all magazines' blocks to the stack.
  ///
  /// Called with the lock held.
  static func collect(_ core: UnsafeMutablePointer<PoolCore>) {
    let books = unsafe core.pointee.books
    unsafe withMagazinesStopped(core) { magazine in
      for index in unsafe 0..<magazine.pointee.count {
        // SAFETY: entries below the count are set; the magazine is stopped.
        unsafe books.pointee.push(PoolMagazine.blocks(magazine)[index])
      }
      unsafe magazine.pointee.count = 0
    }
  }

  /// Gives the calling thread a magazine, if it may have one and has none.
  static func makeMagazine(_ core: UnsafeMutablePointer<PoolCore>) {
    let slot = Int(dma_thread_slot())
    // SAFETY: only the thread that has the slot sets its entry; looking without the lock is its
    // right as well. Slot 0 is shared.
    guard slot != 0, unsafe core.pointee.hasMagazines,
      unsafe core.pointee.mode.load(ordering: .relaxed) == 0,
      unsafe core.pointee.magazines[slot] == nil
    else { return }
    let magazine = unsafe PoolMagazine.make(capacity: core.pointee.magazineCapacity)
    unsafe core.pointee.books.pointee.lock.withLock {
      unsafe core.pointee.magazines[slot] = magazine
    }
  }
}
