internal import DMA
internal import Synchronization

/// The functions through which devices map with a bounce pool.
///
/// Made once and never freed: devices' cores point to it.
nonisolated(unsafe) let bounceOperations: UnsafePointer<MappingOperations> = {
  let table = UnsafeMutablePointer<MappingOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table.
  unsafe table.initialize(
    to: MappingOperations(
      map: { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
        unsafe mapBounced(
          device(core), cpuAddress, physicalAddress, byteCount, MappingTraits(rawValue: traits),
          numbers)
      },
      unmap: { core, address, cpuAddress, byteCount, traits, numbers in
        unsafe unmapBounced(
          device(core), address, cpuAddress, byteCount, MappingTraits(rawValue: traits), numbers)
      },
      sync: { core, address, cpuAddress, byteCount, traits, numbers in
        unsafe syncBounced(
          device(core), address, cpuAddress, byteCount, MappingTraits(rawValue: traits), numbers)
      },
      mapScatter: { core, entries, count, traits, numbers in
        unsafe mapBouncedList(
          device(core), scatterEntries(entries), count, MappingTraits(rawValue: traits), numbers)
      },
      unmapScatter: { core, entries, count, traits, numbers in
        unsafe forEachSegment(
          device(core), scatterEntries(entries), count, MappingTraits(rawValue: traits), numbers,
          unmapBounced)
      },
      syncScatter: { core, entries, count, traits, numbers in
        unsafe forEachSegment(
          device(core), scatterEntries(entries), count, MappingTraits(rawValue: traits), numbers,
          syncBounced)
      },
      // Never bounced (R32): allocated where the device reaches it.
      allocateCoherent: { core, byteCount, numbers in
        unsafe allocateReachable(
          core, byteCount, numbers, offset: state(device(core)).pointee.offset)
      },
      freeCoherent: { core, _, cpuAddress, physicalAddress, byteCount in
        let platform = unsafe device(core).pointee.platform
        unsafe platform.pointee.operations.freePages(
          platform.pointee.context, cpuAddress, physicalAddress, byteCount,
          PageOptions.uncached.rawValue)
      },
      // Both the pool and the lowest zone's coherent memory must be in reach.
      narrowestMask: { core in
        let core = unsafe device(core)
        let state = unsafe state(core)
        return unsafe roundedToMask(
          max(
            state.pointee.lastAddress,
            core.pointee.platform.pointee.lowestLimit &+ state.pointee.offset))
      },
      requiredMask: { core in
        let core = unsafe device(core)
        return unsafe roundedToMask(
          core.pointee.platform.pointee.highestAddress &+ state(core).pointee.offset)
      },
      maxMappingSize: { core in
        let core = unsafe device(core)
        let state = unsafe state(core)
        let highest = unsafe core.pointee.platform.pointee.highestAddress &+ state.pointee.offset
        if unsafe !state.pointee.isForced && highest <= core.pointee.streamingLimit { return .max }
        return unsafe byteCountMax(core)
      },
      detach: { _ in }))
  return unsafe UnsafePointer(table)
}()

/// Linux's DMA_ATTR_SKIP_CPU_SYNC and DMA_ATTR_NO_WARN.
private enum Attribute {
  static var skipCPUSync: UInt32 { 1 << 5 }
  static var noWarning: UInt32 { 1 << 8 }
}

private func state(_ core: UnsafeMutablePointer<DMADeviceCore>) -> UnsafeMutablePointer<BounceState>
{
  guard let context = unsafe core.pointee.mappingContext else {
    preconditionFailure("a device that bounces has a pool")
  }
  // SAFETY: the mapping gave the context, and the core holds its owner.
  return unsafe context.assumingMemoryBound(to: BounceState.self)
}

private func byteCountMax(_ core: UnsafeMutablePointer<DMADeviceCore>) -> Int {
  let constraints = unsafe core.pointee.constraints
  let most = unsafe BounceSlots.byteCountMax(
    alignmentMask: constraints.minimumAlignmentMask | state(core).pointee.alignmentMask)
  return constraints.segmentBoundaryMask < UInt64(most)
    ? Int(constraints.segmentBoundaryMask) + 1 : most
}

@inline(__always)
private func copy(from source: UInt, to destination: UInt, _ byteCount: Int) {
  // SAFETY: a buffer the driver handed over and slots taken for it, both at least this long.
  guard let source = unsafe UnsafeRawPointer(bitPattern: source),
    let destination = unsafe UnsafeMutableRawPointer(bitPattern: destination)
  else { return }
  unsafe destination.copyMemory(from: source, byteCount: byteCount)
}

// MARK: One region

private func mapBounced(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ physicalAddress: UInt64,
  _ byteCount: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe state(core)
  let limit = unsafe core.pointee.streamingLimit
  let direct = unsafe physicalAddress &+ state.pointee.offset
  let rawCore = UnsafeMutableRawPointer(core)
  // SAFETY: the caller gives room for three words.
  if unsafe !state.pointee.isForced && direct &+ UInt64(truncatingIfNeeded: byteCount &- 1) <= limit
  {
    unsafe maintain(rawCore, cpuAddress, byteCount, traits)
    unsafe numbers[0] = direct
    return DMAStatus.success.rawValue
  }
  let most = unsafe byteCountMax(core)
  guard byteCount <= most else {
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = UInt64(most)
    return DMAStatus.tooLarge.rawValue
  }
  let request = unsafe BounceSlots.Request(
    physicalAddress: direct, byteCount: byteCount,
    alignmentMask: core.pointee.constraints.minimumAlignmentMask | state.pointee.alignmentMask,
    boundaryMask: core.pointee.constraints.segmentBoundaryMask)
  let address = unsafe state.pointee.allocate(request, cpuAddress: cpuAddress)
  guard address != .max, let chunk = unsafe state.pointee.chunk(address) else {
    return unsafe refuseFull(state, byteCount, traits, numbers)
  }
  guard address &+ UInt64(truncatingIfNeeded: byteCount &- 1) <= limit else {
    if let (slot, record) = unsafe chunk.pointee.find(address) {
      unsafe chunk.pointee.release(slot, record, bytesOut: 0)
    }
    unsafe numbers[0] = address
    unsafe numbers[1] = address + UInt64(byteCount - 1)
    unsafe numbers[2] = limit
    return DMAStatus.outOfReach.rawValue
  }
  // Always, whatever the direction: what the device does not write must come back as it was, and
  // no other mapping's bytes may be seen.
  let slots = unsafe chunk.pointee.cpuAddress(of: address)
  copy(from: cpuAddress, to: slots, byteCount)
  unsafe maintain(rawCore, slots, byteCount, traits)
  unsafe numbers[0] = address
  return DMAStatus.success.rawValue
}

@inline(never)
private func refuseFull(
  _ state: UnsafeMutablePointer<BounceState>, _ byteCount: Int, _ traits: MappingTraits,
  _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let statistics = unsafe state.pointee.statistics()
  unsafe numbers[0] = UInt64(byteCount)
  unsafe numbers[1] = UInt64(statistics.totalSlots)
  unsafe numbers[2] = UInt64(statistics.usedSlots)
  if traits.attributes & Attribute.noWarning == 0 {
    unsafe state.pointee.notices.send(
      MappingNotice(.bouncePoolFull, numbers[0], numbers[1], numbers[2]))
  }
  return DMAStatus.bouncePoolFull.rawValue
}

private func unmapBounced(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ byteCount: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe state(core)
  let rawCore = UnsafeMutableRawPointer(core)
  guard let chunk = unsafe state.pointee.chunk(address) else {
    unsafe maintain(rawCore, cpuAddress, byteCount, traits.forCPU)
    return DMAStatus.success.rawValue
  }
  // SAFETY: the caller gives room for three words.
  guard let (slot, record) = unsafe chunk.pointee.find(address), record.address == address else {
    unsafe numbers[0] = address
    return DMAStatus.notMapped.rawValue
  }
  guard record.byteCount == byteCount else {
    unsafe numbers[0] = UInt64(record.byteCount)
    unsafe numbers[1] = UInt64(byteCount)
    return DMAStatus.wrongSize.rawValue
  }
  var bytesOut = 0
  if traits.direction.deviceWrites && traits.attributes & Attribute.skipCPUSync == 0 {
    let slots = unsafe chunk.pointee.cpuAddress(of: address)
    unsafe maintain(rawCore, slots, byteCount, traits.forCPU)
    copy(from: slots, to: record.cpuAddress, byteCount)
    bytesOut = byteCount
  }
  unsafe chunk.pointee.release(slot, record, bytesOut: bytesOut)
  return DMAStatus.success.rawValue
}

/// Copies any part of a mapping (4.6): out for the CPU, in for the device, as the direction says.
private func syncBounced(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ byteCount: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe state(core)
  let rawCore = UnsafeMutableRawPointer(core)
  guard let chunk = unsafe state.pointee.chunk(address) else {
    unsafe maintain(rawCore, cpuAddress, byteCount, traits)
    return DMAStatus.success.rawValue
  }
  // SAFETY: the caller gives room for three words.
  guard let (_, record) = unsafe chunk.pointee.find(address) else {
    unsafe numbers[0] = address
    return DMAStatus.notMapped.rawValue
  }
  let done = Int(truncatingIfNeeded: address &- record.address)
  guard byteCount <= record.byteCount - done else {
    unsafe numbers[0] = UInt64(record.byteCount - done)
    unsafe numbers[1] = UInt64(byteCount)
    return DMAStatus.wrongSize.rawValue
  }
  let slots = unsafe chunk.pointee.cpuAddress(of: address)
  let original = record.cpuAddress &+ UInt(truncatingIfNeeded: done)
  if traits.isForCPU {
    guard traits.direction.deviceWrites else { return DMAStatus.success.rawValue }
    unsafe maintain(rawCore, slots, byteCount, traits)
    copy(from: slots, to: original, byteCount)
    unsafe state.pointee.syncedOut.add(UInt64(byteCount), ordering: .relaxed)
  } else {
    guard traits.direction.deviceReads else { return DMAStatus.success.rawValue }
    copy(from: original, to: slots, byteCount)
    unsafe maintain(rawCore, slots, byteCount, traits)
    unsafe state.pointee.syncedIn.add(UInt64(byteCount), ordering: .relaxed)
  }
  return DMAStatus.success.rawValue
}

// MARK: Lists

/// Each entry becomes a segment; a failure undoes those before it.
private func mapBouncedList(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
  _ count: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let most = unsafe core.pointee.constraints.segmentCountMax
  // SAFETY: the caller gives `count` entries and room for three words.
  guard count <= most else {
    unsafe numbers[0] = UInt64(count)
    unsafe numbers[1] = UInt64(most)
    return DMAStatus.tooManySegments.rawValue
  }
  for index in 0..<count {
    let entry = unsafe entries[index]
    let status = unsafe mapBounced(
      core, entry.cpuAddress, entry.physicalAddress, entry.byteCount, traits, numbers)
    guard status == DMAStatus.success.rawValue else {
      var ignored = DMAStatusNumbers()
      // Nothing the device might have written is wanted.
      let undone = MappingTraits(traits.direction, attributes: Attribute.skipCPUSync)
      for mapped in 0..<index {
        _ = unsafe ignored.withWords { pointer in
          unsafe unmapBounced(
            core, entries[mapped].dmaAddress, entries[mapped].cpuAddress,
            entries[mapped].byteCount, undone, pointer)
        }
        unsafe entries[mapped].dmaAddress = .max
        unsafe entries[mapped].dmaByteCount = 0
      }
      return status
    }
    unsafe entries[index].dmaAddress = numbers[0]
    unsafe entries[index].dmaByteCount = entry.byteCount
  }
  unsafe numbers[0] = UInt64(count)
  return DMAStatus.success.rawValue
}

private func forEachSegment(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ entries: UnsafeMutablePointer<ScatterEntry>,
  _ count: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>,
  _ body: (
    UnsafeMutablePointer<DMADeviceCore>, UInt64, UInt, Int, MappingTraits,
    UnsafeMutablePointer<UInt64>
  ) -> Int32
) -> Int32 {
  for index in 0..<count {
    let entry = unsafe entries[index]
    let status = unsafe body(
      core, entry.dmaAddress, entry.cpuAddress, entry.byteCount, traits, numbers)
    guard status == DMAStatus.success.rawValue else { return status }
  }
  return DMAStatus.success.rawValue
}
