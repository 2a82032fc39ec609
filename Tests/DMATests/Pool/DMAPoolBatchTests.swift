import DMA
import SimulatedMachine
import TestSupport
import Testing

@Suite struct DMAPoolBatchTests {
  @Test func `a batch takes blocks that are all different, and gives the last ones back`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "ring", blockSize: 64, alignment: 64, for: test.device)
    var batch = DMAPoolBatch(of: pool, capacity: 300)
    // More than a thread keeps for itself, then less.
    try batch.allocate(count: 200)
    try batch.allocate(count: 32)
    check(batch.count == 232)
    #expect(pool.statistics.activeCount == 232)
    var addresses: Set<UInt64> = []
    for index in 0..<232 {
      let address = batch.address(of: index)
      addresses.insert(address.rawValue)
      batch.withBlock(index) { block in
        check(block.address == address)
        block[0, as: UInt64.self] = UInt64(index)
      }
    }
    #expect(addresses.count == 232)
    let rewritten = batch.withBlock(17) { $0[0, as: UInt64.self] }
    #expect(rewritten == 17)
    batch.free(count: 32)
    #expect(pool.statistics.activeCount == 200)
    batch.free(count: 200)
    #expect(pool.statistics.activeCount == 0)
    check(batch.count == 0)
  }

  @Test func `a block leaves a batch as a value and comes back`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "ring", blockSize: 32, for: test.device)
    var batch = DMAPoolBatch(of: pool, capacity: 2)
    try batch.allocate(count: 2)
    let last = batch.address(of: 1)
    let block = batch.removeLast()
    check(block.address == last)
    check(batch.count == 1)
    #expect(pool.statistics.activeCount == 2)
    batch.append(block)
    check(batch.address(of: 1) == last)
    batch.removeLast().free()
    #expect(pool.statistics.activeCount == 1)
  }

  @Test func `what is left in a batch goes back with it, the pool gone or not`() throws {
    let test = try TestMachine()
    let free = test.machine.freeByteCount
    do {
      let pool = try DMAPool(name: "ring", blockSize: 128, for: test.device)
      do {
        var batch = DMAPoolBatch(of: pool, capacity: 70)
        try batch.allocate(count: 70)
        #expect(pool.statistics.activeCount == 70)
      }
      #expect(pool.statistics.activeCount == 0)
    }
    #expect(test.machine.freeByteCount == free)
  }

  @Test func `a batch that cannot be whole is none`() throws {
    let test = try TestMachine(memoryByteCount: 32 << 20)
    let pool = try DMAPool(name: "large", blockSize: 4096, for: test.device)
    var batch = DMAPoolBatch(of: pool, capacity: 10000)
    try batch.allocate(count: 10)
    do {
      try batch.allocate(count: 9990)
      Issue.record("32 MiB hold 10000 pages")
    } catch {
      guard case .outOfMemory = error else { throw error }
    }
    check(batch.count == 10)
    #expect(pool.statistics.activeCount == 10)
  }

  @Test func `a zeroing pool zeroes each block of a batch`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "clean", blockSize: 64, for: test.device, options: [.zeroed])
    var batch = DMAPoolBatch(of: pool, capacity: 8)
    for _ in 0..<2 {
      try batch.allocate(count: 8)
      for index in 0..<8 {
        batch.withBlock(index) { block in
          check(block[56, as: UInt64.self] == 0)
          block[56, as: UInt64.self] = .max
        }
      }
      batch.free(count: 8)
    }
  }

  @Test func `observers hear of each block of a batch`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "heard", blockSize: 64, for: test.device)
    let recorder = EventRecorder.listen(to: test.device)
    var batch = DMAPoolBatch(of: pool, capacity: 3)
    try batch.allocate(count: 3)
    batch.free(count: 3)
    #expect(recorder.events(.poolAllocate).count == 3)
    #expect(recorder.events(.poolFree).count == 3)
  }
}
