internal import DMA
internal import DMAMapping

/// Scatter lists of the strict mapping: one range of bus addresses for the list, and one call of
/// the kernel's for each run of neighbours in memory.
enum PerCallScatter {
  static func map(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
    _ count: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> Int32 {
    let state = unsafe mappingState(core)
    if let refusal = unsafe MappingState.refusal(state, numbers) { return refusal.rawValue }
    let list = unsafe UnsafeMutableBufferPointer(start: entries, count: count)
    let merging = unsafe ScatterMerging(granule: 4096, constraints: core.pointee.constraints)
    let limit = unsafe core.pointee.streamingLimit
    // SAFETY: the caller gives `count` entries and room for three words.
    guard let byteCount = unsafe merging.layOut(list) else {
      unsafe numbers[0] = .max
      unsafe numbers[1] = 1 << 62
      return DMAStatus.tooLarge.rawValue
    }
    let pageCount = Int(byteCount >> 12)
    guard let base = unsafe state.pointee.space.allocate(pageCount: pageCount, last: limit) else {
      unsafe merging.forget(list)
      unsafe numbers[0] = byteCount
      unsafe numbers[1] = limit
      return DMAStatus.outOfAddressSpace.rawValue
    }
    var done = Done()
    let status = unsafe mapRuns(state, list, base, permissions(traits.direction), &done)
    guard status >= 0 else {
      unsafe discard(state, base, pageCount, done)
      unsafe merging.forget(list)
      return unsafe MappingState.status(-status, Int(byteCount), limit, numbers).rawValue
    }
    let segmentCount = unsafe merging.finish(list, base: base)
    let segmentMax = unsafe core.pointee.constraints.segmentCountMax
    guard segmentCount <= segmentMax else {
      unsafe discard(state, base, pageCount, done)
      unsafe merging.forget(list)
      unsafe numbers[0] = UInt64(segmentCount)
      unsafe numbers[1] = UInt64(segmentMax)
      return DMAStatus.tooManySegments.rawValue
    }
    unsafe numbers[0] = UInt64(segmentCount)
    return DMAStatus.success.rawValue
  }

  /// What a list has in the kernel so far.
  private struct Done {
    var byteCount: UInt64 = 0
    var runCount = 0
  }

  /// Memory that is contiguous here and in the list's place.
  private struct Run {
    var cpuAddress: UInt
    var place: UInt64
    var byteCount: UInt64
  }

  private static func mapRuns(
    _ state: UnsafeMutablePointer<MappingState>, _ list: UnsafeMutableBufferPointer<ScatterEntry>,
    _ base: UInt64, _ permissions: UInt32, _ done: inout Done
  ) -> Int32 {
    var run: Run?
    for index in 0...list.count {
      var next: Run?
      if index < list.count {
        // SAFETY: the index is below the count.
        let entry = unsafe list[index]
        next = Run(
          cpuAddress: entry.cpuAddress & ~4095, place: entry.dmaAddress & ~4095,
          byteCount: wholePages(entry.dmaAddress, entry.byteCount))
      }
      if let known = run, let new = next,
        known.cpuAddress + UInt(known.byteCount) == new.cpuAddress,
        known.place + known.byteCount == new.place
      {
        run?.byteCount += new.byteCount
        continue
      }
      if let ready = run {
        let status = unsafe MappingState.map(
          state, ready.cpuAddress, base + ready.place, ready.byteCount, permissions)
        guard status >= 0 else { return status }
        done.byteCount += ready.byteCount
        done.runCount += 1
      }
      run = next
    }
    return 0
  }

  private static func discard(
    _ state: UnsafeMutablePointer<MappingState>, _ base: UInt64, _ pageCount: Int, _ done: Done
  ) {
    var isGone = done.runCount == 0
    if !isGone {
      isGone = unsafe MappingState.unmap(
        state, base, UInt64(pageCount) << 12, mapped: done.byteCount, entries: done.runCount)
    }
    // Addresses that may still be reachable are never used again.
    if isGone { unsafe state.pointee.space.free(base, pageCount: pageCount) }
  }

  /// Only the first segment's start and the last one's end count: everything is one range.
  static func unmap(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
    _ count: Int, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> Int32 {
    let state = unsafe mappingState(core)
    // The list is laid out again, which says how many bytes and runs were mapped.
    let first = unsafe entries[0].dmaAddress
    guard unsafe entries[0].dmaByteCount > 0 else {
      // SAFETY: the caller gives room for three words.
      unsafe numbers[0] = first
      return DMAStatus.notMapped.rawValue
    }
    var last = first
    for index in 0..<count {
      let byteCount = unsafe entries[index].dmaByteCount
      if byteCount == 0 { break }
      unsafe last = entries[index].dmaAddress &+ UInt64(byteCount - 1)
    }
    let base = first & ~4095
    let size = (last | 4095) &+ 1 &- base
    let mapped = unsafe mappedAmount(core, entries, count)
    guard
      unsafe MappingState.unmap(
        state, base, size, mapped: mapped.byteCount, entries: mapped.runCount)
    else {
      unsafe numbers[0] = first
      return DMAStatus.notMapped.rawValue
    }
    unsafe state.pointee.space.free(base, pageCount: Int(size >> 12))
    return DMAStatus.success.rawValue
  }

  /// What mapping a list comes to, found as `mapRuns` does it.
  private static func mappedAmount(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
    _ count: Int
  ) -> Done {
    var done = Done()
    var end: (cpu: UInt, place: UInt64)?
    let merging = unsafe ScatterMerging(granule: 4096, constraints: core.pointee.constraints)
    unsafe withUnsafeTemporaryAllocation(of: ScatterEntry.self, capacity: count) { copy in
      // SAFETY: both have `count` entries; entries are plain data.
      for index in 0..<count { unsafe copy.initializeElement(at: index, to: entries[index]) }
      guard unsafe merging.layOut(copy) != nil else { return }
      for index in 0..<count {
        let entry = unsafe copy[index]
        let (cpu, place) = (entry.cpuAddress & ~4095, entry.dmaAddress & ~4095)
        let size = wholePages(entry.dmaAddress, entry.byteCount)
        done.byteCount += size
        if end?.cpu != cpu || end?.place != place { done.runCount += 1 }
        end = (cpu + UInt(size), place + size)
      }
    }
    return done
  }
}
