internal import DMA
internal import DMAMapping

/// Coherent memory that is mapped from the start, for allocation where the kernel cannot be called.
@safe
final class CoherentReserve {
  let byteCount: Int
  private let cpuAddress: UInt
  private let physicalAddress: UInt64
  private let address: UInt64
  /// Its "physical" addresses are bus addresses.
  private let pages: HostPages

  /// - Throws: `VFIOError.dma`, `.memoryLock` and the like; nothing is mapped then.
  init(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ state: UnsafeMutablePointer<MappingState>,
    byteCount: Int
  ) throws(VFIOError) {
    guard byteCount >= 4096, byteCount & (byteCount - 1) == 0 else {
      throw .invalidConfiguration("a reserve of \(byteCount) bytes: 4096 times a power of two")
    }
    var numbers = DMAStatusNumbers()
    // SAFETY: the platform's own function with its own context.
    let taken = unsafe numbers.withWords { pointer in
      unsafe platform.pointee.operations.allocatePages(
        platform.pointee.context, byteCount, byteCount, .max, PageOptions.uncached.rawValue,
        pointer)
    }
    guard taken == .success else { throw .dma(DMAError(status: taken, numbers: numbers)) }
    let (start, physical) = (UInt(numbers.first), numbers.second)
    func giveBack() {
      unsafe platform.pointee.operations.freePages(
        platform.pointee.context, start, physical, byteCount, PageOptions.uncached.rawValue)
    }
    // As low as possible: devices with narrow masks are to reach it too.
    var found: UInt64?
    for limit in [0xff_ffff, 0xfff_ffff, 0xffff_ffff, .max] as [UInt64] where found == nil {
      found = unsafe state.pointee.space.allocate(pageCount: byteCount / 4096, last: limit)
    }
    guard let found else {
      giveBack()
      throw .dma(.outOfAddressSpace(byteCount: byteCount, limit: .max))
    }
    let status = unsafe MappingState.map(state, start, found, UInt64(byteCount), 3)
    guard status >= 0 else {
      unsafe state.pointee.space.free(found, pageCount: byteCount / 4096)
      giveBack()
      throw MemoryLock.error(code: -status, call: "VFIO_IOMMU_MAP_DMA", need: UInt64(byteCount))
    }
    self.byteCount = byteCount
    cpuAddress = start
    physicalAddress = physical
    address = found
    pages = HostPages([
      HostPages.Region(cpuAddress: start, physicalAddress: found, pageCount: byteCount / 4096)
    ])
  }

  /// Gives everything back.
  func end(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ state: UnsafeMutablePointer<MappingState>
  ) {
    let isGone = unsafe MappingState.unmap(
      state, address, UInt64(byteCount), mapped: UInt64(byteCount), entries: 1)
    // Memory that a device may still reach is nobody else's.
    guard isGone else { return }
    unsafe state.pointee.space.free(address, pageCount: byteCount / 4096)
    unsafe platform.pointee.operations.freePages(
      platform.pointee.context, cpuAddress, physicalAddress, byteCount,
      PageOptions.uncached.rawValue)
  }

  func owns(_ busAddress: UInt64) -> Bool {
    busAddress >= address && busAddress - address < UInt64(byteCount)
  }

  /// The numbers are bus address, CPU address and physical address.
  func allocate(
    _ wanted: Int, _ limit: UInt64, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> DMAStatus {
    var found = DMAStatusNumbers()
    let status = pages.allocate(
      byteCount: wanted, alignment: wanted, limit: limit, options: [], &found)
    // SAFETY: the caller gives room for three words.
    guard status == .success else {
      unsafe numbers[0] = UInt64(wanted)
      unsafe numbers[1] = limit
      return .outOfMemory
    }
    unsafe numbers[0] = found.second
    unsafe numbers[1] = found.first
    unsafe numbers[2] = physicalAddress + (found.second - address)
    return .success
  }

  func free(_ busAddress: UInt64, _ count: Int) {
    pages.free(physicalAddress: busAddress, byteCount: count)
  }
}
