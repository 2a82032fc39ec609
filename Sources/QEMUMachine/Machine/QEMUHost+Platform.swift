internal import CQEMUHost
internal import DMA
internal import MachineHost
internal import MachineMemory

extension QEMUHost: MachineHost {
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

  func relax() {
    let length = WaitPace.pause(after: pace.waited(at: MonotonicClock.nanoseconds))
    // Shorter pauses only let others run: the host's timers are no finer.
    qemu_host_pause(length < 20_000 ? 0 : length)
    pace.resumed(at: MonotonicClock.nanoseconds)
  }
}
