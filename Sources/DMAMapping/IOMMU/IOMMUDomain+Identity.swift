public import DMA
internal import Synchronization

extension IOMMUDomain {
  /// Lets devices reach memory at its own address: pages where message interrupts arrive, say.
  ///
  /// The pages stay mapped as long as the domain lives. No driver gets these bus addresses, and
  /// `validEntryCount` leaves them out. From ordinary code, at any time.
  ///
  /// - Parameters:
  ///   - addresses: whole pages that hold any of these bytes; neither page 0 nor reserved ones.
  ///   - direction: what devices may do there.
  /// - Throws: `DMAError.outOfBounds` beyond what the domain translates; `.outOfAddressSpace` when
  ///   some of the bus addresses are taken or reserved (a retry can help after unmaps);
  ///   `.outOfMemory` for the tables. Nothing is mapped then.
  public func mapIdentity(
    _ addresses: ClosedRange<UInt64>, _ direction: DMADirection = .bidirectional
  ) throws(DMAError) {
    try unsafe DomainState.mapIdentity(state, addresses, direction)
  }
}

extension DomainState {
  /// Entries without marks: no unmap takes them for a mapping.
  static func mapIdentity(
    _ domain: UnsafeMutablePointer<DomainState>, _ addresses: ClosedRange<UInt64>,
    _ direction: DMADirection
  ) throws(DMAError) {
    let first = addresses.lowerBound >> 12
    let count = addresses.upperBound >> 12 - first + 1
    let byteCount = count > UInt64(Int.max >> 12) ? Int.max : Int(count) << 12
    guard unsafe addresses.upperBound >> 12 < domain.pointee.pageBound else {
      throw unsafe .outOfBounds(
        offset: Int(clamping: addresses.lowerBound), byteCount: byteCount,
        limit: Int(clamping: domain.pointee.pageBound << 12))
    }
    if unsafe !domain.pointee.space.takeExactly(first, count) {
      // What waits for a flush may be in the way, or what threads keep.
      unsafe domain.pointee.queue.flush(domain)
      unsafe domain.pointee.space.flushCaches()
      guard unsafe domain.pointee.space.takeExactly(first, count) else {
        throw .outOfAddressSpace(byteCount: byteCount, limit: addresses.upperBound)
      }
    }
    let entry = first << 12 | TableEntry.permissions(direction)
    guard
      unsafe domain.pointee.table.map(first, count, entry: entry, firstMark: 0, lastMark: 0)
    else {
      // Entries were written in part and cleared again.
      if unsafe invalidate(domain, first, count, withTables: true) {
        unsafe domain.pointee.space.giveExactly(first, count)
      } else {
        unsafe abandon(domain, first, count)
      }
      throw .outOfMemory(byteCount: 4096, limit: .max)
    }
    unsafe domain.pointee.identityPages.add(Int(count), ordering: .relaxed)
    if unsafe domain.pointee.cachesAbsentEntries {
      _ = unsafe invalidate(domain, first, count)
    }
  }
}
