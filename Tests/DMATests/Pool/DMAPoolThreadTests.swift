import DMA
import Glibc
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

@Suite struct DMAPoolThreadTests {
  /// Takes all coherent memory of the device, so that a pool cannot grow.
  ///
  /// The last element is a single page, whatever sizes the others came in.
  private static func exhaust(_ device: DMADevice) -> [CoherentMemory] {
    var taken: [CoherentMemory] = []
    let page = try? device.allocateConsistent(byteCount: 4096, site: CallSite(#fileID, #line))
    var byteCount = 4 << 20
    while byteCount >= 4096 {
      let memory = try? device.allocateConsistent(
        byteCount: byteCount, site: CallSite(#fileID, #line))
      if let memory = memory { taken.append(memory) } else { byteCount /= 2 }
    }
    if let page { taken.append(page) }
    return taken
  }

  @Test func `no block has two owners, whoever allocates and whoever frees`() throws {
    var random = SeededGenerator()
    let seed = random.next()
    let test = try TestMachine()
    for size in [16, 4096] {
      let pool = try DMAPool(name: "threads", blockSize: size, for: test.device)
      // Where a thread leaves blocks for whoever comes next.
      let shelf = Mutex<[(UInt, UInt64)]>([])
      let clashes = Atomic(0)
      onThreads(4) { index in
        var random = SeededGenerator(seed: seed &+ UInt64(index))
        var own: [(UInt, UInt64)] = []
        let mark = UInt64(index + 1) << 32
        for step in 0..<20_000 {
          if own.count < 100, Bool.random(using: &random),
            let block = try? pool.allocateRaw(CallSite(#fileID, #line))
          {
            let stamp = mark + UInt64(step)
            unsafe block.cpuAddress.storeBytes(of: stamp, as: UInt64.self)
            unsafe own.append((UInt(bitPattern: block.cpuAddress), block.address.rawValue))
            unsafe block.cpuAddress.storeBytes(of: stamp, toByteOffset: 8, as: UInt64.self)
          } else if !own.isEmpty {
            let block = own.remove(at: Int.random(in: 0..<own.count, using: &random))
            let memory = unsafe UnsafeMutableRawPointer(bitPattern: block.0)
            if unsafe memory?.load(as: UInt64.self)
              != memory?.load(fromByteOffset: 8, as: UInt64.self)
            {
              clashes.add(1, ordering: .relaxed)
            }
            // Half of the blocks are freed by another thread than they were allocated by.
            var freed = block
            if Bool.random(using: &random) {
              let other = shelf.withLock { shelf -> (UInt, UInt64)? in
                shelf.append(block)
                return shelf.count > 50 ? shelf.removeFirst() : nil
              }
              guard let other else { continue }
              freed = other
            }
            do {
              try unsafe pool.freeRaw(
                cpuAddress: UnsafeMutableRawPointer(bitPattern: freed.0),
                address: DMAAddress(rawValue: freed.1), CallSite(#fileID, #line))
            } catch {
              clashes.add(1, ordering: .relaxed)
            }
          }
          if step % 5000 == 0 { _ = pool.statistics }
        }
        shelf.withLock { $0 += own }
      }
      #expect(clashes.load(ordering: .relaxed) == 0)
      let rest = shelf.withLock { $0 }
      #expect(pool.statistics.activeCount == rest.count)
      #expect(Set(rest.map(\.1)).count == rest.count)
      for block in rest {
        try unsafe pool.freeRaw(
          cpuAddress: UnsafeMutableRawPointer(bitPattern: block.0),
          address: DMAAddress(rawValue: block.1), CallSite(#fileID, #line))
      }
      try pool.destroy()
    }
    #expect(test.device.liveCoherentCount == 0)
  }

  @Test func `the last memory is found also when another thread keeps it for itself`() throws {
    let test = try TestMachine(memoryByteCount: 32 << 20)
    let pool = try DMAPool(name: "tight", blockSize: 64, for: test.device)
    // 64 blocks of one page; a thread frees them all and stays, with its own free blocks.
    let site = CallSite(#fileID, #line)
    var raw: [(UInt, DMAAddress)] = []
    for _ in 0..<64 {
      let block = try pool.allocateRaw(site)
      unsafe raw.append((UInt(bitPattern: block.cpuAddress), block.address))
    }
    let blocks = raw
    let isFreed = Atomic(false)
    let isDone = Atomic(false)
    let hoard = Self.exhaust(test.device)
    #expect(!hoard.isEmpty)
    #expect(throws: DMAError.self) { _ = try pool.allocate().address }
    let cached = Atomic(-1)
    let got = Atomic(0)
    onThreads(2) { index in
      if index == 0 {
        for block in blocks {
          try? unsafe pool.freeRaw(
            cpuAddress: UnsafeMutableRawPointer(bitPattern: block.0), address: block.1, site)
        }
        isFreed.store(true, ordering: .releasing)
        while !isDone.load(ordering: .acquiring) { sched_yield() }
      } else {
        while !isFreed.load(ordering: .acquiring) { sched_yield() }
        cached.store(pool.statistics.cachedCount, ordering: .relaxed)
        while (try? pool.allocateRaw(site)) != nil { got.add(1, ordering: .relaxed) }
        isDone.store(true, ordering: .releasing)
      }
    }
    #expect(cached.load(ordering: .relaxed) > 0, "the first thread kept some")
    #expect(got.load(ordering: .relaxed) == 64)
    #expect(pool.statistics.pageCount == 1)
  }

  @Test func `a waiter wakes when another thread frees`() throws {
    let test = try TestMachine(memoryByteCount: 32 << 20)
    let pool = try DMAPool(name: "wait", blockSize: 4096, for: test.device)
    let site = CallSite(#fileID, #line)
    let block = try pool.allocateRaw(site)
    let cpu = unsafe UInt(bitPattern: block.cpuAddress)
    let address = block.address
    let hoard = Self.exhaust(test.device)
    #expect(!hoard.isEmpty)
    let isWaiting = Atomic(false)
    let result = Mutex<DMAAddress?>(nil)
    onThreads(2) { index in
      if index == 0 {
        isWaiting.store(true, ordering: .releasing)
        let got = try? pool.allocateRaw(deadlineNanoseconds: .max, site)
        result.withLock { $0 = got?.address }
      } else {
        while !isWaiting.load(ordering: .acquiring) { sched_yield() }
        for _ in 0..<1000 { sched_yield() }
        try? unsafe pool.freeRaw(
          cpuAddress: UnsafeMutableRawPointer(bitPattern: cpu), address: address, site)
      }
    }
    #expect(result.withLock { $0 } == address)
  }

  @Test func `a waiter also finds memory that is freed elsewhere, and gives up in time`() throws {
    let test = try TestMachine(memoryByteCount: 32 << 20)
    let pool = try DMAPool(name: "wait", blockSize: 4096, for: test.device)
    let hoard = Self.exhaust(test.device)
    let start = test.platform.nanoseconds
    #expect(throws: DMAError.timedOut) {
      _ = try pool.allocate(deadlineNanoseconds: start + 5_000_000).address
    }
    #expect(test.platform.nanoseconds >= start + 5_000_000)
    #expect(pool.statistics.pageCount == 0, "nothing is left behind")
    let last = try #require(hoard.last)
    try unsafe test.device.freeConsistent(
      byteCount: 4096, cpuAddress: last.cpuAddress, address: last.address,
      site: CallSite(#fileID, #line))
    let block = try pool.allocate(deadlineNanoseconds: test.platform.nanoseconds + 1)
    check(block.byteCount == 4096)
    // With a waiter gone, threads keep blocks for themselves again.
    block.free()
    #expect(pool.statistics.cachedCount == 1)
  }

  @Test func `more threads than there are slots share what is left`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "many", blockSize: 64, for: test.device)
    let failures = Atomic(0)
    let arrived = Atomic(0)
    onThreads(80) { _ in
      // All at once, so that slots run out.
      arrived.add(1, ordering: .acquiringAndReleasing)
      while arrived.load(ordering: .acquiring) < 80 { sched_yield() }
      for _ in 0..<200 {
        if let block = try? pool.allocate() {
          block[0, as: UInt64.self] = 1
        } else {
          failures.add(1, ordering: .relaxed)
        }
      }
    }
    #expect(failures.load(ordering: .relaxed) == 0)
    #expect(pool.statistics.activeCount == 0)
    try pool.destroy()
  }
}
