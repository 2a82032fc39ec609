internal import DMA
internal import Synchronization

/// An address space of an IOMMU in plain memory: what mapping and unmapping work on.
@safe
struct DomainState: ~Copyable {
  let platform: UnsafeMutablePointer<PlatformCore>
  let space: IOVASpace
  let table: IOPageTable
  let queue = FlushQueue()
  let unitOperations: UnsafePointer<IOMMUUnitOperations>
  let unitContext: UnsafeMutableRawPointer
  let id: UInt32
  /// One past the last page that can be translated.
  let pageBound: UInt64
  let isDeferred: Bool
  let cachesAbsentEntries: Bool
  /// Whether an entry is mapped once it is stored: no cache work and no invalidation after it.
  let isPlain: Bool
  /// One past the last page that short ways unmap: those below 4 GiB, where `isPlain`.
  let nearEnd: UInt64
  let flushInterval: UInt64
  let notices: NoticeSink
  /// Set when addresses below 4 GiB ran out for devices that reach further.
  let isWide: Atomic<Bool>
  /// One past the last page below 4 GiB that can be translated; 0 once `isWide`, and where an entry is
  /// not mapped once it is stored (`isPlain`): what the short ways are for.
  let nearBound: Atomic<UInt64>
  let domainInvalidations = Atomic<Int>(0)
  let abandonedPages = Atomic<Int>(0)
  /// Pages mapped at their own addresses for good.
  let identityPages = Atomic<Int>(0)

  /// An empty table, made known to the unit.
  init(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ unit: IOMMUUnit,
    _ options: IOMMUDomain.Options
  ) throws(DMAError) {
    let table = try unsafe IOPageTable(
      platform: platform, levels: unit.levels, isCoherent: unit.walksCoherently)
    var numbers = DMAStatusNumbers()
    // SAFETY: the unit is valid while its owner is held.
    let status = unsafe numbers.withWords { pointer in
      unsafe unit.operations.pointee.beginDomain(
        unit.context, table.rootPhysicalAddress, UInt32(unit.levels), pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    let last = min(unit.lastAddress, options.lastAddress)
    let space = IOVASpace(last: last, isCaching: options.cachesAddresses)
    if let reserved = unit.reserved { space.reserve(reserved) }
    unsafe self.platform = platform
    self.space = space
    self.table = table
    unsafe unitOperations = unit.operations
    unsafe unitContext = unit.context
    id = UInt32(truncatingIfNeeded: numbers.first)
    pageBound = IOVASpace.end(last: last)
    switch options.invalidation {
    case .strict: (isDeferred, flushInterval) = (false, 0)
    case .deferred(let nanoseconds): (isDeferred, flushInterval) = (true, nanoseconds)
    }
    cachesAbsentEntries = unit.cachesAbsentEntries
    isPlain =
      unsafe platform.pointee.isCoherent && unit.walksCoherently && !unit.cachesAbsentEntries
    nearEnd = isPlain ? IOVATree.end32 : 0
    notices = NoticeSink(options.notices ?? MappingNoticeReceiver())
    isWide = Atomic(!options.prefersAddressesBelow4GiB)
    nearBound = Atomic(
      isPlain && options.prefersAddressesBelow4GiB ? min(pageBound, IOVATree.end32) : 0)
  }
}

extension DomainState {
  // MARK: Addresses

  /// Maps one page below 4 GiB, in memory that the unit sees as the CPU does, for a device that
  /// reaches as far; by the usual way only: 0 when it leads nowhere, and nothing is changed.
  @inline(__always)
  static func mapNear(_ domain: UnsafeMutablePointer<DomainState>, entry: UInt64) -> UInt64 {
    let page = unsafe domain.pointee.space.takeTop(
      below: domain.pointee.nearBound.load(ordering: .relaxed))
    if unsafe page == 0 || domain.pointee.table.setNear(page, entry: entry) { return page }
    unsafe giveBack(domain, page)
    return 0
  }

  @inline(never)
  private static func giveBack(_ domain: UnsafeMutablePointer<DomainState>, _ page: UInt64) {
    unsafe domain.pointee.space.givePages(page, 1)
  }

  /// Takes bus addresses for pages that end at or below `last`; 0 when there are none.
  @inline(__always)
  static func takePages(
    _ domain: UnsafeMutablePointer<DomainState>, _ count: UInt64, last: UInt64
  ) -> UInt64 {
    let bound = unsafe min(IOVASpace.end(last: last), domain.pointee.pageBound)
    if bound <= IOVATree.end32 {
      let page = unsafe domain.pointee.space.takePages(count, below: bound)
      return unsafe page != 0 ? page : takeAgain(domain, count, bound)
    }
    if unsafe !domain.pointee.isWide.load(ordering: .relaxed) {
      let page = unsafe domain.pointee.space.takePages(count, below: IOVATree.end32)
      if page != 0 { return page }
    }
    return unsafe takeWide(domain, count, bound)
  }

  /// With addresses beyond 4 GiB, after those below ran out.
  @inline(never)
  private static func takeWide(
    _ domain: UnsafeMutablePointer<DomainState>, _ count: UInt64, _ bound: UInt64
  ) -> UInt64 {
    if unsafe !domain.pointee.isWide.exchange(true, ordering: .relaxed) {
      unsafe domain.pointee.nearBound.store(0, ordering: .relaxed)
      unsafe domain.pointee.notices.send(
        MappingNotice(.wideAddresses, UInt64(PageBits.order(holding: bound)) + 12))
    }
    let page = unsafe domain.pointee.space.takePages(count, below: bound)
    return unsafe page != 0 ? page : takeAgain(domain, count, bound)
  }

  /// What waits for a flush is the last resort.
  @inline(never)
  private static func takeAgain(
    _ domain: UnsafeMutablePointer<DomainState>, _ count: UInt64, _ bound: UInt64
  ) -> UInt64 {
    guard unsafe domain.pointee.isDeferred else { return 0 }
    unsafe domain.pointee.queue.flush(domain)
    return unsafe domain.pointee.space.takePages(count, below: bound)
  }

  // MARK: Invalidation

  /// Makes the unit forget a range; false when it did not.
  @inline(never)
  static func invalidate(
    _ domain: UnsafeMutablePointer<DomainState>, _ first: UInt64, _ count: UInt64,
    withTables: Bool = false
  ) -> Bool {
    unsafe domain.pointee.space.countOne()
    // SAFETY: the unit outlives its domains.
    return unsafe domain.pointee.unitOperations.pointee.invalidateRange(
      domain.pointee.unitContext, domain.pointee.id, first &<< 12, count &<< 12,
      withTables ? 1 : 0) == DMAStatus.success.rawValue
  }

  /// Makes the unit forget the whole domain; false when it did not.
  static func invalidateAll(_ domain: UnsafeMutablePointer<DomainState>) -> Bool {
    unsafe domain.pointee.domainInvalidations.add(1, ordering: .relaxed)
    // SAFETY: as above.
    return unsafe domain.pointee.unitOperations.pointee.invalidateDomain(
      domain.pointee.unitContext, domain.pointee.id) == DMAStatus.success.rawValue
  }

  /// Never uses addresses again that the unit did not forget.
  @inline(never)
  static func abandon(
    _ domain: UnsafeMutablePointer<DomainState>, _ first: UInt64, _ count: UInt64
  ) {
    unsafe domain.pointee.abandonedPages.add(Int(count), ordering: .relaxed)
    unsafe domain.pointee.notices.send(
      MappingNotice(.invalidationFailed, first << 12, count << 12))
  }

  // MARK: Ranges

  /// Maps one run of memory at new bus addresses and returns the first page, or 0 with the status.
  @inline(__always)
  static func map(
    _ domain: UnsafeMutablePointer<DomainState>, physicalAddress: UInt64, pageCount: UInt64,
    permissions: UInt64, last: UInt64, _ status: inout DMAStatus
  ) -> UInt64 {
    let page = unsafe takePages(domain, pageCount, last: last)
    guard page != 0 else {
      status = .outOfAddressSpace
      return 0
    }
    let isMapped = unsafe domain.pointee.table.map(
      page, pageCount, entry: physicalAddress & TableEntry.addressMask | permissions,
      firstMark: TableEntry.firstMark(pageCount: pageCount),
      lastMark: TableEntry.lastMark(pageCount: pageCount))
    guard isMapped else {
      unsafe giveUnmapped(domain, page, pageCount)
      status = .outOfMemory
      return 0
    }
    if unsafe domain.pointee.cachesAbsentEntries {
      _ = unsafe invalidate(domain, page, pageCount)
    }
    return page
  }

  /// Gives addresses back whose entries were written in part and cleared again.
  @inline(never)
  static func giveUnmapped(
    _ domain: UnsafeMutablePointer<DomainState>, _ page: UInt64, _ count: UInt64
  ) {
    if unsafe invalidate(domain, page, count, withTables: true) {
      unsafe domain.pointee.space.givePages(page, count)
    } else {
      unsafe abandon(domain, page, count)
    }
  }

  /// Unmaps a whole mapping; `numbers` are filled in when it is none.
  ///
  /// On success the third number is 0 once the unit forgot the mapping, or will before its
  /// addresses are used again, and 1 when it failed to.
  static func unmap(
    _ domain: UnsafeMutablePointer<DomainState>, _ first: UInt64, _ count: UInt64,
    isDeferred: Bool, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> DMAStatus {
    let mapped = unsafe domain.pointee.table.mappedCount(first, expecting: count)
    guard mapped == count else {
      // SAFETY: the caller gives room for three words.
      unsafe numbers[0] = mapped == 0 ? first &<< 12 : mapped &<< 12
      unsafe numbers[1] = count &<< 12
      return mapped == 0 ? .notMapped : .wrongSize
    }
    unsafe numbers[2] = 0
    let retired = unsafe domain.pointee.table.clear(first, count)
    if isDeferred && retired == 0 {
      unsafe domain.pointee.queue.push(first, count, domain)
      return .success
    }
    if unsafe invalidate(domain, first, count, withTables: retired != 0) {
      unsafe domain.pointee.space.givePages(first, count)
      if retired != 0 { unsafe domain.pointee.table.recycle(retired) }
    } else {
      // The unit may still walk the tables: they stay as well.
      unsafe numbers[2] = 1
      unsafe abandon(domain, first, count)
    }
    return .success
  }

  /// Has the unit forget one page at once: what that costs is the unit's.
  @inline(__always)
  static func endPage(
    _ domain: UnsafeMutablePointer<DomainState>, _ page: UInt64
  ) -> Int32 {
    // SAFETY: the unit outlives its domains.
    let status = unsafe domain.pointee.unitOperations.pointee.invalidateRange(
      domain.pointee.unitContext, domain.pointee.id, page &<< 12, 4096, 0)
    if unsafe status == DMAStatus.success.rawValue && domain.pointee.space.giveTopAndCount(page) {
      return DMAStatus.success.rawValue
    }
    return unsafe endPageSlowly(domain, page, status)
  }

  /// After the unit was told.
  @inline(never)
  private static func endPageSlowly(
    _ domain: UnsafeMutablePointer<DomainState>, _ page: UInt64, _ status: Int32
  ) -> Int32 {
    unsafe domain.pointee.space.countOne()
    if status == DMAStatus.success.rawValue {
      unsafe domain.pointee.space.givePages(page, 1)
    } else {
      unsafe abandon(domain, page, 1)
    }
    return DMAStatus.success.rawValue
  }
}
