internal import CVFIO
internal import DMA

/// Pages of this process that devices may use: regions with an address here and one for devices.
///
/// A region is contiguous on both sides. One bit a page says that it is taken, another that an
/// allocation begins there, so that a free of anything else traps. Any thread.
@safe
final class HostPages {
  /// Memory that is contiguous for the CPU and for devices.
  struct Region {
    let cpuAddress: UInt
    let physicalAddress: UInt64
    let pageCount: Int

    /// Whether runs of this alignment begin at the same pages on both sides.
    func agrees(on alignment: UInt64) -> Bool {
      (UInt64(cpuAddress) ^ physicalAddress) & (alignment - 1) == 0
    }
  }

  private struct State: ~Copyable {
    var taken: PageMarks
    var starts: PageMarks
    var freeCount: Int
    /// Below this page nothing is free in a region; a hint.
    var hint: Int = 0
  }

  let regions: [Region]
  /// Where each region's pages begin in the marks.
  private let firstPages: [Int]
  let pageCount: Int
  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>

  init(_ regions: [Region]) {
    self.regions = regions
    var next = 0
    firstPages = regions.map { region in
      defer { next += region.pageCount }
      return next
    }
    pageCount = next
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(
      to: State(taken: PageMarks(next), starts: PageMarks(next), freeCount: next))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Takes zeroed pages; see `PlatformOperations.AllocatePages`.
  func allocate(
    byteCount: Int, alignment: Int, limit: UInt64, options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    let longest = regions.reduce(0) { max($0, $1.pageCount) }
    let count = (byteCount - 1) >> 12 + 1
    guard count <= longest else {
      numbers = DMAStatusNumbers(UInt64(byteCount), UInt64(longest) << 12)
      return .tooLarge
    }
    let unit = max(UInt64(alignment), 4096)
    guard regions.contains(where: { $0.agrees(on: unit) && UInt64($0.pageCount) << 12 >= unit })
    else {
      numbers = DMAStatusNumbers(UInt64(alignment), UInt64(longest) << 12)
      return .invalidAlignment
    }
    let found = lock.withLock { take(count, unit, limit, options.contains(.high)) }
    guard let (index, page) = found else {
      numbers = DMAStatusNumbers(UInt64(byteCount), limit)
      return .outOfMemory
    }
    let region = regions[index]
    let address = region.cpuAddress + UInt(page) << 12
    // The pages are nobody else's by now: no lock is needed to clear them.
    vfio_host_memory_clear(address, UInt64(count) << 12)
    numbers = DMAStatusNumbers(UInt64(address), region.physicalAddress + UInt64(page) << 12)
    return .success
  }

  /// Finds and marks room: the region and the page in it; the lock is held.
  private func take(
    _ count: Int, _ alignment: UInt64, _ limit: UInt64, _ isHigh: Bool
  ) -> (Int, Int)? {
    for step in regions.indices {
      let index = isHigh ? regions.count - 1 - step : step
      let region = regions[index]
      guard region.agrees(on: alignment), region.physicalAddress <= limit else { continue }
      // The last page that lies wholly at or below the limit.
      let reach = limit - region.physicalAddress
      let bound =
        reach == .max
        ? region.pageCount
        : min(
          region.pageCount, Int(clamping: reach >> 12 + (reach & 4095 == 4095 ? 1 : 0)))
      let stride = Int(alignment >> 12)
      // The first page whose address is a multiple of the alignment.
      let misfit = Int(region.physicalAddress >> 12) & (stride - 1)
      let offset = misfit == 0 ? 0 : stride - misfit
      guard
        let page = find(
          count, stride, offset, bound, base: firstPages[index], isHigh,
          isFirst: index == 0)
      else { continue }
      let first = firstPages[index] + page
      // SAFETY: the state lives as long as this object; the lock is held.
      unsafe state.pointee.taken.set(first..<first + count)
      unsafe state.pointee.starts.set(first..<first + 1)
      unsafe state.pointee.freeCount -= count
      return (index, page)
    }
    return nil
  }

  private func find(
    _ count: Int, _ stride: Int, _ offset: Int, _ bound: Int, base: Int, _ isHigh: Bool,
    isFirst: Bool
  ) -> Int? {
    let last = bound - count
    guard last >= offset else { return nil }
    if isHigh {
      var page = offset + (last - offset) / stride * stride
      while page >= offset {
        // SAFETY: as in take.
        guard
          let blocked = unsafe state.pointee.taken.firstMark(in: base + page..<base + page + count)
        else { return page }
        let next = blocked - base - count
        guard next >= offset else { return nil }
        page = offset + (next - offset) / stride * stride
      }
      return nil
    }
    let isHinted = isFirst && stride == 1
    var page = offset
    if isHinted { page = max(page, unsafe state.pointee.hint) }
    while page <= last {
      guard let blocked = unsafe state.pointee.taken.lastMark(in: base + page..<base + page + count)
      else {
        if isHinted && count == 1 { unsafe state.pointee.hint = page + 1 }
        return page
      }
      page = offset + (blocked - base + 1 - offset + stride - 1) / stride * stride
    }
    return nil
  }

  /// Gives pages back, as they were allocated; traps on anything else.
  func free(physicalAddress: UInt64, byteCount: Int) {
    let count = (byteCount - 1) >> 12 + 1
    guard let index = regionIndex(physicalAddress) else {
      preconditionFailure("freed pages are what was allocated")
    }
    let page = Int((physicalAddress - regions[index].physicalAddress) >> 12)
    let first = firstPages[index] + page
    precondition(
      byteCount > 0 && physicalAddress & 4095 == 0 && page + count <= regions[index].pageCount,
      "freed pages are what was allocated")
    lock.withLock {
      // SAFETY: as in take.
      precondition(
        unsafe state.pointee.taken.areSet(first..<first + count)
          && state.pointee.starts.isSet(first)
          && state.pointee.starts.firstMark(in: first + 1..<first + count) == nil
          && (page + count == regions[index].pageCount
            || !state.pointee.taken.isSet(first + count)
            || state.pointee.starts.isSet(first + count)),
        "pages freed twice, or with another size than allocated")
      unsafe state.pointee.taken.clear(first..<first + count)
      unsafe state.pointee.starts.clear(first..<first + 1)
      unsafe state.pointee.freeCount += count
      if index == 0 { unsafe state.pointee.hint = min(state.pointee.hint, page) }
    }
  }

  private func regionIndex(_ physicalAddress: UInt64) -> Int? {
    regions.firstIndex { region in
      physicalAddress >= region.physicalAddress
        && physicalAddress - region.physicalAddress < UInt64(region.pageCount) << 12
    }
  }

  /// The device's address of memory here, when all of it is in one region.
  func physicalAddress(_ cpuAddress: UInt, _ byteCount: Int) -> UInt64? {
    for region in regions where cpuAddress >= region.cpuAddress {
      let offset = UInt64(cpuAddress - region.cpuAddress)
      let size = UInt64(region.pageCount) << 12
      if offset < size && UInt64(byteCount) <= size - offset {
        return region.physicalAddress + offset
      }
    }
    return nil
  }

  /// Whether all of these bytes lie in allocated pages.
  func isAllocated(_ physicalAddress: UInt64, _ byteCount: Int) -> Bool {
    guard byteCount > 0, let index = regionIndex(physicalAddress) else { return false }
    let offset = physicalAddress - regions[index].physicalAddress
    guard UInt64(byteCount) <= UInt64(regions[index].pageCount) << 12 - offset else { return false }
    let first = firstPages[index] + Int(offset >> 12)
    let last = firstPages[index] + Int((offset + UInt64(byteCount - 1)) >> 12)
    return lock.withLock { unsafe state.pointee.taken.areSet(first..<last + 1) }
  }

  /// Bytes that are free now.
  var freeByteCount: UInt64 {
    lock.withLock { UInt64(unsafe state.pointee.freeCount) << 12 }
  }

  /// Bytes in all.
  var byteCount: UInt64 { UInt64(pageCount) << 12 }
}

// SAFETY: the state is only touched with the lock held.
extension HostPages: @unchecked Sendable {}
