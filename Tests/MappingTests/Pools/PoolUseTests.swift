import DMA
import Glibc
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

/// What pools do when they are called, over every mapping.
@Suite struct PoolUseTests {
  @Test(arguments: Setup.poolCases)
  func `R59 R70 statistics are those of Linux's file, newest pool first`(setup: Setup) throws {
    let bench = try setup.make()
    let pools = bench.pools()
    #expect(pools.info == nil)
    var first: (any TestedPool)? = try pools.make("ohci_td", size: 60, align: 32)
    let second = try pools.make("ohci_td", size: 5000)
    let long = try pools.make("a name that is longer than 31 bytes", size: 1)
    for _ in 0..<3 { _ = try first?.allocate() }
    let blocks = try (0..<2).map { _ in try second.allocate() }
    #expect(
      pools.info == """
        poolinfo - 0.1
        a name that is longer than 31 b    0    0    1  0
        ohci_td             2    2 5000  2
        ohci_td             3   64   64  1

        """)
    #expect(long.numbers.pages == 0)
    first = nil
    #expect(pools.info?.hasSuffix("ohci_td             2    2 5000  2\n") == true)
    for block in blocks { try second.free(block) }
    try second.destroy()
    try long.destroy()
    #expect(pools.info == nil, "the file goes with the last pool")
  }

  @Test(arguments: Setup.poolCases)
  func `R62 flags that a pool does not know change nothing`(setup: Setup) throws {
    let bench = try setup.make()
    for bit in 0..<32 as Range<UInt32> {
      let options = DMAPoolOptions(rawValue: 1 << bit)
      let pool = try bench.pools().make(size: 64, options: options)
      let block = try pool.allocate()
      #expect(pool.numbers.blockSize == 64)
      try pool.free(block)
      try pool.destroy()
    }
    let all = try bench.pools().make(size: 64, options: DMAPoolOptions(rawValue: .max))
    let block = try all.allocate()
    #expect(block[0] == 0, "zeroing is among them")
    try all.free(block)
    #expect(block[0] == 0xa7a7_a7a7_a7a7_a7a7, "and so is the poison")
  }

  @Test(arguments: Setup.poolCases)
  func `R63 free blocks hold 0xa7 and new ones 0xa9`(setup: Setup) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make(size: 40, align: 64, options: .poisoned)
    let block = try pool.allocate()
    #expect((0..<64).allSatisfy { block.byte($0) == 0xa9 })
    // The neighbour was never used.
    #expect((64..<128).allSatisfy { block.byte($0) == 0xa7 })
    try pool.free(block)
    #expect((0..<64).allSatisfy { block.byte($0) == 0xa7 })
  }

  @Test(arguments: Setup.poolCases)
  func `R63 a write into a free block, the device's too, is found when it is allocated`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make(size: 64, options: .poisoned)
    let block = try pool.allocate()
    try pool.free(block)
    #expect(bench.probe.write(block.bus + 18, [0x21, 0xa7, 0x44, 0x43]))
    let again = try pool.allocate()
    #expect(again == block, "handed out all the same")
    #expect(pool.corruptions == [PoolCorruption(bus: block.bus, changed: 18..<22)])
    // Once reported, the block is as new.
    try pool.free(again)
    #expect(try pool.allocate() == block)
    #expect(pool.corruptions.count == 1)
  }

  @Test(arguments: Setup.poolCases)
  func `T11 a poisoned pool grows as any other, in atomic context too`(setup: Setup) throws {
    let bench = try setup.make()
    let lock = DMASpinLock()
    let pool = try lock.withLock { try bench.pools().make(size: 1024, options: .poisoned) }
    for _ in 0..<20 { _ = try lock.withLock { try pool.allocate() } }
    #expect(pool.numbers.pages == 5 && pool.numbers.active == 20)
  }

  @Test(arguments: Setup.poolCases)
  func `R64 R67 pools work in interrupts and with locks held, without waiting`(setup: Setup) throws
  {
    let bench = try setup.make()
    try ExecutionContext.withInterrupt {
      let pool = try bench.pools().make("irq", size: 64)
      try pool.free(pool.allocate())
    }
    let lock = DMASpinLock()
    try lock.withLock {
      let pool = try bench.pools().make("locked", size: 64)
      _ = try pool.allocate()
      #expect(throws: DMAError.wouldBlock) {
        _ = try pool.allocate(deadlineNanoseconds: .max)
      }
    }
  }

  @Test(arguments: Setup.poolCases)
  func `R67 a waiter wakes when another thread frees, and gives up at its deadline`(
    setup: Setup
  ) throws {
    let (bench, held) = try exhausted(setup)
    let pool = try #require(held.pool)
    let block = try #require(held.block)
    let start = bench.platform.nanoseconds
    #expect(throws: DMAError.timedOut) {
      _ = try pool.allocate(deadlineNanoseconds: start + 3_000_000)
    }
    #expect(bench.platform.nanoseconds >= start + 3_000_000)
    let got = Mutex<Block?>(nil)
    let isWaiting = Atomic(false)
    onTwoThreads {
      isWaiting.store(true, ordering: .releasing)
      let found = try? pool.allocate(deadlineNanoseconds: .max)
      got.withLock { $0 = found }
    } and: {
      while !isWaiting.load(ordering: .acquiring) { sched_yield() }
      for _ in 0..<1000 { sched_yield() }
      try? pool.free(block)
    }
    #expect(got.withLock { $0 } == block)
  }

  @Test(arguments: Setup.poolCases)
  func `R68 without memory a pool gives neither address, and counts nothing`(setup: Setup) throws {
    let (_, held) = try exhausted(setup)
    let pool = try #require(held.pool)
    let block = try #require(held.block)
    let before = pool.numbers
    for _ in 0..<3 {
      do throws(DMAError) {
        _ = try pool.allocate()
        Issue.record("there is memory after all")
      } catch { #expect(error.isTransient, "\(error)") }
    }
    #expect(pool.numbers == before)
    try pool.free(block)
    #expect(try pool.allocate() == block)
  }

  @Test(arguments: Setup.poolCases)
  func `R69 T19 wrong frees are told apart, and nothing happens`(setup: Setup) throws {
    let bench = try setup.make()
    let pools = bench.pools()
    let pool = try pools.make("checked", size: 48, align: 16)
    let other = try pools.make("other", size: 48, align: 16)
    let one = try pool.allocate()
    let two = try pool.allocate()
    let strange = try other.allocate()
    // Foreign, inside of a block, behind the last block of the page, nowhere.
    for bus in [
      strange.bus, one.bus + 16, one.bus / 4096 * 4096 + 85 * 48, 0x1234_5678_9abc,
    ] {
      #expect(throws: DMAError.notInPool(DMAAddress(rawValue: bus))) {
        try pool.free(Block(cpu: one.cpu, bus: bus))
      }
    }
    for cpu in [two.cpu, 0] {
      #expect(throws: DMAError.wrongCPUAddress) {
        try pool.free(Block(cpu: cpu, bus: one.bus))
      }
    }
    #expect(pool.numbers.active == 2)
    try pool.free(one)
    #expect(throws: DMAError.blockNotAllocated(DMAAddress(rawValue: one.bus))) {
      try pool.free(one)
    }
    #expect(pool.numbers.active == 1)
    try pool.free(two)
    #expect(pool.numbers.active == 0)
  }

  @Test(arguments: Setup.poolCases)
  func `R70 T14 empty pages stay until the pool is destroyed, and then all go`(setup: Setup) throws
  {
    let bench = try setup.make()
    let free = bench.freeByteCount
    let pool = try bench.pools().make("pages", size: 1024)
    #expect(bench.freeByteCount == free, "a pool without blocks has no memory")
    let blocks = try (0..<10).map { _ in try pool.allocate() }
    #expect(pool.numbers.pages == 3)
    for block in blocks { try pool.free(block) }
    #expect(pool.numbers == PoolNumbers(active: 0, total: 12, blockSize: 1024, pages: 3))
    #expect(bench.freeByteCount == free - 3 * 4096)
    try pool.destroy()
    #expect(bench.freeByteCount == free && bench.dma.liveCoherentCount == 0)
    try pool.destroy()
  }

  @Test(arguments: Setup.poolCases)
  func `R71 destroying a busy pool is refused, and its blocks stay as they are`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make("busy", size: 64)
    let one = try pool.allocate()
    let two = try pool.allocate()
    one[0] = 0x1122
    #expect(throws: DMAError.poolBusy(blockCount: 2)) { try pool.destroy() }
    // The device goes on as if nothing had happened.
    #expect(bench.probe.read(one.bus, byteCount: 2) == [0x22, 0x11])
    #expect(bench.probe.write(two.bus, [5]))
    try #require(bench.dma.liveCoherentCount == 1)
    try pool.free(one)
    #expect(throws: DMAError.poolBusy(blockCount: 1)) { try pool.destroy() }
    try pool.free(two)
    try pool.destroy()
    #expect(bench.dma.liveCoherentCount == 0)
  }

  @Test(arguments: Setup.poolCases)
  func `R71 a pool that ends before its blocks keeps their memory`(setup: Setup) throws {
    let bench = try setup.make()
    var pool: (any TestedPool)? = try bench.pools().make("early", size: 64)
    let block = try #require(try pool?.allocate())
    block[0] = 77
    pool = nil
    try #require(bench.dma.liveCoherentCount == 1)
    #expect(bench.probe.write(block.bus + 8, [9]))
    #expect(block[0] == 77 && block[8] == 9)
  }

  @Test(arguments: Setup.poolCases)
  func `T10 a pool is not destroyed in an interrupt`(setup: Setup) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make("irq", size: 64)
    try pool.free(pool.allocate())
    _ = ExecutionContext.withInterrupt {
      #expect(throws: DMAError.forbiddenInInterrupt) { try pool.destroy() }
    }
    try pool.destroy()
    #expect(bench.dma.liveCoherentCount == 0)
  }

  @Test(arguments: Setup.poolCases)
  func `T15 blocks can be freed while the pool gets memory`(setup: Setup) throws {
    // The mapping's own allocation frees a block of the pool that asks it: with the pool's lock
    // held that would never end.
    var setup = setup
    setup.defect = .freesMeanwhile
    let bench = try setup.make()
    let pool = try bench.pools().make(size: 4096)
    let first = try pool.allocate()
    Meanwhile.set(bench.dma) { () throws(DMAError) in try pool.free(first) }
    // Whichever it is: the one that was freed meanwhile may well be it.
    _ = try pool.allocate()
    let (isDone, failure) = Meanwhile.result(bench.dma)
    #expect(isDone, "the block was freed in the middle")
    #expect(failure == nil)
    #expect(pool.numbers.active == 1 && pool.numbers.pages == 2)
  }

  @Test(arguments: Setup.poolCases)
  func `T21 a pool that zeroes does so each time, also a block used before`(setup: Setup) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make(size: 64, options: .zeroed)
    let block = try pool.allocate()
    #expect(block[0] == 0 && block[56] == 0)
    block[0] = .max
    block[56] = .max
    try pool.free(block)
    let again = try pool.allocate()
    #expect(again == block && again[0] == 0 && again[56] == 0)
  }

  // MARK: Support

  /// A pool with one block of a page each, on a machine that has no more coherent memory.
  private struct Exhausted {
    var pool: (any TestedPool)?
    var block: Block?
    var hoard: [CoherentMemory]
  }

  private func exhausted(_ setup: Setup) throws -> (Bench, Exhausted) {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 32 << 20
    let bench = try setup.make(configuration)
    let pool = try bench.pools().make("tight", size: 4096)
    let block = try pool.allocate()
    var hoard: [CoherentMemory] = []
    var byteCount = 4 << 20
    while byteCount >= 4096 {
      let memory = try? bench.dma.allocateConsistent(
        byteCount: byteCount, site: CallSite(#fileID, #line))
      if let memory { hoard.append(memory) } else { byteCount /= 2 }
    }
    #expect(!hoard.isEmpty)
    return (bench, Exhausted(pool: pool, block: block, hoard: hoard))
  }
}

/// Runs both at once, and returns when both are done.
private func onTwoThreads(
  _ one: @escaping @Sendable () -> Void, and two: @escaping @Sendable () -> Void
) {
  final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  // SAFETY: the new thread takes over the retained object.
  let code = unsafe pthread_create(
    &thread, nil,
    { pointer in
      guard let pointer = unsafe pointer else { return nil }
      unsafe Unmanaged<Start>.fromOpaque(pointer).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Start(two)).toOpaque())
  precondition(code == 0, "no more threads")
  one()
  pthread_join(thread, nil)
}
