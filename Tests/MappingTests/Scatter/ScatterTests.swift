import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

@Suite struct ScatterTests {
  @Test(arguments: ListMapping.allCases)
  func `R87 R88 R89 R91 the device gets the list's bytes in order, and the list comes back whole`(
    _ mapping: ListMapping
  ) throws {
    var random = SeededGenerator()
    let bench = try ScatterBench(mapping)
    for round in 0..<30 {
      var list = try ScatterBuffer.random(in: bench.platform, using: &random)
      let bytes = pattern(list.byteCount, seed: UInt8(round))
      list.fill(bytes)
      let lengths = list.entryLengths
      guard case .mapped(let out) = list.map(ToDevice.self, for: bench.dma) else {
        Issue.record("not mapped")
        return
      }
      let segmentCount = out.segmentCount
      #expect(segmentCount >= 1 && segmentCount <= lengths.count)
      if !mapping.merges { #expect(segmentCount == lengths.count) }
      check(bench.read(out) == bytes)
      var back = out.unmap()
      #expect(back.contents == bytes)
      #expect(back.entryLengths == lengths, "R91")
      // The same memory the other way.
      back.fill([UInt8](repeating: 0, count: bytes.count))
      let into = try back.map(FromDevice.self, for: bench.dma).get()
      let answer = pattern(bytes.count, seed: ~UInt8(round))
      check(bench.write(answer, into))
      let result = into.unmap()
      #expect(result.contents == answer, "R99")
      #expect(result.entryLengths == lengths, "R91")
    }
    #expect(bench.usedSlots == 0)
    #expect(bench.machine.incidentCount == 0)
  }

  @Test(arguments: ListMapping.allCases)
  func `R88 R91 R92 many pieces reach the device in the order of the list`(_ mapping: ListMapping)
    throws
  {
    let bench = try ScatterBench(mapping)
    var list = ScatterBuffer()
    for (offset, size) in [(16, 3000), (0, 200), (512, 4096), (64, 777)] {
      list.append(
        try StreamingBuffer(byteCount: offset + size, in: bench.platform),
        bytes: offset..<offset + size)
    }
    let bytes = pattern(list.byteCount, seed: 5)
    list.fill(bytes)
    let lengths = list.entryLengths
    let out = try list.map(Bidirectional.self, for: bench.dma).get()
    check(bench.read(out) == bytes)
    let answer = pattern(bytes.count, seed: 6)
    check(bench.write(answer, out))
    let back = out.unmap()
    #expect(back.entryLengths == lengths, "R91")
    if back.entryLengths == lengths { #expect(back.contents == answer, "R99") }
    #expect(bench.usedSlots == 0, "R92")
  }

  @Test(arguments: ListMapping.allCases)
  func `R96 R98 a synced list shows what the device wrote, again and again`(
    _ mapping: ListMapping
  ) throws {
    var random = SeededGenerator()
    let bench = try ScatterBench(mapping)
    let list = try ScatterBuffer.random(in: bench.platform, using: &random)
    let lengths = list.entryLengths
    let into = try list.map(FromDevice.self, for: bench.dma).get()
    for round in 0..<3 {
      let bytes = pattern(into.byteCount, seed: UInt8(round))
      check(bench.write(bytes, into))
      into.withBytesSyncedForCPU { entries in
        check(entries.count == lengths.count)
        var position = 0
        for (index, length) in lengths.enumerated() {
          let span = entries.bytes(of: index)
          check(span.byteCount == length)
          for offset in [0, length / 2, length - 1] {
            let byte = unsafe span.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            check(byte == bytes[position + offset])
          }
          position += length
        }
      }
      // One entry by itself, and a part of it.
      let index = Int.random(in: 0..<lengths.count, using: &random)
      let before = lengths[..<index].reduce(0, +)
      let part = lengths[index] / 3..<max(lengths[index] / 3 + 1, lengths[index] / 2)
      into.withBytesSyncedForCPU(ofEntry: index, part) { span in
        check(span.byteCount == part.count)
        let byte = unsafe span.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        check(byte == bytes[before + part.lowerBound])
      }
    }
    _ = into.unmap()
  }

  @Test(arguments: ListMapping.allCases)
  func `what the CPU changes in a synced part reaches the device`(_ mapping: ListMapping) throws {
    let bench = try ScatterBench(mapping)
    var list = ScatterBuffer()
    for _ in 0..<3 { list.append(try StreamingBuffer(byteCount: 4096, in: bench.platform)) }
    list.append(try StreamingBuffer(byteCount: 100, in: bench.platform), bytes: 10..<90)
    var out = try list.map(Bidirectional.self, for: bench.dma).get()
    out.withMutableBytesSyncedForCPU(ofEntry: 1, 8..<16) { span in
      span.storeBytes(of: 0x1122_3344_5566_7788, as: UInt64.self)
    }
    out.withMutableBytesSyncedForCPU { entries in
      var last = entries.bytes(of: 3)
      last.storeBytes(of: 9, toByteOffset: 79, as: UInt8.self)
    }
    let seen = bench.read(out) ?? []
    #expect(seen.count == 3 * 4096 + 80)
    #expect(Array(seen[4096 + 8..<4096 + 16]) == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
    #expect(seen[seen.count - 1] == 9)
    _ = out.unmap()
  }

  @Test(arguments: ListMapping.allCases)
  func `T23 an empty list is refused and comes back`(_ mapping: ListMapping) throws {
    let bench = try ScatterBench(mapping)
    guard case .failed(var list, let error) = ScatterBuffer().map(ToDevice.self, for: bench.dma)
    else {
      Issue.record("an empty list was mapped")
      return
    }
    #expect(error == .emptyRequest)
    list.append(try StreamingBuffer(byteCount: 1, in: bench.platform))
    #expect(throws: DMAError.emptyRequest) {
      _ = try ScatterBuffer().mapEach(ToDevice.self, for: bench.dma).get().segmentCount
    }
    let mapped = try list.map(ToDevice.self, for: bench.dma).get()
    check(mapped.segmentCount == 1)
    _ = mapped.unmap()
  }

  @Test(arguments: ListMapping.allCases)
  func `R94 a dropped list stays mapped in quarantine until the device is quiet`(
    _ mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(mapping)
    var address: UInt64 = 0
    do {
      let list = try ScatterBuffer(byteCount: 3 * 4096, in: bench.platform)
      let into = try list.map(FromDevice.self, for: bench.dma).get()
      address = into.segment(at: 0).address.rawValue
    }
    #expect(bench.dma.quarantined.mappingCount == 1)
    #expect(bench.dma.quarantined.byteCount == 3 * 4096)
    #expect(bench.probe.write(address, [1, 2, 3]), "the device may be in the middle of it")
    #expect(bench.dma.declareQuiet() == 1)
    #expect(bench.dma.quarantined.mappingCount == 0)
    #expect(bench.usedSlots == 0)
    if mapping.kind == .iommuStrict { #expect(!bench.probe.write(address, [1])) }
  }

  @Test(arguments: ListMapping.allCases)
  func `many buffers are mapped by one call, each with an address of its own`(
    _ mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(mapping)
    var ring = ScatterBuffer()
    for index in 0..<64 {
      var buffer = try StreamingBuffer(byteCount: 1500, in: bench.platform)
      var bytes = buffer.mutableBytes
      bytes.storeBytes(of: UInt8(index), as: UInt8.self)
      ring.append(buffer)
    }
    let out = try ring.mapEach(Bidirectional.self, for: bench.dma).get()
    check(out.segmentCount == 64)
    for index in 0..<64 {
      let segment = out.segment(at: index)
      #expect(segment.byteCount == 1500)
      #expect(bench.probe.read(segment.address.rawValue, byteCount: 1) == [UInt8(index)])
      #expect(bench.probe.write(segment.address.rawValue + 1499, [UInt8(index) ^ 0xff]))
    }
    out.withBytesSyncedForCPU(ofEntry: 5, 1499..<1500) { span in
      check(unsafe span.unsafeLoad(as: UInt8.self) == 5 ^ 0xff)
    }
    let back = out.unmap()
    for index in 0..<64 {
      let last = unsafe back.bytes(of: index).unsafeLoad(fromByteOffset: 1499, as: UInt8.self)
      #expect(last == UInt8(index) ^ 0xff)
    }
    #expect(bench.usedSlots == 0)
  }

  @Test func `a list of which one piece is out of reach comes back, and every event has its pair`()
    throws
  {
    let bench = try ScatterBench(.direct)
    try bench.dma.setMask(.bits32)
    for isEach in [false, true] {
      let events = ListRecorder.listen(to: bench.dma)
      var list = ScatterBuffer()
      list.append(try StreamingBuffer(byteCount: 100, for: bench.dma))
      list.append(try StreamingBuffer(byteCount: 5000, in: bench.platform, placement: .high))
      list.fill(pattern(5100, seed: 1))
      let result: ScatterMapResult<ToDevice> =
        isEach
        ? list.mapEach(ToDevice.self, for: bench.dma) : list.map(ToDevice.self, for: bench.dma)
      guard case .failed(let back, let error) = result else {
        Issue.record("mapped")
        return
      }
      guard case .outOfReach(_, _, let mask) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(mask == .bits32)
      #expect(back.contents == pattern(5100, seed: 1))
      // Whatever was mapped before the failure is not any more.
      let maps = events.events.filter {
        ($0.kind == .map || $0.kind == .mapScatter) && $0.status == .success
      }
      let unmaps = events.events.filter { $0.kind == .unmap || $0.kind == .unmapScatter }
      #expect(maps.count == unmaps.count)
    }
  }

  @Test func `a removed device maps no lists but ends those it has`() throws {
    let bench = try ScatterBench(.bounce)
    let list = try ScatterBuffer(byteCount: 8192, in: bench.platform)
    let mapped = try list.map(ToDevice.self, for: bench.dma).get()
    bench.dma.remove()
    let other = try ScatterBuffer(byteCount: 8192, in: bench.platform)
    if case .failed(_, let error) = other.map(ToDevice.self, for: bench.dma) {
      #expect(error == .deviceRemoved)
    } else {
      Issue.record("mapped")
    }
    _ = mapped.unmap()
    #expect(bench.usedSlots == 0)
  }

  @Test func `buffers are taken out of a list whole, the last first`() throws {
    let bench = try ScatterBench(.direct)
    var list = ScatterBuffer(capacity: 1)
    for size in [10, 20, 30] {
      list.append(try StreamingBuffer(byteCount: size, in: bench.platform), bytes: 5..<10)
    }
    check(list.byteCount == 15)
    let sizes = [list.removeLast()?.byteCount, list.removeLast()?.byteCount]
    #expect(sizes == [30, 20])
    check(list.entryCount == 1 && list.byteCount == 5)
    _ = list.removeLast()
    check(list.removeLast() == nil)
    let free = bench.machine.freeByteCount
    do {
      let pieces = try ScatterBuffer(byteCount: 10_000, in: bench.platform)
      check(pieces.entryCount == 3 && pieces.byteCount == 10_000)
      check(bench.machine.freeByteCount == free - 3 * 4096)
    }
    #expect(bench.machine.freeByteCount == free)
  }
}
