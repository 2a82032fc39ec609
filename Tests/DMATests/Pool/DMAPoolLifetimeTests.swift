import DMA
import SimulatedMachine
import TestSupport
import Testing

@Suite struct DMAPoolLifetimeTests {
  @Test func `a block that is a value is not freed by address`() throws {
    let test = try TestMachine()
    let site = CallSite(#fileID, #line)
    let pool = try DMAPool(name: "checked", blockSize: 48, alignment: 16, for: test.device)
    let two = try pool.allocateRaw(site)
    // A value's block is not to be freed by address.
    let block = try pool.allocate()
    let owned = block.address
    #expect(throws: DMAError.blockNotAllocated(owned)) {
      try unsafe pool.freeRaw(cpuAddress: two.cpuAddress + 48, address: owned, site)
    }
    #expect(pool.statistics.activeCount == 2)
    block.free()
    try unsafe pool.freeRaw(cpuAddress: two.cpuAddress, address: two.address, site)
    #expect(pool.statistics.activeCount == 0)
  }

  @Test func `a pool that ends before its blocks keeps them usable, and says how many`() throws {
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

  @Test func `blocks by address of a pool that is gone stay until the device is quiet`() throws {
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

  @Test func `a pool that ends in an interrupt has its memory freed later`() throws {
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
