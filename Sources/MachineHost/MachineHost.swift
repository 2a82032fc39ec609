package import DMA

/// What a machine outside of this process does for everything above it: pages, time, configuration
/// space, registers, interrupts.
///
/// `MachineTables` hands a conforming object to the core and to PCI. Every function may be called
/// from any thread and never waits longer than its answer takes. `numbers` is what goes with the
/// returned status, see `DMAStatus`. Configuration addresses are packed (`PCIAddress.packed`).
package protocol MachineHost: AnyObject {
  // MARK: Memory and time

  /// Pages for drivers, zeroed and contiguous: CPU address and physical address.
  ///
  /// - Parameters:
  ///   - byteCount: a multiple of 4096.
  ///   - alignment: a power of two.
  ///   - limit: the highest physical address allowed.
  func allocatePages(
    _ byteCount: Int, alignment: Int, limit: UInt64, options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus
  func freePages(_ physicalAddress: UInt64, _ byteCount: Int)
  /// The physical address of memory that drivers were given, or the kind of any other (R7-R13).
  func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus
  /// Nanoseconds since the machine started, monotonic.
  var nanoseconds: UInt64 { get }
  /// Pauses for a moment, and lets due interrupts come.
  func relax()
  /// As `relax`, in a loop that has waited so many nanoseconds since there last was progress: the
  /// longer, the longer it may sleep.
  func relax(after waited: UInt64)

  // MARK: Configuration space and registers

  /// All ones when no function is there.
  func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32
  func writeConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32)
  /// The CPU address of a BAR's registers, or 0 and the window that `readRegister` is told.
  func mapBAR(
    _ address: UInt32, _ index: Int, start: UInt64, _ byteCount: Int,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus
  func readRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int) -> UInt64
  func writeRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int, _ value: UInt64)

  // MARK: Interrupts

  /// A message for a vector: its address, its data, the machine's handle.
  func allocateMessage(
    _ address: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus
  func freeMessage(_ handle: UInt64)
  /// Whether the vector fired since the last call; forgets it.
  func takeInterrupt(_ handle: UInt64) -> Bool
}

extension MachineHost {
  /// A machine that sees its registers used knows itself when a wait begins.
  package func relax(after waited: UInt64) { relax() }
}

/// A machine where a kernel programs interrupts itself.
package protocol InterruptAttaching: MachineHost {
  /// Turns a vector on: the machine's handle.
  ///
  /// - Parameter kind: 0 for the wire, 1 for MSI, 2 for MSI-X.
  func attachInterrupt(
    _ address: UInt32, _ kind: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus
}

/// A machine that can make memory from elsewhere usable for DMA.
package protocol MemoryPinning: MachineHost {
  /// Makes memory usable until unpinned: its physical address.
  func pin(_ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers) -> DMAStatus
  func unpin(_ physicalAddress: UInt64)
}
