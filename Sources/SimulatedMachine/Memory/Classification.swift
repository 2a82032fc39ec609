internal import CSimulatedHost
internal import DMA
internal import MachineMemory

extension MachineCore {
  /// What the bytes at an address belong to (R7); unknown when they are not all of one kind.
  func classify(_ cpuAddress: UInt, _ byteCount: Int) -> MemoryKind {
    let (last, overflow) = cpuAddress.addingReportingOverflow(UInt(max(1, byteCount) - 1))
    guard byteCount > 0, !overflow else { return .unknown }
    if let physicalAddress = memory.physicalAddress(cpuAddress) {
      return classifyPhysical(physicalAddress, byteCount)
    }
    if registerAddresses.contains(cpuAddress) { return .mmio }
    if let area = areas.find(cpuAddress) { return last < area.end ? area.kind : .unknown }
    // The program's own memory plays the part of the kernel's.
    if simulated_host_is_stack(cpuAddress) != 0 { return .stack }
    if simulated_host_is_image(cpuAddress) != 0 { return .image }
    return .unknown
  }

  private func classifyPhysical(_ physicalAddress: UInt64, _ byteCount: Int) -> MemoryKind {
    // What the linear map would show between RAM and 4 GiB.
    if registerWindow.contains(physicalAddress) { return .mmio }
    guard allocator.isAllocated(physicalAddress, byteCount) else { return .unknown }
    switch slabs.find(physicalAddress, byteCount) {
    case .object: return .slab
    case .elsewhere: return .unknown
    case .notSlab: return .pages
    }
  }

  /// The physical address of bytes that may be used for DMA by this address (R8, R9).
  func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    let kind = classify(cpuAddress, byteCount)
    guard kind.isDMAable, let physicalAddress = memory.physicalAddress(cpuAddress) else {
      numbers = DMAStatusNumbers(UInt64(kind.rawValue))
      return .notDMAable
    }
    numbers = DMAStatusNumbers(physicalAddress)
    return .success
  }

  /// The pages underneath, each by its linear address; neighbours are joined (R11).
  func walk(_ cpuAddress: UInt, _ byteCount: Int) throws(DMAError) -> [ScatterEntry] {
    guard byteCount > 0 else { throw .emptyRequest }
    let kind = classify(cpuAddress, byteCount)
    if kind.isDMAable, let physicalAddress = memory.physicalAddress(cpuAddress) {
      return [
        ScatterEntry(
          cpuAddress: cpuAddress, physicalAddress: physicalAddress, byteCount: byteCount)
      ]
    }
    guard kind == .vmalloc, let area = areas.find(cpuAddress) else { throw .notDMAable(kind) }
    var entries: [ScatterEntry] = []
    var offset = Int(cpuAddress - area.start)
    let end = offset + byteCount
    while offset < end {
      let start = area.pages[offset >> 12] + UInt64(offset & 4095)
      var next = (offset >> 12 + 1) << 12
      while next < end, area.pages[next >> 12] == area.pages[next >> 12 - 1] + 4096 {
        next += 4096
      }
      entries.append(
        ScatterEntry(
          cpuAddress: memory.linearAddress(start), physicalAddress: start,
          byteCount: min(next, end) - offset))
      offset = next
    }
    return entries
  }

  /// Cache work on memory by any address that has memory behind it.
  func maintain(_ cpuAddress: UInt, _ byteCount: Int, _ operation: CacheOperation) {
    if let physicalAddress = memory.physicalAddress(cpuAddress) {
      // Past the caches there is nothing to do.
      guard cpuAddress >= memory.linearBase,
        cpuAddress - memory.linearBase < UInt(memory.map.end),
        memory.map.contains(physicalAddress, UInt64(byteCount))
      else { return }
      memory.maintain(physicalAddress, byteCount, operation)
    } else if let area = areas.find(cpuAddress) {
      var offset = Int(cpuAddress - area.start)
      let end = min(offset + byteCount, area.pages.count << 12)
      while offset < end {
        let count = min(end - offset, 4096 - offset & 4095)
        memory.maintain(area.pages[offset >> 12] + UInt64(offset & 4095), count, operation)
        offset += count
      }
    }
  }
}
