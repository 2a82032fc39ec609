import AsyncDrivers
import DMA
import DMAMapping
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// The driver's calls for tasks.
@Suite struct AsyncTests {
  /// A disk, and what of its machine a test looks at.
  private struct Trial {
    let machine: SimulatedMachine
    let disk: NVMeDisk
    let device: DMADevice
    let counter: LiveCounter
    /// Mappings that are live while nothing runs.
    let standing: Int
  }

  private func trial(
    _ setup: Setup, seed: UInt64 = 1, _ fault: NVMeFault? = nil,
    _ change: (inout NVMeDevice.Options) -> Void = { _ in }
  ) throws -> Trial {
    let machine = try setup.machine(seed: seed)
    let controller = NVMeController(try NVMeMemory(zeroes: 64 << 20))
    let address = try machine.attach(controller)
    let (mapping, kept) = try setup.mapping(machine, address)
    let function = try PCIDevice(host: machine.pci, address: address, mapping: mapping)
    let device = function.dma
    let counter = LiveCounter(device)
    var options = NVMeDevice.Options()
    change(&options)
    let disk = try NVMeDisk(function, options: options)
    if let fault { controller.inject(fault) }
    _ = kept
    return Trial(
      machine: machine, disk: disk, device: device, counter: counter, standing: counter.live)
  }

  private func buffer(
    _ machine: SimulatedMachine, _ bytes: [UInt8]
  ) throws -> StreamingBuffer {
    try unsafe StreamingBuffer(copying: bytes.span.bytes, in: machine.platform)
  }

  @Test(arguments: Setup.allCases)
  func `more tasks than places write and read at once, each its own bytes`(
    setup: Setup
  ) async throws {
    var random = SeededGenerator()
    let trial = try trial(setup, seed: random.next()) { $0.queueCapacity = 8 }
    let (disk, machine) = (trial.disk, trial.machine)
    #expect(disk.namespace.blockCount == 131072)
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<24 {
        group.addTask {
          var wrong = 0
          let first = UInt64(task) * 256
          for round in 0..<8 {
            let byteCount = 512 * (1 + (task * 7 + round * 13) % 128)
            let bytes = Bench.pattern(byteCount, seed: UInt8(task * 8 + round & 0xff))
            let written = await disk.write(
              from: try buffer(machine, bytes), toBlock: first)
            // The same memory again, with other contents meanwhile.
            var memory = try written.get()
            for offset in 0..<byteCount {
              var span = memory.mutableBytes
              span.storeBytes(of: 0xee, toByteOffset: offset, as: UInt8.self)
            }
            let read = try await disk.read(into: memory, fromBlock: first).get()
            if read.array != bytes { wrong += 1 }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
    try await disk.flush()
    try await disk.shutDown()
    #expect(trial.counter.live == trial.standing && trial.counter.counts.dropped == 0)
    #expect(machine.incidentCount == 0)
  }

  @Test func `a failed command is its task's error alone, and the buffer comes back`() async throws
  {
    let trial = try trial(.direct, NVMeFault(.fail(type: 2, code: 0x80), opcode: 0x01, skip: 3))
    let (disk, machine) = (trial.disk, trial.machine)
    let failures: [NVMeError] = try await withThrowingTaskGroup(of: NVMeError?.self) { group in
      for task in 0..<16 {
        group.addTask {
          let bytes = Bench.pattern(4096, seed: UInt8(task))
          switch await disk.write(from: try buffer(machine, bytes), toBlock: UInt64(task) * 8) {
          case .done: return nil
          case .failed(let back, let error):
            check(back.array == bytes)
            return error
          }
        }
      }
      return try await group.reduce(into: []) { all, error in if let error { all.append(error) } }
    }
    #expect(failures == [.failed(NVMeStatus(type: 2, code: 0x80))])
    #expect(trial.counter.live == trial.standing)
  }

  @Test(arguments: [
    (NVMeFault.Effect.neverAnswer, NVMeError.timedOut(milliseconds: 900)),
    (.die, .died), (.answerFor(id: 0xfff), .unknownCompletion(queue: 1, id: 0xfff)),
  ])
  func `a controller that goes wrong ends every task's call, with the memory, within a second`(
    effect: NVMeFault.Effect, expected: NVMeError
  ) async throws {
    let trial = try trial(.direct, NVMeFault(effect, opcode: 0x02, count: 32)) {
      $0.queueCapacity = 8
    }
    let (disk, machine) = (trial.disk, trial.machine)
    let begun = machine.platform.nanoseconds
    let errors: [NVMeError?] = try await withThrowingTaskGroup(of: NVMeError?.self) { group in
      for task in 0..<12 {
        group.addTask {
          let memory = try StreamingBuffer(byteCount: 4096, in: machine.platform)
          switch await disk.read(into: memory, fromBlock: UInt64(task) * 8) {
          case .done: return nil
          case .failed(let back, let error):
            check(back.byteCount == 4096)
            return error
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(machine.platform.nanoseconds - begun < 1_000_000_000)
    // Eight were running; the others found the controller stopped, or were running too.
    #expect(errors.count == 12 && errors.allSatisfy { $0 == expected || $0 == .stopped })
    #expect(errors.contains(expected))
    #expect(trial.counter.live == 0 && trial.counter.counts.dropped == 0)
    await #expect(throws: NVMeError.stopped) { try await disk.flush() }
  }

  @Test func `a cancelled task still gets its answer and its memory`() async throws {
    let trial = try trial(.direct)
    let (disk, machine) = (trial.disk, trial.machine)
    let bytes = Bench.pattern(8192)
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      check(Task.isCancelled)
      return try await disk.write(from: try buffer(machine, bytes), toBlock: 8).get().array
    }
    #expect(try await task.value == bytes)
    let read = try await disk.read(
      into: try StreamingBuffer(byteCount: 8192, in: machine.platform), fromBlock: 8
    ).get()
    check(read.array == bytes)
    #expect(trial.counter.live == trial.standing)
  }

  @Test func `a full bounce pool makes tasks wait, not fail`() async throws {
    let machine = try SimulatedMachine()
    let address = try machine.attach(NVMeController(try NVMeMemory(zeroes: 16 << 20)))
    var pool = BounceMapping.Options()
    // 256 KiB: room for two of the tasks' 112 KiB.
    pool.slotCount = 128
    pool.areaCount = 1
    pool.isForced = true
    let bounce = try BounceMapping(platform: machine.platform, options: pool)
    let function = try PCIDevice(host: machine.pci, address: address, mapping: bounce.mapping)
    let disk = try NVMeDisk(function)
    let count = try await withThrowingTaskGroup(of: Bool.self) { group in
      for task in 0..<12 {
        group.addTask {
          let bytes = Bench.pattern(112 << 10, seed: UInt8(task))
          let first = UInt64(task) * 224
          let memory = try await disk.write(from: try buffer(machine, bytes), toBlock: first).get()
          return try await disk.read(into: memory, fromBlock: first).get().array == bytes
        }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(count == 12)
    #expect(bounce.statistics.usedSlots == 0)
  }

  @Test func `bad requests are refused with the buffer, and nothing runs`() async throws {
    let trial = try trial(.direct)
    let (disk, machine) = (trial.disk, trial.machine)
    switch await disk.read(
      into: try StreamingBuffer(byteCount: 700, in: machine.platform), fromBlock: 0)
    {
    case .done: Issue.record("read")
    case .failed(let back, let error):
      #expect(error == .partialBlock(byteCount: 700, blockByteCount: 512))
      check(back.byteCount == 700)
    }
    let size = disk.byteCountMax + 512
    switch await disk.write(
      from: try StreamingBuffer(byteCount: size, in: machine.platform), toBlock: 0)
    {
    case .done: Issue.record("written")
    case .failed(_, let error):
      #expect(error == .tooLong(byteCount: size, limit: disk.byteCountMax))
    }
    #expect(await disk.runningCount == 0)
    #expect(trial.counter.live == trial.standing)
  }

  @Test func `a disk that nobody has any more leaves nothing behind`() async throws {
    let machine = try SimulatedMachine()
    let free = machine.freeByteCount
    let address = try machine.attach(NVMeController(try NVMeMemory(zeroes: 1 << 20)))
    for _ in 0..<20 {
      let function = try PCIDevice(
        host: machine.pci, address: address,
        mapping: DirectMapping.make(for: machine.platform))
      let device = function.dma
      let disk = try NVMeDisk(function)
      _ = try await disk.read(
        into: try StreamingBuffer(byteCount: 512, in: machine.platform), fromBlock: 0
      ).get()
      withExtendedLifetime(disk) {}
      #expect(device.quarantined.mappingCount == 0)
    }
    // The last reference may go on the disk's own thread, a moment later.
    for _ in 0..<1000 where machine.freeByteCount != free {
      try await Task.sleep(nanoseconds: 1_000_000)
    }
    #expect(machine.freeByteCount == free)
  }
}
