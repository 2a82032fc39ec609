import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

@Suite struct ScatterConstraintTests {
  /// A list of pieces, each part of pages of its own: (offset in its page, bytes).
  private func list(
    _ pieces: [(Int, Int)], in platform: Platform
  ) throws -> ScatterBuffer {
    var list = ScatterBuffer()
    for (offset, count) in pieces {
      list.append(
        try StreamingBuffer(byteCount: offset + count, in: platform),
        bytes: offset..<offset + count)
    }
    return list
  }

  struct Vector: Sendable, CustomTestStringConvertible {
    let name: String
    let pieces: [(Int, Int)]
    var boundary: UInt64 = 0xffff_ffff
    let lengths: [Int]
    var testDescription: String { name }
  }

  // F needs two pieces of one page, which two buffers do not have; see ScatterMergingTests.
  static let vectors = [
    Vector(name: "A", pieces: [(0, 0x1000), (0, 0x1000)], lengths: [0x2000]),
    Vector(name: "B", pieces: [(0, 0x1000), (0x800, 0x800)], lengths: [0x1000, 0x800]),
    Vector(name: "C", pieces: [(0, 0x800), (0, 0x1000)], lengths: [0x800, 0x1000]),
    Vector(name: "D", pieces: [(0x800, 0x800), (0, 0x1000)], lengths: [0x1800]),
    Vector(name: "E", pieces: [(0xe00, 0x200), (0, 0x1000), (0, 0x123)], lengths: [0x1323]),
    Vector(
      name: "G", pieces: [(Int, Int)](repeating: (0, 0x1000), count: 17),
      lengths: [0x10000, 0x1000]),
    Vector(
      name: "H", pieces: [(Int, Int)](repeating: (0, 0x1000), count: 8), boundary: 0x3fff,
      lengths: [0x4000, 0x4000]),
    Vector(
      name: "I", pieces: [(Int, Int)](repeating: (0, 0x3000), count: 3), boundary: 0x3fff,
      lengths: [0x3000, 0x3000, 0x3000]),
  ]

  @Test(arguments: vectors, ListMapping.allCases.filter(\.merges))
  func `R89 an IOMMU merges as section 4.8 says`(
    vector: Vector, mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(
      mapping, constraints: try DMAConstraints(segmentBoundaryMask: vector.boundary))
    var list = try list(vector.pieces, in: bench.platform)
    let bytes = pattern(list.byteCount, seed: 3)
    list.fill(bytes)
    let out = try list.map(ToDevice.self, for: bench.dma).get()
    var lengths: [Int] = []
    for index in 0..<out.segmentCount {
      let segment = out.segment(at: index)
      lengths.append(segment.byteCount)
      let last = segment.address.rawValue + UInt64(segment.byteCount) - 1
      #expect((segment.address.rawValue ^ last) & ~vector.boundary == 0)
    }
    #expect(lengths == vector.lengths)
    #expect(out.segment(at: 0).address.rawValue & 0xfff == UInt64(vector.pieces[0].0))
    check(bench.read(out) == bytes)
    _ = out.unmap()
  }

  @Test(arguments: ListMapping.allCases)
  func `R90 a device with one segment is served where pieces can be joined`(
    _ mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(
      mapping, constraints: try DMAConstraints(segmentCountMax: 1))
    for _ in 0..<100 {
      let list = try ScatterBuffer(byteCount: 4 * 4096, in: bench.platform)
      switch list.map(ToDevice.self, for: bench.dma) {
      case .mapped(let out):
        #expect(mapping.merges)
        check(out.segmentCount == 1)
        _ = out.unmap()
      case .failed(let back, let error):
        try #require(!mapping.merges)
        #expect(error == .tooManySegments(count: 4, limit: 1))
        check(back.entryCount == 4)
      }
      // A refusal leaves nothing mapped.
      #expect(bench.usedSlots == 0)
    }
  }

  @Test(arguments: ListMapping.allCases)
  func `an entry longer than a segment may be is refused with both numbers`(
    _ mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(
      mapping, constraints: try DMAConstraints(segmentByteCountMax: 8192))
    let list = try list([(0, 4096), (0, 8193)], in: bench.platform)
    guard case .failed(let back, let error) = list.map(FromDevice.self, for: bench.dma) else {
      Issue.record("mapped")
      return
    }
    #expect(error == .tooLarge(byteCount: 8193, limit: 8192))
    check(back.entryCount == 2)
    #expect(bench.usedSlots == 0)
  }

  @Test func `a piece across the device's boundary is refused where it cannot be moved`() throws {
    let bench = try ScatterBench(
      .direct, constraints: try DMAConstraints(segmentBoundaryMask: 0xfff))
    let list = try list([(0x800, 0x900)], in: bench.platform)
    guard case .failed(let back, let error) = list.map(ToDevice.self, for: bench.dma) else {
      Issue.record("mapped")
      return
    }
    guard case .segmentAcrossBoundary(let first, let last, let boundary) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(boundary == 0x1000 && last.rawValue == first.rawValue + 0x8ff)
    check(back.byteCount == 0x900)
  }

  @Test(arguments: ListMapping.allCases.filter(\.merges))
  func `R94 exhausted bus addresses refuse the list, and an unmap makes room`(
    _ mapping: ListMapping
  ) throws {
    let bench = try ScatterBench(mapping)
    // A window of 8 MiB, of which the first page is never used.
    try bench.dma.setMask(DMAMask(bitCount: 23))
    let first = try ScatterBuffer(
      byteCount: 4 << 20, in: bench.platform, pieceByteCount: 65536)
    let held = try first.map(ToDevice.self, for: bench.dma).get()
    let second = try ScatterBuffer(
      byteCount: 4 << 20, in: bench.platform, pieceByteCount: 65536)
    guard case .failed(let back, let error) = second.map(ToDevice.self, for: bench.dma) else {
      Issue.record("mapped")
      return
    }
    #expect(error == .outOfAddressSpace(byteCount: 4 << 20, limit: 0x7f_ffff))
    #expect(error.isTransient)
    _ = held.unmap()
    let mapped = try back.map(ToDevice.self, for: bench.dma).get()
    check(mapped.byteCount == 4 << 20)
    _ = mapped.unmap()
  }

  @Test func `observers get the counts, the segments and the place of every call on a list`() throws
  {
    let bench = try ScatterBench(.iommuStrict)
    let events = ListRecorder.listen(to: bench.dma)
    let list = try list([(0, 0x1000), (0, 0x1000), (0x100, 0x80)], in: bench.platform)
    let line = #line + 1
    let out = try list.map(FromDevice.self, for: bench.dma).get()
    let expected = [out.segment(at: 0), out.segment(at: 1)]
    out.withBytesSyncedForCPU { _ in }
    _ = out.unmap()
    #expect(
      events.events.map(\.kind) == [
        .deviceAdded, .mapScatter, .syncScatterForCPU, .syncScatterForDevice, .unmapScatter,
      ])
    for event in events.events.dropFirst() {
      #expect(event.family == .scatter && event.direction == .fromDevice)
      #expect(event.entryCount == 3 && event.segmentCount == 2 && event.byteCount == 0x2080)
      #expect(event.dmaAddress == expected[0].address.rawValue)
      #expect(event.segments == expected)
    }
    #expect(events.events[1].line == line)
    // A refusal is heard of as well.
    bench.dma.constraints.segmentCountMax = 1
    let again = try self.list([(0, 1), (1, 1)], in: bench.platform)
    _ = again.map(ToDevice.self, for: bench.dma)
    let last = try #require(events.events.last)
    #expect(last.kind == .mapScatter && last.status == .tooManySegments)
    #expect(last.segments.isEmpty)
  }
}
