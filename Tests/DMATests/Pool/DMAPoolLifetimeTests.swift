import DMA
import SimulatedMachine
import TestSupport
import Testing

@Suite struct DMAPoolLifetimeTests {
  @Test func `R69 T19 wrong frees are told apart, and nothing happens`() throws {
    let test = try TestMachine()
    let site = CallSite(#fileID, #line)
    let pool = try DMAPool(name: "checked", blockSize: 48, alignment: 16, for: test.device)
    let other = try DMAPool(name: "other", blockSize: 48, alignment: 16, for: test.device)
    let one = try pool.allocateRaw(site)
    let two = try pool.allocateRaw(site)
    let strange = try other.allocateRaw(site)
    // Foreign, inside of a block, behind the last block of the page, nowhere.
    for address in [
      strange.address, one.address.advanced(by: 16),
      DMAAddress(rawValue: one.address.rawValue / 4096 * 4096 + 85 * 48),
      DMAAddress(rawValue: 0x1234_5678_9abc),
    ] {
      #expect(throws: DMAError.notInPool(address)) {
        try unsafe pool.freeRaw(cpuAddress: one.cpuAddress, address: address, site)
      }
    }
    #expect(throws: DMAError.wrongCPUAddress) {
      try unsafe pool.freeRaw(cpuAddress: two.cpuAddress, address: one.address, site)
    }
    #expect(throws: DMAError.wrongCPUAddress) {
      try unsafe pool.freeRaw(cpuAddress: nil, address: one.address, site)
    }
    #expect(pool.statistics.activeCount == 2)
    try unsafe pool.freeRaw(cpuAddress: one.cpuAddress, address: one.address, site)
    let address = one.address
    #expect(throws: DMAError.blockNotAllocated(address)) {
      try unsafe pool.freeRaw(cpuAddress: one.cpuAddress, address: address, site)
    }
    // A value's block is not to be freed by address.
    let block = try pool.allocate()
    let owned = block.address
    #expect(throws: DMAError.blockNotAllocated(owned)) {
      try unsafe pool.freeRaw(cpuAddress: one.cpuAddress, address: owned, site)
    }
    #expect(pool.statistics.activeCount == 2)
    block.free()
    try unsafe pool.freeRaw(cpuAddress: two.cpuAddress, address: two.address, site)
    #expect(pool.statistics.activeCount == 0)
  }

  @Test func `R70 T14 empty pages stay until the pool is destroyed`() throws {
    let test = try TestMachine()
    let free = test.machine.freeByteCount
    let pool = try DMAPool(name: "pages", blockSize: 1024, for: test.device)
    #expect(test.machine.freeByteCount == free, "a pool without blocks has no memory")
    var blocks: [CoherentMemory] = []
    let site = CallSite(#fileID, #line)
    for _ in 0..<10 { blocks.append(try pool.allocateRaw(site)) }
    #expect(pool.statistics.pageCount == 3)
    for block in blocks {
      try unsafe pool.freeRaw(cpuAddress: block.cpuAddress, address: block.address, site)
    }
    let statistics = pool.statistics
    #expect(statistics.pageCount == 3 && statistics.emptyPageCount == 3)
    #expect(statistics.activeCount == 0 && statistics.totalCount == 12)
    #expect(test.machine.freeByteCount == free - 3 * 4096)
    try pool.destroy()
    #expect(test.machine.freeByteCount == free)
    #expect(test.device.poolInfo == nil)
    try pool.destroy()
  }

  @Test func `R71 destroying a busy pool is refused with the number of blocks`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "busy", blockSize: 64, for: test.device)
    let one = try pool.allocate()
    let two = try pool.allocate()
    #expect(throws: DMAError.poolBusy(blockCount: 2)) { try pool.destroy() }
    one.free()
    #expect(throws: DMAError.poolBusy(blockCount: 1)) { try pool.destroy() }
    two.free()
    try pool.destroy()
    #expect(test.device.liveCoherentCount == 0)
  }

  @Test func `R71 a pool that ends before its blocks keeps them usable, and says how many`() throws
  {
    let test = try TestMachine()
    let events = EventRecorder.listen(to: test.device)
    var pool: DMAPool? = try DMAPool(name: "early", blockSize: 64, for: test.device)
    guard let block = try pool?.allocate() else { return }
    block[0, as: UInt64.self] = 0x1122
    pool = nil
    let ends = events.events(.poolDestroy)
    #expect(ends.count == 1 && ends.first?.event.entryCount == 1)
    #expect(test.device.liveCoherentCount == 1)
    #expect(test.device.poolInfo == nil)
    block[8, as: UInt64.self] = 5
    check(block[0, as: UInt64.self] == 0x1122)
    test.device.declareQuiet()
    #expect(test.device.liveCoherentCount == 1, "the value is still there")
    block.free()
    #expect(test.device.liveCoherentCount == 0, "the last block takes the rest with it")
  }

  @Test func `R71 blocks by address of a pool that is gone stay until the device is quiet`() throws
  {
    let test = try TestMachine()
    let site = CallSite(#fileID, #line)
    var pool: DMAPool? = try DMAPool(name: "c", blockSize: 64, for: test.device)
    let block = try #require(try pool?.allocateRaw(site))
    unsafe block.cpuAddress.storeBytes(of: 77, as: UInt64.self)
    pool = nil
    #expect(test.device.liveCoherentCount == 1)
    #expect(unsafe block.cpuAddress.load(as: UInt64.self) == 77)
    test.device.declareQuiet()
    #expect(test.device.liveCoherentCount == 0)
  }

  @Test func `T10 a pool is not destroyed in an interrupt`() throws {
    let test = try TestMachine()
    var pool: DMAPool? = try DMAPool(name: "irq", blockSize: 64, for: test.device)
    (try pool?.allocate())?.free()
    ExecutionContext.withInterrupt {
      #expect(throws: DMAError.forbiddenInInterrupt) { try pool?.destroy() }
      pool = nil
      #expect(test.device.liveCoherentCount == 1, "its memory waits")
    }
    _ = try CoherentBuffer<UInt64>(count: 1, for: test.device)
    #expect(test.device.liveCoherentCount == 0, "freed by the next call from ordinary code")
  }

  @Test func `a block outlives pool, device and platform objects`() throws {
    func make() throws -> DMAPoolBlock {
      let test = try TestMachine()
      let pool = try DMAPool(name: "gone", blockSize: 64, for: test.device)
      return try pool.allocateZeroed()
    }
    let block = try make()
    block[0, as: UInt64.self] = 42
    check(block[0, as: UInt64.self] == 42)
  }

  @Test func `R59 R70 statistics are those of Linux's file, newest pool first`() throws {
    let test = try TestMachine()
    #expect(test.device.poolInfo == nil)
    let site = CallSite(#fileID, #line)
    var first: DMAPool? = try DMAPool(
      name: "ohci_td", blockSize: 60, alignment: 32, for: test.device)
    let second = try DMAPool(name: "ohci_td", blockSize: 5000, for: test.device)
    let long = try DMAPool(
      name: "a name that is longer than 31 bytes", blockSize: 1, for: test.device)
    for _ in 0..<3 { _ = try first?.allocateRaw(site) }
    _ = try second.allocateRaw(site)
    _ = try second.allocateRaw(site)
    #expect(
      test.device.poolInfo == """
        poolinfo - 0.1
        a name that is longer than 31 b    0    0    1  0
        ohci_td             2    2 5000  2
        ohci_td             3   64   64  1

        """)
    #expect(long.statistics.pageCount == 0)
    first = nil
    #expect(test.device.poolInfo?.hasSuffix("ohci_td             2    2 5000  2\n") == true)
  }

  @Test func `observers hear of pools and blocks, with pages as coherent memory`() throws {
    let test = try TestMachine()
    let events = EventRecorder.listen(to: test.device)
    var pool: DMAPool? = try DMAPool(name: "heard", blockSize: 64, for: test.device)
    let line = #line + 1
    guard let block = try pool?.allocate() else { return }
    let address = block.address.rawValue
    block.free()
    pool = nil
    #expect(
      events.kinds == [
        .deviceAdded, .poolCreate, .allocate, .poolAllocate, .poolFree, .poolDestroy, .free,
      ])
    let allocate = try #require(events.events(.poolAllocate).first?.event)
    #expect(allocate.pool == 1 && allocate.byteCount == 64 && allocate.dmaAddress == address)
    #expect(allocate.family == .pool)
    if case .callSite(let site) = allocate.origin {
      #expect(site.description == "DMATests/DMAPoolLifetimeTests.swift:\(line)")
    } else {
      Issue.record("no call site")
    }
    let free = try #require(events.events(.poolFree).first?.event)
    #expect(free.dmaAddress == address && free.cpuAddress == allocate.cpuAddress)
  }
}
