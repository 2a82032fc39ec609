internal import CVFIO
internal import DMA
internal import DMAMapping

/// The strict mapping: one call of the kernel's for each map, one for each unmap.
///
/// A device reaches what is mapped and nothing else (R3, R4), with the permission of the direction
/// (R77); after an unmap it reaches nothing. Only coherent memory that is allocated in atomic
/// context comes from a reserve that stays mapped.
@safe
final class PerCallMapping {
  let state: UnsafeMutablePointer<MappingState>
  private let platform: UnsafeMutablePointer<PlatformCore>

  /// - Parameter reserveByteCount: 4096 times a power of two, or 0 for none.
  init(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ state: UnsafeMutablePointer<MappingState>,
    reserveByteCount: Int
  ) throws(VFIOError) {
    if reserveByteCount != 0 {
      unsafe state.pointee.reserve = try CoherentReserve(
        platform, state, byteCount: reserveByteCount)
    }
    unsafe self.platform = platform
    unsafe self.state = state
    unsafe PlatformCore.hold(platform)
  }

  deinit {
    unsafe state.pointee.reserve?.end(platform, state)
    unsafe state.pointee.reserve = nil
    unsafe PlatformCore.drop(platform)
  }

  var mapping: DMAMapping {
    unsafe DMAMapping(
      name: "vfio", operations: perCallOperations,
      context: UnsafeMutableRawPointer(state), owner: self)
  }
}

nonisolated(unsafe) private let perCallOperations: UnsafePointer<MappingOperations> = {
  let table = UnsafeMutablePointer<MappingOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table, never freed: devices' cores point to it.
  unsafe table.initialize(
    to: MappingOperations(
      map: { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
        unsafe map(
          device(core), cpuAddress, byteCount, MappingTraits(rawValue: traits), numbers)
      },
      unmap: { core, address, _, byteCount, _, numbers in
        unsafe unmap(device(core), address, byteCount, numbers)
      },
      sync: { _, _, _, _, _, _ in DMAStatus.success.rawValue },
      mapScatter: { core, entries, count, traits, numbers in
        unsafe PerCallScatter.map(
          device(core), entries.assumingMemoryBound(to: ScatterEntry.self), count,
          MappingTraits(rawValue: traits), numbers)
      },
      unmapScatter: { core, entries, count, _, numbers in
        unsafe PerCallScatter.unmap(
          device(core), entries.assumingMemoryBound(to: ScatterEntry.self), count, numbers)
      },
      syncScatter: { _, _, _, _, _ in DMAStatus.success.rawValue },
      allocateCoherent: { core, byteCount, numbers in
        unsafe allocate(device(core), byteCount, numbers)
      },
      freeCoherent: { core, address, cpuAddress, physicalAddress, byteCount in
        unsafe free(device(core), address, cpuAddress, physicalAddress, byteCount)
      },
      // Any mask that holds one page besides page 0, which is never given out.
      narrowestMask: { _ in 0x1fff },
      // All memory can be reached through any window; 32 bits is what every bus carries.
      requiredMask: { core in
        unsafe min(0xffff_ffff, mappingState(device(core)).pointee.lastAddress)
      },
      maxMappingSize: { core in
        let core = unsafe device(core)
        return unsafe Int(
          clamping: min(core.pointee.streamingLimit, mappingState(core).pointee.lastAddress))
      },
      detach: { _ in }))
  return unsafe UnsafePointer(table)
}()

private func device(_ core: UnsafeMutableRawPointer) -> UnsafeMutablePointer<DMADeviceCore> {
  // SAFETY: what every function of the table is called with.
  unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
}

/// What a device's calls work on: plain memory, so that none of them counts references.
func mappingState(
  _ core: UnsafeMutablePointer<DMADeviceCore>
) -> UnsafeMutablePointer<MappingState> {
  guard let context = unsafe core.pointee.mappingContext else {
    preconditionFailure("a device of a VFIO machine has its mapping")
  }
  // SAFETY: the mapping gave the context, and the core holds the mapping.
  return unsafe context.assumingMemoryBound(to: MappingState.self)
}

/// Whole pages that hold these bytes.
func wholePages(_ address: UInt64, _ byteCount: Int) -> UInt64 {
  (address & 4095 &+ UInt64(truncatingIfNeeded: byteCount) &+ 4095) & ~4095
}

/// What a device may do with memory: bit 0 read, bit 1 write.
func permissions(_ direction: DMADirection) -> UInt32 {
  switch direction {
  case .toDevice: 1
  case .fromDevice: 2
  case .bidirectional: 3
  }
}

private func map(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ byteCount: Int,
  _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe mappingState(core)
  if let refusal = unsafe MappingState.refusal(state, numbers) { return refusal.rawValue }
  let size = wholePages(UInt64(cpuAddress), byteCount)
  let limit = unsafe core.pointee.streamingLimit
  // SAFETY: the caller gives room for three words.
  guard let address = unsafe state.pointee.space.allocate(pageCount: Int(size >> 12), last: limit)
  else {
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    return DMAStatus.outOfAddressSpace.rawValue
  }
  let status = unsafe MappingState.map(
    state, cpuAddress & ~4095, address, size, permissions(traits.direction))
  guard status >= 0 else {
    unsafe state.pointee.space.free(address, pageCount: Int(size >> 12))
    return unsafe MappingState.status(-status, byteCount, limit, numbers).rawValue
  }
  unsafe numbers[0] = address | UInt64(cpuAddress) & 4095
  return DMAStatus.success.rawValue
}

private func unmap(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ byteCount: Int,
  _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe mappingState(core)
  let size = wholePages(address, byteCount)
  let first = address & ~4095
  guard unsafe MappingState.unmap(state, first, size, mapped: size, entries: 1) else {
    // SAFETY: the caller gives room for three words.
    unsafe numbers[0] = address
    return DMAStatus.notMapped.rawValue
  }
  unsafe state.pointee.space.free(first, pageCount: Int(size >> 12))
  return DMAStatus.success.rawValue
}

// MARK: Coherent memory

private func allocate(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ byteCount: Int,
  _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let state = unsafe mappingState(core)
  let limit = unsafe core.pointee.coherentLimit
  if let refusal = unsafe MappingState.refusal(state, numbers) { return refusal.rawValue }
  // The kernel's call may wait: not with a lock held or in an interrupt.
  if ExecutionContext.current.isAtomic {
    guard let reserve = unsafe state.pointee.reserve else {
      // SAFETY: the caller gives room for three words.
      unsafe numbers[0] = UInt64(byteCount)
      unsafe numbers[1] = limit
      return DMAStatus.outOfMemory.rawValue
    }
    return unsafe reserve.allocate(byteCount, limit, numbers).rawValue
  }
  let platform = unsafe core.pointee.platform
  // SAFETY: the platform's own function with its own context; room for three words.
  let taken = unsafe platform.pointee.operations.allocatePages(
    platform.pointee.context, byteCount, byteCount, .max, PageOptions.uncached.rawValue, numbers)
  guard taken == DMAStatus.success.rawValue else { return taken }
  let (cpuAddress, physicalAddress) = unsafe (numbers[0], numbers[1])
  var status = DMAStatus.success
  let pageCount = byteCount / 4096
  if let address = unsafe state.pointee.space.allocate(pageCount: pageCount, last: limit) {
    let mapped = unsafe MappingState.map(
      state, UInt(cpuAddress), address, UInt64(byteCount), 3)
    if mapped >= 0 {
      unsafe numbers[0] = address
      unsafe numbers[1] = cpuAddress
      unsafe numbers[2] = physicalAddress
      return DMAStatus.success.rawValue
    }
    unsafe state.pointee.space.free(address, pageCount: pageCount)
    status = unsafe MappingState.status(-mapped, byteCount, limit, numbers)
  } else {
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    status = .outOfAddressSpace
  }
  unsafe platform.pointee.operations.freePages(
    platform.pointee.context, UInt(cpuAddress), physicalAddress, byteCount,
    PageOptions.uncached.rawValue)
  return status.rawValue
}

private func free(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ physicalAddress: UInt64, _ byteCount: Int
) {
  let state = unsafe mappingState(core)
  if let reserve = unsafe state.pointee.reserve, reserve.owns(address) {
    return reserve.free(address, byteCount)
  }
  let isGone = unsafe MappingState.unmap(
    state, address, UInt64(byteCount), mapped: UInt64(byteCount), entries: 1)
  precondition(isGone, "coherent memory is freed as it was allocated")
  unsafe state.pointee.space.free(address, pageCount: byteCount / 4096)
  let platform = unsafe core.pointee.platform
  unsafe platform.pointee.operations.freePages(
    platform.pointee.context, cpuAddress, physicalAddress, byteCount,
    PageOptions.uncached.rawValue)
}
