internal import DMA
internal import Glibc
internal import MachineHost
internal import PCI

extension NoIOMMUHost: MachineHost, InterruptAttaching {
  /// The last byte of a region; 0 where there is none.
  func lastAddress(of region: HostPages.Region?) -> UInt64 {
    region.map { $0.physicalAddress + UInt64($0.pageCount) << 12 - 1 } ?? 0
  }

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
    if let address = pages.physicalAddress(cpuAddress, byteCount),
      pages.isAllocated(address, byteCount)
    {
      numbers = DMAStatusNumbers(address)
      return .success
    }
    numbers = DMAStatusNumbers(UInt64(MemoryKind.user.rawValue))
    return .notDMAable
  }

  var nanoseconds: UInt64 { MonotonicClock.nanoseconds - startNanoseconds }

  func relax() { wait() }

  // MARK: Configuration space and registers

  func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
    self.address.packed == address ? readConfiguration(offset, byteCount) : .max
  }

  func writeConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32) {
    if self.address.packed == address { writeConfiguration(offset, byteCount, value) }
  }

  func mapBAR(
    _ address: UInt32, _ index: Int, start: UInt64, _ byteCount: Int,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    let (place, code) = mapBAR(index, byteCount)
    numbers = DMAStatusNumbers(place != 0 ? UInt64(place) : UInt64(code))
    return place != 0 ? .success : .machine
  }

  /// All registers are memory of this process.
  func readRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int) -> UInt64 { .max }

  func writeRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int, _ value: UInt64) {}

  // MARK: Interrupts

  /// Messages would go to addresses that only the kernel gives out.
  func allocateMessage(
    _ address: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    numbers = DMAStatusNumbers(UInt64(ENOTSUP))
    return .machine
  }

  func freeMessage(_ handle: UInt64) { detachWire() }

  func takeInterrupt(_ handle: UInt64) -> Bool { takeInterrupt() }

  /// Only the wire, and only this device's.
  func attachInterrupt(
    _ address: UInt32, _ kind: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    let code =
      kind != 0 ? ENOTSUP : self.address.packed != address ? ENODEV : attachWire()
    numbers = DMAStatusNumbers(UInt64(code))
    return code == 0 ? .success : .machine
  }
}
