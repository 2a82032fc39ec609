import DMA
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// Whatever a controller does wrong: a typed error, within a second, and nothing left mapped.
@Suite struct FaultTests {
  static let second: UInt64 = 1_000_000_000

  /// Runs a write of 16 commands against a faulty controller.
  private func write(
    _ setup: Setup, _ fault: NVMeFault, expecting expected: NVMeError?
  ) throws -> (isStopped: Bool, isMaster: Bool) {
    let bench = try Bench(setup)
    let free = bench.machine.freeByteCount
    let counter = LiveCounter(bench.pci.dma)
    let result: (Bool, Bool)
    do {
      let nvme = try bench.open {
        $0.transferByteCountMax = 16 << 10
        $0.queueCapacity = 8
      }
      let namespace = try nvme.namespace()
      var buffer = try bench.buffer(256 << 10)
      bench.controller.inject(fault)
      let begun = bench.platform.nanoseconds
      var caught: NVMeError?
      do throws(NVMeError) {
        try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
      } catch { caught = error }
      #expect(caught == expected)
      #expect(bench.platform.nanoseconds - begun < Self.second)
      #expect(counter.live == 0 && counter.livePoolBlocks == 0)
      #expect(counter.counts.dropped == 0)
      // Commands of 16 KiB have lists.
      #expect(counter.counts.poolBlocksEver > 0)
      result = (nvme.isStopped, bench.pci.isBusMasteringEnabled)
      if result.0 {
        // Every later call says so, at once.
        #expect(throws: NVMeError.stopped) { try nvme.queues[0].flush(namespace) }
        #expect(throws: NVMeError.stopped) { try nvme.namespace() }
      } else {
        try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
      }
    }
    #expect(counter.live == 0)
    #expect(bench.pci.dma.quarantined.mappingCount == 0)
    #expect(bench.pci.dma.liveCoherentCount == 0)
    // A pool's or table's pages may stay; what was allocated for transfers may not.
    if setup.kind == .direct { #expect(bench.machine.freeByteCount == free) }
    return result
  }

  @Test(arguments: Setup.allCases)
  func `a failed command is an error with its status, and the controller goes on`(
    setup: Setup
  ) throws {
    let result = try write(
      setup, NVMeFault(.fail(type: 2, code: 0x80), opcode: 0x01, skip: 3),
      expecting: .failed(NVMeStatus(type: 2, code: 0x80)))
    #expect(!result.isStopped && result.isMaster)
  }

  @Test(arguments: Setup.allCases)
  func `a controller that never answers is stopped within a second`(setup: Setup) throws {
    let result = try write(
      setup, NVMeFault(.neverAnswer, opcode: 0x01, skip: 5),
      expecting: .timedOut(milliseconds: 900))
    #expect(result.isStopped && !result.isMaster)
  }

  @Test(arguments: Setup.allCases)
  func `a controller that dies is stopped`(setup: Setup) throws {
    let result = try write(
      setup, NVMeFault(.die, opcode: 0x01, skip: 2), expecting: .died)
    #expect(result.isStopped && !result.isMaster)
  }

  @Test(arguments: Setup.allCases)
  func `an answer for a command that was never given stops the controller`(setup: Setup) throws {
    // Beyond all slots, and a slot with a generation that it does not have.
    for id in [0x0fff, 0x7001] as [UInt16] {
      let result = try write(
        setup, NVMeFault(.answerFor(id: id), opcode: 0x01, skip: 1),
        expecting: .unknownCompletion(queue: 1, id: id))
      #expect(result.isStopped && !result.isMaster)
    }
  }

  @Test(arguments: Setup.allCases)
  func `a second answer to the same command stops the controller`(setup: Setup) throws {
    let bench = try Bench(setup)
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open { $0.queueCapacity = 4 }
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(64 << 10)
    bench.controller.inject(NVMeFault(.answerTwice, opcode: 0x01))
    try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
    // The second answer is met by the next call, whatever that is.
    var caught: NVMeError?
    do throws(NVMeError) {
      try nvme.queues[0].flush(namespace)
    } catch { caught = error }
    guard case .duplicateCompletion(queue: 1, _) = caught else {
      Issue.record("\(String(describing: caught))")
      return
    }
    #expect(nvme.isStopped && !bench.pci.isBusMasteringEnabled)
    #expect(counter.live == 0 && counter.livePoolBlocks == 0)
  }

  @Test func `a late second answer is not taken for one to the slot's next command`() throws {
    let bench = try Bench()
    let nvme = try bench.open { $0.queueCapacity = 1 }
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(4096)
    bench.controller.inject(NVMeFault(.answerTwice, opcode: 0x01))
    try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
    // With one slot the next command has the same number and another generation.
    var caught: NVMeError?
    do throws(NVMeError) {
      try nvme.queues[0].read(into: &buffer, fromBlock: 8, of: namespace)
    } catch { caught = error }
    guard case .duplicateCompletion = caught else {
      Issue.record("\(String(describing: caught))")
      return
    }
  }

  @Test func `commands in flight come back with their memory when the controller is stopped`()
    throws
  {
    let bench = try Bench()
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open { $0.queueCapacity = 8 }
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    bench.controller.inject(NVMeFault(.neverAnswer, opcode: 0x02, count: 8))
    for index in 0..<8 {
      let buffer = try StreamingBuffer(byteCount: 4096, in: bench.platform)
      let mapping = try buffer.map(FromDevice.self, for: nvme.device.dma).get()
      try queue.read(mapping, fromBlock: UInt64(index) * 8, of: namespace, tag: UInt64(index))
        .get()
    }
    #expect(counter.live == 8)
    #expect(throws: NVMeError.timedOut(milliseconds: 900)) {
      while let done = try queue.next() { _ = done.takeTransfer().unmap() }
    }
    #expect(!bench.pci.isBusMasteringEnabled)
    var tags: [UInt64] = []
    while let left = try queue.next() {
      #expect(left.error == .stopped)
      tags.append(left.tag)
      guard case .single(let buffer) = left.takeTransfer().unmap() else {
        Issue.record("the memory is lost")
        continue
      }
      check(buffer.byteCount == 4096)
    }
    #expect(tags.sorted() == Array(0..<8))
    #expect(counter.live == 0 && counter.livePoolBlocks == 0)
  }

  @Test func `a driver that goes with commands in flight leaves nothing mapped`() throws {
    let bench = try Bench()
    let free = bench.machine.freeByteCount
    let counter = LiveCounter(bench.pci.dma)
    do {
      let nvme = try bench.open()
      let namespace = try nvme.namespace()
      let buffer = try StreamingBuffer(byteCount: 64 << 10, in: bench.platform)
      let mapping = try buffer.map(FromDevice.self, for: nvme.device.dma).get()
      try nvme.queues[0].read(mapping, fromBlock: 0, of: namespace).get()
      nvme.queues[0].ring()
    }
    #expect(!bench.pci.isBusMasteringEnabled)
    #expect(counter.live == 0)
    #expect(counter.counts.dropped == 0)
    #expect(bench.machine.freeByteCount == free)
    // The controller was disabled, so it does not even try.
    for _ in 0..<100 { bench.platform.relax() }
    #expect(bench.machine.incidentCount == 0)
  }

  @Test func `a controller that is pulled out is gone, and nothing is left mapped`() throws {
    let bench = try Bench()
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(4096)
    try bench.machine.detach(bench.pci.address)
    #expect(throws: NVMeError.gone) {
      try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
    }
    #expect(counter.live == 0)
  }

  @Test func `a controller that never becomes ready is an error, with nothing left`() throws {
    let bench = try Bench { $0.neverReady = true }
    let free = bench.machine.freeByteCount
    let begun = bench.platform.nanoseconds
    #expect(throws: NVMeError.notReady(milliseconds: 900)) { try bench.open() }
    #expect(bench.platform.nanoseconds - begun < Self.second)
    #expect(!bench.pci.isBusMasteringEnabled)
    #expect(bench.pci.dma.liveCoherentCount == 0)
    #expect(bench.machine.freeByteCount == free)
  }

  @Test func `faults of admin commands end the set-up with a typed error`() throws {
    for (fault, error) in [
      (
        NVMeFault(.fail(type: 0, code: 6), queue: 0), NVMeError.failed(NVMeStatus(type: 0, code: 6))
      ),
      (NVMeFault(.neverAnswer, queue: 0, opcode: 0x05), .timedOut(milliseconds: 900)),
      (NVMeFault(.die, queue: 0, skip: 1), .died),
      (
        NVMeFault(.answerFor(id: 0xfff), queue: 0, skip: 2),
        .unknownCompletion(queue: 0, id: 0xfff)
      ),
    ] {
      let bench = try Bench()
      let free = bench.machine.freeByteCount
      bench.controller.inject(fault)
      #expect(throws: error) { try bench.open() }
      #expect(!bench.pci.isBusMasteringEnabled)
      #expect(bench.pci.dma.liveCoherentCount == 0)
      #expect(bench.machine.freeByteCount == free)
    }
  }

  @Test func `memory that does not answer is a data transfer error, not silence`() throws {
    // The engine drives 32 bits, the driver believes 64: the address wraps to where no memory is.
    let bench = try Bench { $0.mask = 0xffff_ffff }
    let nvme = try bench.open { $0.mask = .bits32 }
    let namespace = try nvme.namespace()
    try bench.pci.dma.setStreamingMask(.bits64)
    var high = try StreamingBuffer(byteCount: 4096, in: bench.platform, placement: .high)
    do throws(NVMeError) {
      try nvme.queues[0].read(into: &high, fromBlock: 0, of: namespace)
    } catch {
      #expect(error == .failed(NVMeStatus(type: 0, code: 4)))
    }
    let incidents = bench.machine.takeIncidents()
    #expect(incidents.contains { if case .clamped = $0.reason { true } else { false } })
  }
}
