import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

struct IOMMUScatterTests {
  @Test
  func `A list becomes one range, merged, and comes back as it was`() throws {
    var random = SeededGenerator()
    let bench = try IOMMUBench(constraints: try DMAConstraints(segmentByteCountMax: 1 << 20))
    for _ in 0..<150 {
      let pages = (0..<Int.random(in: 1...12, using: &random)).map { _ in
        RawPages(bench.platform, byteCount: 16384, high: Bool.random(using: &random))
      }
      var expected: [UInt8] = []
      var entries: [ScatterEntry] = []
      for (index, page) in pages.enumerated() {
        let start = Bool.random(using: &random) ? 0 : Int.random(in: 0..<8192, using: &random)
        let count = Bool.random(using: &random) ? 8192 : Int.random(in: 1...8192, using: &random)
        for offset in start..<(start + count) {
          page[offset] = UInt8(truncatingIfNeeded: offset &* 13 &+ index)
          expected.append(page[offset])
        }
        entries.append(page.entry(start, count))
      }
      let originals = entries
      unsafe entries.withUnsafeMutableBufferPointer { list in
        guard case .success(let segments) = unsafe bench.device.mapScatter(list, .toDevice) else {
          Issue.record("not mapped, seed \(random.seed)")
          return
        }
        #expect(segments >= 1 && segments <= list.count)
        var seen: [UInt8] = []
        for index in 0..<segments {
          seen += unsafe bench.probe.read(list[index].dmaAddress, list[index].dmaByteCount) ?? []
        }
        #expect(seen == expected, "seed \(random.seed)")
        #expect(unsafe bench.device.unmapScatter(list, .toDevice) == .success)
        for index in list.indices {
          #expect(unsafe list[index].cpuAddress == originals[index].cpuAddress)
          #expect(unsafe list[index].physicalAddress == originals[index].physicalAddress)
          #expect(unsafe list[index].byteCount == originals[index].byteCount)
        }
      }
      #expect(bench.domain.validEntryCount == 0)
    }
    #expect(bench.faults().isEmpty)
  }

  @Test
  func `Holes between entries stay out of reach`() throws {
    let bench = try IOMMUBench()
    let first = RawPages(bench.platform, byteCount: 4096)
    let second = RawPages(bench.platform, byteCount: 16384)
    // Three pages do not fit behind the first before the boundary: one page of padding.
    bench.device.constraints = try DMAConstraints(segmentBoundaryMask: 0x3fff)
    var entries = [first.entry(0, 4096), second.entry(0, 16384)]
    unsafe entries.withUnsafeMutableBufferPointer { list in
      guard case .success(2) = unsafe bench.device.mapScatter(list, .bidirectional) else {
        Issue.record("two segments expected")
        return
      }
      let start = unsafe list[0].dmaAddress
      #expect(unsafe list[1].dmaAddress == start + 0x4000)
      #expect(bench.probe.read(start, 4096) != nil)
      #expect(bench.probe.read(start + 0x1000, 1) == nil)
      #expect(bench.probe.read(start + 0x4000, 16384) != nil)
      #expect(bench.domain.validEntryCount == 5)
      #expect(unsafe bench.device.unmapScatter(list, .bidirectional) == .success)
    }
    #expect(bench.domain.validEntryCount == 0)
    #expect(bench.faults().count == 1)
  }

  @Test
  func `All or nothing: a list that does not fit leaves no trace`() throws {
    let bench = try IOMMUBench(lastAddress: 0x1_ffff)
    let pages = RawPages(bench.platform, byteCount: 32 * 4096)
    let taken = bench.domain.takenPageCount
    var entries = (0..<32).map { pages.entry($0 * 4096, 4096) }
    unsafe entries.withUnsafeMutableBufferPointer { list in
      guard case .failure(let error) = unsafe bench.device.mapScatter(list, .toDevice) else {
        Issue.record("mapped 32 pages in a space of 31")
        return
      }
      #expect(error == .outOfAddressSpace(byteCount: 32 * 4096, limit: 0xffff_ffff))
      for index in list.indices {
        #expect(unsafe list[index].dmaAddress == .max && list[index].dmaByteCount == 0)
      }
    }
    bench.device.constraints = try DMAConstraints(segmentCountMax: 1)
    var scattered = [pages.entry(0, 100), pages.entry(4096 + 100, 100)]
    unsafe scattered.withUnsafeMutableBufferPointer { list in
      guard case .failure(let error) = unsafe bench.device.mapScatter(list, .toDevice) else {
        Issue.record("two segments for a device that takes one")
        return
      }
      #expect(error == .tooManySegments(count: 2, limit: 1))
      #expect(unsafe list[0].dmaAddress == .max && list[0].dmaByteCount == 0)
    }
    #expect(bench.domain.validEntryCount == 0)
    bench.domain.flush()
    #expect(bench.domain.takenPageCount - taken <= 2)
  }

  @Test
  func `An unmap of something else than a mapping is refused and changes nothing`() throws {
    let bench = try IOMMUBench()
    let mapping = try bench.buffer(3 * 4096).map(FromDevice.self, for: bench.device).get()
    let large = try bench.buffer(2000 * 4096).map(FromDevice.self, for: bench.device).get()
    let address = mapping.address.rawValue
    let traits = MappingTraits(.fromDevice)
    let wrongSize = unsafe bench.device.call(\.unmap, address, 4096, traits)
    let interior = unsafe bench.device.call(\.unmap, address + 4096, 4096, traits)
    let absent = unsafe bench.device.call(\.unmap, 0x1234_5000, 4096, traits)
    #expect(wrongSize == .wrongSize(expected: 3 * 4096, given: 4096))
    #expect(interior == .notMapped(DMAAddress(rawValue: address + 4096)))
    #expect(absent == .notMapped(DMAAddress(rawValue: 0x1234_5000)))
    let short = unsafe bench.device.call(\.unmap, large.address.rawValue, 1999 * 4096, traits)
    #expect(short == .wrongSize(expected: 1023 * 4096, given: 1999 * 4096))
    #expect(bench.domain.validEntryCount == 2003)
    #expect(bench.probe.write(address, [1]))
    _ = mapping.unmap()
    let twice = unsafe bench.device.call(\.unmap, address, 3 * 4096, traits)
    #expect(twice == .notMapped(DMAAddress(rawValue: address)))
    _ = large.unmap()
    #expect(bench.domain.validEntryCount == 0)
  }
}
