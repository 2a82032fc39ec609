import DMA
import PCI
import SimulatedMachine
import Testing

@Suite struct WaitingTests {
  @Test func `a call that may wait is a typed error in an interrupt and under a spin lock`() throws
  {
    let machine = try SimulatedMachine()
    let lock = DMASpinLock()
    let inInterrupt = ExecutionContext.withInterrupt { failure(machine) }
    let underLock = lock.withLock { failure(machine) }
    #expect(inInterrupt == .wouldBlock && underLock == .wouldBlock)
  }

  @Test func `a wait ends with its condition, or with the deadline on the machine's clock`() throws
  {
    let machine = try SimulatedMachine()
    let start = machine.platform.nanoseconds
    #expect(throws: DMAError.timedOut) {
      try machine.platform.wait(nanoseconds: 5_000_000) { false }
    }
    #expect(machine.platform.nanoseconds >= start + 5_000_000)
    var looks = 0
    try machine.platform.wait(nanoseconds: 5_000_000) {
      looks += 1
      return looks == 3
    }
    #expect(looks == 3)
    #expect(DMAError.timedOut.isTransient && !DMAError.wouldBlock.isTransient)
  }

  @Test func `where memory cannot be pinned, pinning is a typed error`() throws {
    let machine = try SimulatedMachine()
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
    defer { unsafe bytes.deallocate() }
    #expect(throws: DMAError.notDMAable(.user)) {
      _ = try unsafe StreamingBuffer(unsafePinning: bytes, in: machine.platform).byteCount
    }
    #expect(throws: DMAError.emptyRequest) {
      _ = try unsafe StreamingBuffer(
        unsafePinning: UnsafeMutableRawBufferPointer(start: nil, count: 0), in: machine.platform
      ).byteCount
    }
  }

  private func failure(_ machine: SimulatedMachine) -> DMAError? {
    do throws(DMAError) {
      try machine.platform.wait(nanoseconds: 1_000_000) { true }
      return nil
    } catch { return error }
  }
}
