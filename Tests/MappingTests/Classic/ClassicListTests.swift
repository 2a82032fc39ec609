import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

/// Lists by their entries, and what goes into them.
@Suite struct ClassicListTests {
  private func byte(_ address: UInt) -> UInt8 { UInt8.volatileLoad(at: address) }

  @Test(arguments: Setup.allCases)
  func `R83 R87 R92 R93 a list ends with the count it was mapped with, not the segments`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let memory = try bench.machine.allocatePages(byteCount: 5 * 4096, limit: 0xffff_ffff)
    // Whole pages that an IOMMU joins.
    let list = try ClassicList(
      bench, pieces: [(0, 4096), (8192, 4096), (16384, 4096), (4096, 100)], memory.address)
    for round in 0..<40 {
      let segments = try list.map(.fromDevice)
      try #require(segments == (setup.hasIOMMU ? 1 : 4))
      let bytes = pattern(3 * 4096 + 100, seed: UInt8(truncatingIfNeeded: round))
      try #require(list.write(bytes, segments))
      for wrong in [3, 5] {
        #expect(throws: DMAError.wrongEntryCount(expected: 4, given: wrong)) {
          try list.unmap(.fromDevice, count: wrong)
        }
      }
      if round == 0 {
        #expect(throws: DMAError.wrongEntryCount(expected: 4, given: 1)) {
          try list.sync(.fromDevice, count: 1, forCPU: true)
        }
      }
      try list.unmap(.fromDevice)
      let first = byte(memory.address)
      let last = byte(memory.address + 4096 + 99)
      try #require(first == bytes[0] && last == bytes[3 * 4096 + 99])
    }
    #expect(bench.dma.liveClassicCount == 0 && bench.usedSlots == 0)
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
  }

  @Test(arguments: Setup.allCases)
  func `R98 a whole list is synced, again and again, by one call`(setup: Setup) throws {
    let bench = try setup.make()
    let memory = try bench.machine.allocatePages(byteCount: 3 * 4096, limit: 0xffff_ffff)
    let list = try ClassicList(
      bench, pieces: [(100, 1000), (4096, 4096), (8192, 1)], memory.address)
    let segments = try list.map(.bidirectional)
    for round in 1..<20 as Range<UInt8> {
      let bytes = pattern(5097, seed: round)
      try #require(list.write(bytes, segments))
      try list.sync(.bidirectional, forCPU: true)
      for (offset, place) in [(100, 0), (1099, 999), (4096, 1000), (8191, 5095), (8192, 5096)] {
        let seen = byte(memory.address + UInt(offset))
        try #require(seen == bytes[place])
      }
      UInt8.volatileStore(round ^ 0x77, at: memory.address + 5000)
      try list.sync(.bidirectional, forCPU: false)
      #expect(list.read(segments)[1000 + 5000 - 4096] == round ^ 0x77)
    }
    try list.unmap(.bidirectional)
  }

  @Test(arguments: Setup.allCases)
  func `E8 R11 a vmalloc buffer is mapped as a list of the pages underneath`(setup: Setup) throws {
    let bench = try setup.make()
    if setup.kind == .direct { try bench.dma.setMask(.bits64) }
    let byteCount = 10 * 4096 - 80
    let area = try bench.machine.allocateVirtual(byteCount: 10 * 4096)
    // By its own address it is refused (R10); its pages, walked, are not.
    #expect(throws: DMAError.notDMAable(.vmalloc)) {
      _ = try bench.dma.scatterEntry(cpuAddress: area.address, byteCount: 64)
    }
    let pages = try bench.machine.walk(area.address + 40, byteCount: byteCount)
    #expect(pages.count >= 5 && pages.reduce(0) { $0 + $1.byteCount } == byteCount)
    let list = try ClassicList(bench, pages)
    let bytes = pattern(byteCount, seed: 8)
    for (index, byte) in bytes.enumerated() {
      UInt8.volatileStore(byte, at: area.address + 40 + UInt(index))
    }
    let out = try list.map(.toDevice)
    #expect(list.read(out) == bytes)
    try list.unmap(.toDevice)
    let into = try list.map(.fromDevice)
    let answer = pattern(byteCount, seed: 9)
    #expect(list.write(answer, into))
    try list.unmap(.fromDevice)
    let seen = (0..<byteCount).map { byte(area.address + 40 + UInt($0)) }
    #expect(seen == answer)
  }

  @Test(arguments: Setup.allCases)
  func `T7 a list of which one piece cannot be mapped is not mapped at all`(setup: Setup) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 6 << 30
    let bench = try setup.make(configuration)
    let low = try bench.machine.allocatePages(byteCount: 4 << 20, limit: 0xffff_ffff)
    var high: SimulatedMemory? = nil
    var pieces = [try bench.dma.scatterEntry(cpuAddress: low.address, byteCount: 100)]
    switch setup.kind {
    case .direct:
      let memory = try bench.machine.allocatePages(byteCount: 4096)
      pieces.append(try bench.dma.scatterEntry(cpuAddress: memory.address, byteCount: 4096))
      #expect(pieces[1].physicalAddress >= 1 << 32)
      high = consume memory
    case .bounce:
      // More than the pool has slots.
      for offset in stride(from: 0, to: 4 << 20, by: 65536) {
        pieces.append(
          try bench.dma.scatterEntry(cpuAddress: low.address + UInt(offset), byteCount: 65536))
      }
    case .iommuStrict, .iommuDeferred:
      try bench.dma.setMask(DMAMask(bitCount: 20))
      for offset in stride(from: 0, to: 2 << 20, by: 65536) {
        pieces.append(
          try bench.dma.scatterEntry(cpuAddress: low.address + UInt(offset), byteCount: 65536))
      }
    }
    let list = try ClassicList(bench, pieces)
    for _ in 0..<300 {
      #expect(throws: DMAError.self) { _ = try list.map(.bidirectional) }
      for index in 0..<list.count {
        try #require(list[index].byteCount == pieces[index].byteCount)
        try #require(list[index].dmaByteCount == 0, "an entry of a list that failed")
      }
    }
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
    #expect(bench.usedSlots == 0)
    // What was taken for the failed list is there for one that fits.
    let small = try ClassicList(bench, [pieces[0]])
    #expect(try small.map(.bidirectional) == 1)
    try small.unmap(.bidirectional)
    _ = high.take()
  }
}
