import DMA
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

@Suite struct QueueTests {
  /// What a random command did.
  private struct Expected {
    var first: UInt64
    var byteCount: Int
    var isRead: Bool
  }

  @Test(arguments: Setup.allCases, [NVMeDevice.Completion.polling, .interrupt])
  func `many commands run at once and complete in any order, each with its own bytes`(
    setup: Setup, completion: NVMeDevice.Completion
  ) throws {
    var random = SeededGenerator()
    let bench = try Bench(setup, seed: random.next())
    let nvme = try bench.open {
      $0.queueCapacity = 32
      $0.completion = completion
      $0.transferByteCountMax = 64 << 10
    }
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    // Every command has blocks of its own: 128 from tag * 128 on.
    var disk = [UInt64: [UInt8]]()
    var running = [UInt64: Expected]()
    var order: [UInt64] = []
    var inOrder = true
    for round in 0..<400 {
      while queue.runningCount < queue.capacity, round < 380 {
        let place = UInt64.random(in: 0..<64, using: &random)
        guard running[place] == nil else { break }
        let byteCount = Int.random(in: 1...128, using: &random) * 512
        let known = disk[place].map { $0.count >= byteCount } ?? false
        let isRead = known && Bool.random(using: &random)
        running[place] = Expected(first: place * 128, byteCount: byteCount, isRead: isRead)
        order.append(place)
        if isRead {
          let buffer = try StreamingBuffer(byteCount: byteCount, in: bench.platform)
          let mapping = try buffer.map(FromDevice.self, for: nvme.device.dma).get()
          try queue.read(mapping, fromBlock: place * 128, of: namespace, tag: place).get()
        } else {
          let seed = UInt8.random(in: 0...255, using: &random)
          let bytes = Bench.pattern(byteCount, seed: seed)
          disk[place] = bytes + (disk[place]?.dropFirst(byteCount) ?? [])
          let buffer = try bench.buffer(byteCount, seed: seed)
          let mapping = try buffer.map(ToDevice.self, for: nvme.device.dma).get()
          try queue.write(mapping, toBlock: place * 128, of: namespace, tag: place).get()
        }
      }
      guard let done = try queue.next() else { break }
      #expect(done.error == nil)
      let tag = done.tag
      if order.first != tag { inOrder = false }
      order.removeAll { $0 == tag }
      let known = running.removeValue(forKey: tag)
      let expected = try #require(known)
      guard case .single(let buffer) = done.takeTransfer().unmap() else {
        Issue.record("the memory is lost")
        continue
      }
      if expected.isRead {
        let got = buffer.array
        #expect(got[...] == disk[tag]?.prefix(expected.byteCount), "place \(tag)")
      }
    }
    while let left = try queue.next() { _ = left.takeTransfer().unmap() }
    #expect(!inOrder)
    #expect(bench.controller.takeViolations() == [])
    #expect(bench.machine.incidentCount == 0)
  }

  @Test(arguments: Setup.allCases)
  func `R83 lists move in one command, whatever pages they consist of`(setup: Setup) throws {
    let bench = try Bench(setup)
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    // 1, 2, 3 pages, one more than a small list holds, and the longest command.
    for pageCount in [1, 2, 3, 34, 128] {
      var list = ScatterBuffer(capacity: pageCount)
      for index in 0..<pageCount {
        list.append(try bench.buffer(4096, seed: UInt8(truncatingIfNeeded: index)))
      }
      let mapping = try list.map(ToDevice.self, for: nvme.device.dma).get()
      try queue.write(mapping, toBlock: 64, of: namespace).get()
      _ = try queue.finishOne()
      var got = try StreamingBuffer(byteCount: pageCount * 4096, in: bench.platform)
      try queue.read(into: &got, fromBlock: 64, of: namespace)
      let bytes = got.array
      for index in 0..<pageCount {
        let page = bytes[index * 4096..<index * 4096 + 4096]
        #expect(Array(page) == Bench.pattern(4096, seed: UInt8(truncatingIfNeeded: index)))
      }
    }
    #expect(counter.live == 0)
    #expect(counter.counts.dropped == 0)
  }

  @Test func `a list with gaps inside of pages is refused and comes back`() throws {
    let bench = try Bench()
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    var list = ScatterBuffer(capacity: 2)
    list.append(try bench.buffer(4096), bytes: 0..<512)
    list.append(try bench.buffer(4096), bytes: 0..<512)
    let mapping = try list.map(ToDevice.self, for: nvme.device.dma).get()
    switch nvme.queues[0].write(mapping, toBlock: 0, of: namespace) {
    case .accepted: Issue.record("accepted")
    case .refused(let transfer, let error):
      guard case .misaligned = error else {
        Issue.record("\(error)")
        return
      }
      guard case .list(let list) = transfer.unmap() else {
        Issue.record("the memory is lost")
        return
      }
      check(list.byteCount == 1024)
    }
  }

  @Test func `PRP lists are chained over pages where a command needs more than 512 entries`()
    throws
  {
    let bench = try Bench { $0.transferByteCountMax = 8 << 20 }
    let nvme = try bench.open { $0.transferByteCountMax = 8 << 20 }
    #expect(nvme.transferByteCountMax == 8 << 20)
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    // 512 entries fill a page exactly; 513 need a second one; 8 MiB need five.
    for byteCount in [513 * 4096, 514 * 4096, 1024 * 4096, 8 << 20] {
      var source = try bench.buffer(byteCount, seed: 9)
      var destination = try StreamingBuffer(byteCount: byteCount, in: bench.platform)
      let before = bench.controller.statistics.fetched
      try queue.write(from: &source, toBlock: 8, of: namespace)
      try queue.read(into: &destination, fromBlock: 8, of: namespace)
      #expect(bench.controller.statistics.fetched - before == 2)
      #expect(destination.array == source.array)
    }
    #expect(bench.machine.incidentCount == 0)
  }

  @Test func `write zeroes and flush do what they say`() throws {
    let bench = try Bench()
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    var buffer = try bench.buffer(1 << 20)
    try queue.write(from: &buffer, toBlock: 0, of: namespace)
    try queue.writeZeroes(firstBlock: 3, blockCount: 5, of: namespace)
    try queue.flush(namespace)
    var got = try StreamingBuffer(byteCount: 1 << 20, in: bench.platform)
    try queue.read(into: &got, fromBlock: 0, of: namespace)
    var expected = buffer.array
    for index in 3 * 512..<8 * 512 { expected[index] = 0 }
    #expect(got.array == expected)
    // More blocks than one command has.
    try queue.writeZeroes(firstBlock: 0, blockCount: namespace.blockCount, of: namespace)
    try queue.read(into: &got, fromBlock: 0, of: namespace)
    #expect(got.array == [UInt8](repeating: 0, count: 1 << 20))
  }

  @Test func `requests that cannot be are refused before the controller hears of them`() throws {
    let bench = try Bench()
    let nvme = try bench.open { $0.queueCapacity = 2 }
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    let before = bench.controller.statistics.fetched
    var buffer = try bench.buffer(4096)
    let last = namespace.blockCount - 7
    #expect(
      throws: NVMeError.outOfRange(firstBlock: last, blockCount: 8, limit: namespace.blockCount)
    ) {
      try queue.read(into: &buffer, fromBlock: last, of: namespace)
    }
    #expect(throws: NVMeError.self) {
      try queue.read(into: &buffer, fromBlock: .max, of: namespace)
    }
    #expect(throws: NVMeError.partialBlock(byteCount: 100, blockByteCount: 512)) {
      try queue.write(from: &buffer, bytes: 0..<100, toBlock: 0, of: namespace)
    }
    #expect(throws: NVMeError.self) {
      try queue.write(from: &buffer, bytes: 2..<514, toBlock: 0, of: namespace)
    }
    #expect(throws: NVMeError.dma(.wouldBlock)) {
      try DMASpinLock().withLock { () throws(NVMeError) in
        try queue.read(into: &buffer, fromBlock: 0, of: namespace)
      }
    }
    #expect(bench.controller.statistics.fetched == before)
    // Nothing of that has harmed the queue.
    try queue.read(into: &buffer, fromBlock: 0, of: namespace)
  }

  @Test func `a full queue gives the memory back, and works again after a completion`() throws {
    let bench = try Bench()
    let nvme = try bench.open { $0.queueCapacity = 2 }
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    for tag in 0..<2 as Range<UInt64> {
      let mapping = try StreamingBuffer(byteCount: 512, in: bench.platform)
        .map(FromDevice.self, for: nvme.device.dma).get()
      try queue.read(mapping, fromBlock: tag, of: namespace, tag: tag).get()
    }
    let third = try StreamingBuffer(byteCount: 512, in: bench.platform)
      .map(FromDevice.self, for: nvme.device.dma).get()
    switch queue.read(third, fromBlock: 2, of: namespace) {
    case .accepted: Issue.record("accepted")
    case .refused(let transfer, let error):
      #expect(error == .queueFull)
      _ = try queue.finishOne()
      guard case .read(let mapping) = transfer else {
        Issue.record("the memory is lost")
        return
      }
      try queue.read(mapping, fromBlock: 2, of: namespace).get()
    }
    #expect(throws: NVMeError.queueBusy(runningCount: 2)) { try queue.flush(namespace) }
    while let left = try queue.next() { _ = left.takeTransfer().unmap() }
  }

  @Test func `several queues work side by side, each completing its own commands`() throws {
    let bench = try Bench()
    let nvme = try bench.open {
      $0.queueCount = 4
      $0.queueCapacity = 4
      $0.completion = .interrupt
    }
    let namespace = try nvme.namespace()
    for (index, queue) in nvme.queues.enumerated() {
      let mapping = try bench.buffer(4096, seed: UInt8(index)).map(
        ToDevice.self, for: nvme.device.dma
      ).get()
      try queue.write(
        mapping, toBlock: UInt64(index * 8), of: namespace, tag: UInt64(index)
      ).get()
      queue.ring()
    }
    for (index, queue) in nvme.queues.enumerated().reversed() {
      #expect(try queue.finishOne() == UInt64(index))
    }
    var got = try StreamingBuffer(byteCount: 4 * 4096, in: bench.platform)
    try nvme.queues[2].read(into: &got, fromBlock: 0, of: namespace)
    #expect(got.array == (0..<4).flatMap { Bench.pattern(4096, seed: UInt8($0)) })
  }

  @Test func `doorbells nobody may ring are noticed and change nothing`() throws {
    let bench = try Bench()
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    let registers = try bench.pci.mapBAR(0)
    registers.write(1 as UInt32, at: 0x1000 + 2 * 5 * 4)
    registers.write(60000 as UInt32, at: 0x1000 + 2 * 4)
    registers.write(3 as UInt32, at: 0x1000 + 3 * 4)
    #expect(
      bench.controller.takeViolations() == [
        .doorbellOfNoQueue(offset: 0x1028),
        .doorbellValue(queue: 1, isCompletion: false, value: 60000),
        .doorbellValue(queue: 1, isCompletion: true, value: 3),
      ])
    var buffer = try bench.buffer(4096)
    try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
  }

  @Test(arguments: [1, 2, 7, 64])
  func `queues of any size wrap around`(capacity: Int) throws {
    let bench = try Bench { $0.entryCountMax = 65 }
    let nvme = try bench.open { $0.queueCapacity = capacity }
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(512)
    for round in 0..<300 as Range<UInt64> {
      try nvme.queues[0].write(from: &buffer, toBlock: round, of: namespace)
    }
    #expect(bench.controller.takeViolations() == [])
  }
}

extension NVMeQueue {
  /// Waits for a command that succeeds and frees its memory; returns its tag.
  func finishOne() throws -> UInt64 {
    guard let done = try next() else { throw NVMeError.stopped }
    let (tag, error) = (done.tag, done.error)
    _ = done.takeTransfer().unmap()
    if let error { throw error }
    return tag
  }
}
