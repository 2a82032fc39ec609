internal import DMA

/// The functions through which devices map in an IOMMU's domain.
///
/// Made once and never freed: devices' cores point to it.
nonisolated(unsafe) let iommuOperations: UnsafePointer<MappingOperations> = {
  let table = UnsafeMutablePointer<MappingOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table.
  unsafe table.initialize(
    to: MappingOperations(
      map: mapTranslated, unmap: unmapTranslated,
      sync: { core, _, cpuAddress, byteCount, traits, _ in
        unsafe maintain(core, cpuAddress, byteCount, MappingTraits(rawValue: traits))
        return DMAStatus.success.rawValue
      },
      mapScatter: { core, entries, count, traits, numbers in
        unsafe mapScatter(
          device(core), scatterEntries(entries), count, MappingTraits(rawValue: traits), numbers)
      },
      unmapScatter: { core, entries, count, traits, numbers in
        unsafe unmapScatter(
          device(core), scatterEntries(entries), count, MappingTraits(rawValue: traits), numbers)
      },
      syncScatter: { core, entries, count, traits, _ in
        unsafe maintainScatter(
          core, scatterEntries(entries), count, MappingTraits(rawValue: traits))
        return DMAStatus.success.rawValue
      },
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
        unsafe min(0xffff_ffff, domain(device(core)).pointee.pageBound &<< 12 &- 1)
      },
      maxMappingSize: { core in
        let core = unsafe device(core)
        let bound = unsafe min(
          IOVASpace.end(last: core.pointee.streamingLimit), domain(core).pointee.pageBound)
        return Int(clamping: bound &<< 12)
      },
      detach: { core in
        let domain = unsafe domain(device(core))
        unsafe domain.pointee.queue.flush(domain)
      }))
  return unsafe UnsafePointer(table)
}()

func domain(
  _ core: UnsafeMutablePointer<DMADeviceCore>
) -> UnsafeMutablePointer<DomainState> {
  guard let context = unsafe core.pointee.mappingContext else {
    preconditionFailure("a device behind an IOMMU has a domain")
  }
  // SAFETY: the domain gave the context, and the core holds the domain.
  return unsafe context.assumingMemoryBound(to: DomainState.self)
}

@inline(__always)
private func pages(_ address: UInt64, _ byteCount: Int) -> UInt64 {
  (address & 4095 &+ UInt64(truncatingIfNeeded: byteCount) &+ 4095) &>> 12
}

/// One page in a table that is there: nearly always.
///
/// Small on purpose: whatever else there is to do, a call at the end does from the beginning, so that
/// nothing has to be kept over a call. C functions themselves, as `unmapTranslated`: what a closure or
/// a Swift function is entered through costs about as much as the walk through the tables.
@c(swiftdma_iommu_map)
func mapTranslated(
  _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ physicalAddress: UInt64,
  _ byteCount: Int, _ traits: UInt32, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let core = unsafe device(core)
  let traits = MappingTraits(rawValue: traits)
  let domain = unsafe domain(core)
  let offset = physicalAddress & 4095
  if unsafe offset &+ UInt64(truncatingIfNeeded: byteCount) <= 4096
    && core.pointee.streamingLimit >= 0xffff_ffff
  {
    let page = unsafe DomainState.mapNear(
      domain, entry: physicalAddress & TableEntry.addressMask | TableEntry.permissions(traits))
    if page != 0 {
      // SAFETY: the caller gives room for three words.
      unsafe numbers[0] = page &<< 12 | offset
      return DMAStatus.success.rawValue
    }
  }
  return unsafe mapSlowly(core, cpuAddress, physicalAddress, byteCount, traits, numbers)
}

/// Any number of pages, wherever they come from.
@inline(never)
private func mapSlowly(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ physicalAddress: UInt64,
  _ byteCount: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let domain = unsafe domain(core)
  let limit = unsafe core.pointee.streamingLimit
  var status = DMAStatus.success
  let page = unsafe DomainState.map(
    domain, physicalAddress: physicalAddress, pageCount: pages(physicalAddress, byteCount),
    permissions: TableEntry.permissions(traits.direction), last: limit, &status)
  // SAFETY: the caller gives room for three words.
  guard page != 0 else {
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = status == .outOfMemory ? .max : limit
    return status.rawValue
  }
  unsafe maintain(UnsafeMutableRawPointer(core), cpuAddress, byteCount, traits)
  unsafe numbers[0] = page &<< 12 | physicalAddress & 4095
  return DMAStatus.success.rawValue
}

@c(swiftdma_iommu_unmap)
func unmapTranslated(
  _ core: UnsafeMutableRawPointer, _ address: UInt64, _ cpuAddress: UInt,
  _ byteCount: Int, _ traits: UInt32, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let core = unsafe device(core)
  let traits = MappingTraits(rawValue: traits)
  let domain = unsafe domain(core)
  let page = address &>> 12
  if unsafe pages(address, byteCount) == 1 && page < domain.pointee.nearEnd
    && domain.pointee.table.clearNear(page)
  {
    guard unsafe domain.pointee.isDeferred else {
      return unsafe DomainState.endPage(domain, page)
    }
    if unsafe domain.pointee.queue.pushPlainly(page, 1) { return DMAStatus.success.rawValue }
    return unsafe queuePage(domain, page)
  }
  return unsafe unmapSlowly(core, address, cpuAddress, byteCount, traits, numbers)
}

@inline(never)
private func queuePage(_ domain: UnsafeMutablePointer<DomainState>, _ page: UInt64) -> Int32 {
  unsafe domain.pointee.queue.push(page, 1, domain)
  return DMAStatus.success.rawValue
}

/// Any number of pages, wherever the memory is.
@inline(never)
private func unmapSlowly(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ byteCount: Int, _ traits: MappingTraits, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let domain = unsafe domain(core)
  let status = unsafe DomainState.unmap(
    domain, address &>> 12, pages(address, byteCount), isDeferred: domain.pointee.isDeferred,
    numbers)
  if status == .success {
    unsafe maintain(UnsafeMutableRawPointer(core), cpuAddress, byteCount, traits.forCPU)
  }
  return status.rawValue
}

// MARK: Coherent memory

/// Readable and writable for the device (R79), naturally aligned on the bus like everything the
/// allocator of addresses gives (R51).
private func allocate(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ byteCount: Int,
  _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let platform = unsafe core.pointee.platform
  // SAFETY: the platform's own function with its own context; room for three words.
  let allocated = unsafe platform.pointee.operations.allocatePages(
    platform.pointee.context, byteCount, byteCount, .max, PageOptions.uncached.rawValue, numbers)
  guard allocated == DMAStatus.success.rawValue else { return allocated }
  let cpuAddress = unsafe numbers[0]
  let physicalAddress = unsafe numbers[1]
  var status = DMAStatus.success
  let limit = unsafe core.pointee.coherentLimit
  let page = unsafe DomainState.map(
    domain(core), physicalAddress: physicalAddress, pageCount: UInt64(byteCount / 4096),
    permissions: TableEntry.read | TableEntry.write, last: limit, &status)
  guard page != 0 else {
    unsafe platform.pointee.operations.freePages(
      platform.pointee.context, UInt(cpuAddress), physicalAddress, byteCount,
      PageOptions.uncached.rawValue)
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = status == .outOfMemory ? .max : limit
    return status.rawValue
  }
  unsafe numbers[0] = page << 12
  unsafe numbers[1] = cpuAddress
  unsafe numbers[2] = physicalAddress
  return DMAStatus.success.rawValue
}

/// Always invalidates at once: the memory may be somebody else's right after.
private func free(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ physicalAddress: UInt64, _ byteCount: Int
) {
  var numbers = DMAStatusNumbers()
  let status = unsafe numbers.withWords { pointer in
    unsafe DomainState.unmap(
      domain(core), address >> 12, UInt64(byteCount / 4096), isDeferred: false, pointer
    ).rawValue
  }
  precondition(status == .success, "coherent memory is freed as it was allocated")
  // A device may still reach it: nobody else gets it.
  guard numbers.third == 0 else { return }
  let platform = unsafe core.pointee.platform
  unsafe platform.pointee.operations.freePages(
    platform.pointee.context, cpuAddress, physicalAddress, byteCount,
    PageOptions.uncached.rawValue)
}
