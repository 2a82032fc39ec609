public import DMA

/// The direct mapping: bus address = physical address + a fixed offset (R5).
///
/// Nothing is translated and nothing copied: memory that the device's mask does not reach is
/// refused with `DMAError.outOfReach`. It protects nothing: a device reaches all memory below its
/// mask at any time.
public enum DirectMapping {
  /// The direct mapping of a machine.
  ///
  /// - Parameter offset: bus address minus physical address; where bus addresses are the lower ones,
  ///   0 &- the difference. Memory below the difference is then out of reach.
  public static func make(for platform: Platform, offset: UInt64 = 0) -> DMAMapping {
    unsafe DMAMapping(
      directOffset: offset, operations: directOperations, context: nil, owner: nil)
  }
}

// Made once and never freed: devices' cores point to it. An immutable table of functions.
nonisolated(unsafe) private let directOperations: UnsafePointer<MappingOperations> = {
  let table = UnsafeMutablePointer<MappingOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table.
  unsafe table.initialize(
    to: MappingOperations(
      map: { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
        unsafe mapDirect(core, cpuAddress, physicalAddress, byteCount, traits, numbers)
      },
      unmap: { core, _, cpuAddress, byteCount, traits, _ in
        unsafe maintain(core, cpuAddress, byteCount, MappingTraits(rawValue: traits).forCPU)
        return DMAStatus.success.rawValue
      },
      sync: { core, _, cpuAddress, byteCount, traits, _ in
        unsafe maintain(core, cpuAddress, byteCount, MappingTraits(rawValue: traits))
        return DMAStatus.success.rawValue
      },
      mapScatter: { core, entries, count, traits, numbers in
        unsafe mapScatterDirect(core, scatterEntries(entries), count, traits, numbers)
      },
      unmapScatter: { core, entries, count, traits, _ in
        unsafe maintainScatter(
          core, scatterEntries(entries), count, MappingTraits(rawValue: traits).forCPU)
        return DMAStatus.success.rawValue
      },
      syncScatter: { core, entries, count, traits, _ in
        unsafe maintainScatter(
          core, scatterEntries(entries), count, MappingTraits(rawValue: traits))
        return DMAStatus.success.rawValue
      },
      allocateCoherent: { core, byteCount, numbers in
        unsafe allocateReachable(
          core, byteCount, numbers, offset: device(core).pointee.directOffset)
      },
      freeCoherent: { core, _, cpuAddress, physicalAddress, byteCount in
        let platform = unsafe device(core).pointee.platform
        unsafe platform.pointee.operations.freePages(
          platform.pointee.context, cpuAddress, physicalAddress, byteCount,
          PageOptions.uncached.rawValue)
      },
      narrowestMask: { core in
        let core = unsafe device(core)
        return unsafe roundedToMask(
          core.pointee.platform.pointee.lowestLimit &+ core.pointee.directOffset)
      },
      requiredMask: { core in
        let core = unsafe device(core)
        return unsafe roundedToMask(
          core.pointee.platform.pointee.highestAddress &+ core.pointee.directOffset)
      },
      maxMappingSize: { _ in .max },
      detach: { _ in }))
  return unsafe UnsafePointer(table)
}()

func device(_ core: UnsafeMutableRawPointer) -> UnsafeMutablePointer<DMADeviceCore> {
  // SAFETY: what every function of the table is called with.
  unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
}

/// The narrowest mask that covers an address.
func roundedToMask(_ address: UInt64) -> UInt64 {
  address == 0 ? 1 : UInt64.max >> UInt64(address.leadingZeroBitCount)
}

/// Only reached on incoherent machines and with bus addresses below the physical ones: the rest is
/// done inline by the device.
private func mapDirect(
  _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ physicalAddress: UInt64,
  _ byteCount: Int, _ traits: UInt32, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let core = unsafe device(core)
  let first = unsafe physicalAddress &+ core.pointee.directOffset
  let last = first &+ UInt64(byteCount - 1)
  // SAFETY: the caller gives room for three words.
  unsafe numbers[0] = first
  // Memory that lies before what the bus sees at 0 wraps around to the highest addresses.
  guard unsafe first <= last && last <= core.pointee.streamingLimit else {
    unsafe numbers[1] = last
    unsafe numbers[2] = core.pointee.streamingLimit
    return DMAStatus.outOfReach.rawValue
  }
  unsafe maintain(
    UnsafeMutableRawPointer(core), cpuAddress, byteCount, MappingTraits(rawValue: traits))
  return DMAStatus.success.rawValue
}

func scatterEntries(
  _ entries: UnsafeMutableRawPointer
) -> UnsafeMutablePointer<ScatterEntry> {
  // SAFETY: what the table's scatter functions are called with.
  unsafe entries.assumingMemoryBound(to: ScatterEntry.self)
}

/// Each entry becomes a segment: a direct mapping never merges (4.8, rule 10).
private func mapScatterDirect(
  _ core: UnsafeMutableRawPointer, _ entries: UnsafeMutablePointer<ScatterEntry>, _ count: Int,
  _ traits: UInt32, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let core = unsafe device(core)
  let offset = unsafe core.pointee.directOffset
  let limit = unsafe core.pointee.streamingLimit
  // SAFETY: the caller gives `count` entries and room for three words. Everything is checked
  // before anything is done, so a refusal leaves nothing behind.
  for index in 0..<count {
    let first = unsafe entries[index].physicalAddress &+ offset
    let last = unsafe first &+ UInt64(entries[index].byteCount - 1)
    guard first <= last, last <= limit else {
      unsafe numbers[0] = first
      unsafe numbers[1] = last
      unsafe numbers[2] = limit
      return DMAStatus.outOfReach.rawValue
    }
  }
  for index in 0..<count {
    unsafe entries[index].dmaAddress = entries[index].physicalAddress &+ offset
    unsafe entries[index].dmaByteCount = entries[index].byteCount
  }
  unsafe maintainScatter(
    UnsafeMutableRawPointer(core), entries, count, MappingTraits(rawValue: traits))
  unsafe numbers[0] = UInt64(count)
  return DMAStatus.success.rawValue
}

func maintainScatter(
  _ core: UnsafeMutableRawPointer, _ entries: UnsafeMutablePointer<ScatterEntry>, _ count: Int,
  _ traits: MappingTraits
) {
  guard unsafe !device(core).pointee.platform.pointee.isCoherent else { return }
  for index in 0..<count {
    // SAFETY: the caller gives `count` entries.
    unsafe maintain(core, entries[index].cpuAddress, entries[index].byteCount, traits)
  }
}

/// Cache work for handing memory over, on incoherent machines.
///
/// To the device: what the CPU wrote must reach memory, also for memory the device will write, or
/// a dirty line is written back over it later. To the CPU: lines read meanwhile are dropped.
@inline(__always)
func maintain(
  _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ byteCount: Int, _ traits: MappingTraits
) {
  let platform = unsafe device(core).pointee.platform
  guard unsafe !platform.pointee.isCoherent else { return }
  unsafe maintainCache(platform, cpuAddress, byteCount, traits)
}

@inline(never)
private func maintainCache(
  _ platform: UnsafeMutablePointer<PlatformCore>, _ cpuAddress: UInt, _ byteCount: Int,
  _ traits: MappingTraits
) {
  let operation: CacheOperation
  if traits.isForCPU {
    guard traits.direction.deviceWrites else { return }
    operation = .invalidate
  } else {
    operation = traits.direction.deviceWrites ? [.clean, .invalidate] : .clean
  }
  unsafe platform.pointee.operations.maintainCache(
    platform.pointee.context, cpuAddress, byteCount, operation.rawValue)
}

/// Coherent memory that the device reaches without translation.
func allocateReachable(
  _ core: UnsafeMutableRawPointer, _ byteCount: Int, _ numbers: UnsafeMutablePointer<UInt64>,
  offset: UInt64
) -> Int32 {
  let core = unsafe device(core)
  let platform = unsafe core.pointee.platform
  let coherentLimit = unsafe core.pointee.coherentLimit
  // Where bus addresses are lower than physical ones, the offset wraps around.
  let isLower = Int64(bitPattern: offset) < 0
  let (sum, overflow) = coherentLimit.addingReportingOverflow(0 &- offset)
  let limit = isLower ? (overflow ? .max : sum) : coherentLimit &- offset
  guard isLower || coherentLimit >= offset else {
    // SAFETY: the caller gives room for three words.
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = coherentLimit
    return DMAStatus.outOfMemory.rawValue
  }
  // The pages' natural alignment on the CPU's side carries over to the bus when the offset keeps
  // it; the device's core checks the result.
  let status = unsafe platform.pointee.operations.allocatePages(
    platform.pointee.context, byteCount, byteCount, limit, PageOptions.uncached.rawValue, numbers)
  guard status == DMAStatus.success.rawValue else { return status }
  let cpuAddress = unsafe numbers[0]
  let physicalAddress = unsafe numbers[1]
  if isLower, physicalAddress < 0 &- offset {
    // Memory below what the bus sees at 0.
    unsafe platform.pointee.operations.freePages(
      platform.pointee.context, UInt(cpuAddress), physicalAddress, byteCount,
      PageOptions.uncached.rawValue)
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    return DMAStatus.outOfMemory.rawValue
  }
  unsafe numbers[0] = physicalAddress &+ offset
  unsafe numbers[1] = cpuAddress
  unsafe numbers[2] = physicalAddress
  return DMAStatus.success.rawValue
}
