internal import DMA

/// Scatter lists behind an IOMMU: one range of bus addresses for the whole list (4.8).
///
/// Entries that do not meet in whole pages leave holes, which stay unmapped.
func mapScatter(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
  _ count: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let domain = unsafe domain(core)
  let list = unsafe UnsafeMutableBufferPointer(start: entries, count: count)
  let merging = unsafe ScatterMerging(granule: 4096, constraints: core.pointee.constraints)
  let limit = unsafe core.pointee.streamingLimit
  // SAFETY: the caller gives `count` entries and room for three words.
  guard let byteCount = unsafe merging.layOut(list) else {
    unsafe numbers[0] = .max
    unsafe numbers[1] = 1 << 62
    return DMAStatus.tooLarge.rawValue
  }
  let pageCount = byteCount >> 12
  let first = unsafe DomainState.takePages(domain, pageCount, last: limit)
  guard first != 0 else {
    unsafe merging.forget(list)
    unsafe numbers[0] = byteCount
    unsafe numbers[1] = limit
    return DMAStatus.outOfAddressSpace.rawValue
  }
  let permissions = TableEntry.permissions(traits.direction)
  for index in 0..<count {
    let entry = unsafe list[index]
    let place = first + entry.dmaAddress >> 12
    let isMapped = unsafe domain.pointee.table.map(
      place, (entry.dmaAddress & 4095 + UInt64(entry.byteCount) + 4095) >> 12,
      entry: entry.physicalAddress & TableEntry.addressMask | permissions,
      firstMark: index == 0 ? TableEntry.firstMark(pageCount: pageCount) : 0,
      lastMark: index == count - 1 ? TableEntry.lastMark(pageCount: pageCount) : 0)
    guard isMapped else {
      unsafe discard(domain, first, place - first, of: pageCount)
      unsafe merging.forget(list)
      unsafe numbers[0] = 4096
      unsafe numbers[1] = .max
      return DMAStatus.outOfMemory.rawValue
    }
  }
  let segmentCount = unsafe merging.finish(list, base: first << 12)
  guard unsafe segmentCount <= core.pointee.constraints.segmentCountMax else {
    unsafe discard(domain, first, pageCount, of: pageCount)
    unsafe merging.forget(list)
    unsafe numbers[0] = UInt64(segmentCount)
    unsafe numbers[1] = UInt64(core.pointee.constraints.segmentCountMax)
    return DMAStatus.tooManySegments.rawValue
  }
  if unsafe domain.pointee.cachesAbsentEntries {
    _ = unsafe DomainState.invalidate(domain, first, pageCount)
  }
  unsafe maintainScatter(UnsafeMutableRawPointer(core), entries, count, traits)
  unsafe numbers[0] = UInt64(segmentCount)
  return DMAStatus.success.rawValue
}

/// Undoes what a list that failed has mapped so far, and gives all its addresses back.
private func discard(
  _ domain: UnsafeMutablePointer<DomainState>, _ first: UInt64, _ mapped: UInt64, of count: UInt64
) {
  let retired = unsafe domain.pointee.table.clear(first, mapped)
  if unsafe DomainState.invalidate(domain, first, count, withTables: true) {
    unsafe domain.pointee.space.givePages(first, count)
    unsafe domain.pointee.table.recycle(retired)
  } else {
    unsafe DomainState.abandon(domain, first, count)
  }
}

/// Only the first segment's start and the last one's end count: everything is one range.
func unmapScatter(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
  _ count: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let domain = unsafe domain(core)
  // SAFETY: the caller gives `count` entries and room for three words.
  let first = unsafe entries[0].dmaAddress
  var last = first
  for index in 0..<count {
    let byteCount = unsafe entries[index].dmaByteCount
    if byteCount == 0 { break }
    unsafe last = entries[index].dmaAddress &+ UInt64(byteCount - 1)
  }
  guard unsafe entries[0].dmaByteCount > 0, last >= first else {
    unsafe numbers[0] = first
    return DMAStatus.notMapped.rawValue
  }
  let status = unsafe DomainState.unmap(
    domain, first >> 12, last >> 12 - first >> 12 + 1, isDeferred: domain.pointee.isDeferred,
    numbers)
  if status == .success {
    unsafe maintainScatter(UnsafeMutableRawPointer(core), entries, count, traits.forCPU)
  }
  return status.rawValue
}
