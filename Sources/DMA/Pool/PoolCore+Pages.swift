internal import Synchronization

/// Where a pool's memory comes from and goes to.
extension PoolCore {
  /// Adds a page of blocks.
  ///
  /// Memory and records are made without the lock (T15).
  static func grow(
    _ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite
  ) throws(DMAError) {
    // SAFETY: the pool, which the caller has, keeps core and books.
    let geometry = unsafe core.pointee.geometry
    let memory = try unsafe DMADeviceCore.allocateCoherent(
      core.pointee.device, byteCount: geometry.pageByteCount, site: site)
    let cpuAddress = unsafe UInt(bitPattern: memory.cpuAddress)
    if unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.poisoned != 0 {
      unsafe memory.cpuAddress.initializeMemory(
        as: UInt8.self, repeating: Poison.free, count: geometry.pageByteCount)
    }
    let count = geometry.blocksPerPage
    let records = UnsafeMutablePointer<PoolRecord>.allocate(capacity: count)
    let books = unsafe core.pointee.books
    var spare: UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>? = nil
    while true {
      // Room for every block in the stack, also made without the lock.
      let needed = unsafe books.pointee.lock.withLock { unsafe books.pointee.blockCount } + count
      let capacity = max(needed, needed / 2 * 3)
      unsafe spare = UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>.allocate(
        capacity: capacity)
      let isDone = unsafe books.pointee.lock.withLock {
        // Somebody else's page may have come first.
        guard unsafe books.pointee.blockCount + count <= max(capacity, books.pointee.freeCapacity)
        else { return false }
        if unsafe capacity > books.pointee.freeCapacity, let fresh = unsafe spare {
          unsafe fresh.initialize(from: books.pointee.free, count: books.pointee.freeCount)
          unsafe spare = books.pointee.free
          unsafe books.pointee.free = fresh
          unsafe books.pointee.freeCapacity = capacity
        }
        let number = unsafe UInt32(books.pointee.pages.count)
        unsafe books.pointee.pages.append(
          PoolBooks.Page(
            cpuAddress: cpuAddress, address: memory.address.rawValue, records: records))
        unsafe books.pointee.pageNumbers.insert(number, for: memory.address.rawValue)
        unsafe books.pointee.blockCount += count
        // The lowest block comes first.
        for index in (0..<count).reversed() {
          let offset = geometry.offset(of: index)
          unsafe (records + index).initialize(
            to: PoolRecord(
              cpuAddress: cpuAddress + UInt(offset),
              address: memory.address.rawValue + UInt64(offset), page: number,
              isRaw: Atomic(0)))
          unsafe books.pointee.push(records + index)
        }
        unsafe core.pointee.pageIndex.insert(memory.address.rawValue, records)
        return true
      }
      unsafe spare?.deallocate()
      if isDone { return }
    }
  }

  /// Frees all pages of a pool without live blocks.
  ///
  /// Not in interrupts.
  static func freePages(_ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite) {
    let books = unsafe core.pointee.books
    let device = unsafe core.pointee.device
    let byteCount = unsafe core.pointee.geometry.pageByteCount
    unsafe core.pointee.pageIndex.clear()
    while true {
      // SAFETY: the caller has made sure that nobody has a block.
      let last = unsafe books.pointee.lock.withLock { unsafe books.pointee.pages.popLast() }
      guard let page = last else { break }
      unsafe page.records.deallocate()
      do throws(DMAError) {
        try unsafe DMADeviceCore.freeCoherent(
          device, address: DMAAddress(rawValue: page.address), cpuAddress: page.cpuAddress,
          byteCount: byteCount, site: site)
      } catch {
        preconditionFailure("a pool frees exactly the pages it allocated")
      }
    }
    unsafe books.pointee.lock.withLock {
      unsafe books.pointee.pageNumbers = AddressTable()
      unsafe books.pointee.freeCount = 0
      unsafe books.pointee.blockCount = 0
    }
  }

  /// Blocks that are not free, counted under the lock, with all free ones in the stack.
  private static func collectAndCountBusy(_ core: UnsafeMutablePointer<PoolCore>) -> Int {
    unsafe collect(core)
    return unsafe core.pointee.books.pointee.blockCount - core.pointee.books.pointee.freeCount
  }

  /// Ends a pool that nobody uses (R70).
  static func destroy(
    _ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite
  ) throws(DMAError) {
    guard ExecutionContext.current != .interrupt else { throw .forbiddenInInterrupt }
    // SAFETY: the pool, which the caller has, keeps core and books.
    let wasDestroyed = try unsafe core.pointee.books.pointee.lock.withLock {
      () throws(DMAError) -> Bool in
      let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
      guard mode & Mode.destroyed == 0 else { return true }
      let busy = unsafe collectAndCountBusy(core)
      guard busy == 0 else {
        unsafe reportDestroy(core, busyCount: busy, site, status: .refused)
        throw .poolBusy(blockCount: busy)
      }
      unsafe core.pointee.mode.store(mode | Mode.destroyed, ordering: .releasing)
      return false
    }
    if wasDestroyed { return }
    unsafe reportDestroy(core, busyCount: 0, site)
    unsafe freePages(core, site)
  }

  /// Ends a pool whose object goes.
  ///
  /// With live blocks memory and bookkeeping stay until the last one is freed (R71).
  static func abandon(_ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite) {
    let books = unsafe core.pointee.books
    // SAFETY: as above; with live blocks the core may be gone as soon as the lock is given back.
    var wasDestroyed = false
    let busy = unsafe books.pointee.lock.withLock {
      let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
      wasDestroyed = mode & Mode.destroyed != 0
      let busy = unsafe collectAndCountBusy(core)
      if !wasDestroyed { unsafe reportDestroy(core, busyCount: busy, site) }
      unsafe core.pointee.mode.store(mode | Mode.orphaned, ordering: .releasing)
      return busy
    }
    if busy == 0 { unsafe releaseOrphan(core) }
  }

  /// Frees what is left of an orphan without live blocks, or has it freed outside of the interrupt.
  static func releaseOrphan(_ core: UnsafeMutablePointer<PoolCore>) {
    let books = unsafe core.pointee.books
    // SAFETY: nobody but the caller has the core.
    let isEmpty = unsafe books.pointee.pages.isEmpty
    if !isEmpty, ExecutionContext.current == .interrupt {
      let deviceBooks = unsafe core.pointee.device.pointee.books
      unsafe deviceBooks.pointee.lock.withLock {
        unsafe deviceBooks.pointee.endedPools.append(core)
      }
      return
    }
    // The last page may be all that keeps platform and device.
    let platform = unsafe core.pointee.device.pointee.platform
    unsafe PlatformCore.retain(platform)
    unsafe freePages(core, CallSite.none)
    unsafe dispose(core)
    unsafe PlatformCore.release(platform)
  }

  /// Frees the orphans of a device that is quiet, as far as no value stands for their blocks: blocks
  /// that were allocated by address belong to nobody once their pool is gone.
  static func releaseOrphans(of device: UnsafeMutablePointer<DMADeviceCore>) {
    while true {
      // SAFETY: the list and its cores stay while the lock is held; an orphan without live values
      // is nobody else's.
      let found = unsafe device.pointee.books.pointee.lock.withLock {
        () -> UnsafeMutablePointer<PoolCore>? in
        var next = unsafe device.pointee.books.pointee.pools
        while let core = unsafe next {
          if unsafe isForgotten(core) { return unsafe core }
          unsafe next = core.pointee.next
        }
        return nil
      }
      guard let core = unsafe found else { return }
      unsafe releaseOrphan(core)
    }
  }

  private static func isForgotten(_ core: UnsafeMutablePointer<PoolCore>) -> Bool {
    let books = unsafe core.pointee.books
    // SAFETY: as above.
    guard unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.orphaned != 0 else {
      return false
    }
    return unsafe books.pointee.lock.withLock {
      let busy = unsafe books.pointee.blockCount - books.pointee.freeCount
      guard busy > 0 else { return false }
      var raw = 0
      for page in unsafe books.pointee.pages {
        for index in unsafe 0..<core.pointee.geometry.blocksPerPage {
          raw += unsafe Int(page.records[index].isRaw.load(ordering: .relaxed))
        }
      }
      return raw == busy
    }
  }
}
