internal import DMA
internal import MachineHost
internal import MachineMemory

extension VFIOUserHost: MachineHost {
  func allocatePages(
    _ byteCount: Int, alignment: Int, limit: UInt64, options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    pages.allocate(
      byteCount: byteCount, alignment: alignment, limit: limit, options: options, &numbers)
  }

  func freePages(_ physicalAddress: UInt64, _ byteCount: Int) {
    pages.free(physicalAddress: physicalAddress, byteCount: byteCount)
  }

  func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    pages.resolve(cpuAddress, byteCount, &numbers)
  }

  var nanoseconds: UInt64 { MonotonicClock.nanoseconds - startNanoseconds }

  /// Serves the server's accesses to memory, or pauses until there is one.
  func relax() {
    let pause = WaitPace.pause(after: pace.waited(at: MonotonicClock.nanoseconds))
    if client.serve(within: pause) { return }
    // Nothing comes over a closed connection, and nothing pauses there.
    if client.failure != nil { pauseThread(max(pause, 1000)) }
  }
}
