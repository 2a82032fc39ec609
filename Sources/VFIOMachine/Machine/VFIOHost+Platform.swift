internal import CVFIO
internal import DMA
internal import Glibc
internal import MachineHost

extension VFIOHost: MachineHost, InterruptAttaching, MemoryPinning {
  /// The last "physical" address of the pool.
  var lastAddress: UInt64 { baseAddress + (pool.byteCount - 1) }

  func allocatePages(
    _ byteCount: Int, alignment: Int, limit: UInt64, options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    // After a fork the memory is not there any more.
    guard vfio_host_fork_count() == (unsafe state.pointee.forkCount) else {
      numbers = DMAStatusNumbers(UInt64(ECHILD))
      return .machine
    }
    // A mapping for each call reaches memory wherever it lies; in an arena, it lies where the
    // device sees it.
    return pages.allocate(
      byteCount: byteCount, alignment: alignment,
      limit: configuration.mode == .perCall ? .max : limit, options: options, &numbers)
  }

  func freePages(_ physicalAddress: UInt64, _ byteCount: Int) {
    pages.free(physicalAddress: physicalAddress, byteCount: byteCount)
  }

  func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    if let address = pages.physicalAddress(cpuAddress, byteCount) {
      guard pages.isAllocated(address, byteCount) else {
        numbers = DMAStatusNumbers(UInt64(MemoryKind.unknown.rawValue))
        return .notDMAable
      }
      numbers = DMAStatusNumbers(address)
      return .success
    }
    // Ordinary memory of the process is not used by its address: it has to be pinned.
    let kind = PinnedMemory.refusal(cpuAddress, byteCount, tree) ?? .user
    numbers = DMAStatusNumbers(UInt64(kind.rawValue))
    return .notDMAable
  }

  var nanoseconds: UInt64 { MonotonicClock.nanoseconds - startNanoseconds }

  func relax() { interrupts.pause(pace) }

  func relax(after waited: UInt64) { interrupts.pause(after: waited) }
}
