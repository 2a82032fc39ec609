import DMA
import TestSupport
import Testing

/// One case of section 4.8: a list, and the segments it becomes as (offset, bytes) in the range.
struct MergingVector: Sendable, CustomTestStringConvertible {
  let name: String
  let entries: [(UInt64, Int)]
  var maximum = 65536
  var boundary: UInt64 = .max
  let segments: [(UInt64, Int)]
  let total: UInt64
  var testDescription: String { name }
}

private let pages17 = (0..<17).map { (UInt64(0x10000 + $0 * 0x2000), 0x1000) }

private let granuleVectors = [
  MergingVector(
    name: "A two whole scattered pages", entries: [(0x10000, 0x1000), (0x20000, 0x1000)],
    segments: [(0, 0x2000)], total: 0x2000),
  MergingVector(
    name: "B page, then mid-page start", entries: [(0x10000, 0x1000), (0x20800, 0x800)],
    segments: [(0, 0x1000), (0x1800, 0x800)], total: 0x2000),
  MergingVector(
    name: "C short first, then page", entries: [(0x10000, 0x800), (0x20000, 0x1000)],
    segments: [(0, 0x800), (0x1000, 0x1000)], total: 0x2000),
  MergingVector(
    name: "D tail of page, then page", entries: [(0x10800, 0x800), (0x20000, 0x1000)],
    segments: [(0x800, 0x1800)], total: 0x2000),
  MergingVector(
    name: "E head, page, tail", entries: [(0x10e00, 0x200), (0x30000, 0x1000), (0x50000, 0x123)],
    segments: [(0xe00, 0x1323)], total: 0x3000),
  MergingVector(
    name: "F adjacent, unaligned", entries: [(0x10100, 0x100), (0x10200, 0x100)],
    segments: [(0x100, 0x100), (0x1200, 0x100)], total: 0x2000),
  MergingVector(
    name: "G 17 scattered pages", entries: pages17,
    segments: [(0, 0x10000), (0x10000, 0x1000)], total: 0x11000),
  MergingVector(
    name: "H 8 pages, boundary 16 KiB",
    entries: (0..<8).map { (UInt64(0x10000 + $0 * 0x2000), 0x1000) }, boundary: 0x3fff,
    segments: [(0, 0x4000), (0x4000, 0x4000)], total: 0x8000),
  MergingVector(
    name: "I 3 x 12 KiB, boundary 16 KiB",
    entries: [(0x10000, 0x3000), (0x20000, 0x3000), (0x30000, 0x3000)], boundary: 0x3fff,
    segments: [(0, 0x3000), (0x4000, 0x3000), (0x8000, 0x3000)], total: 0xb000),
]

private let adjacentVectors = [
  MergingVector(
    name: "A", entries: [(0x10000, 0x1000), (0x20000, 0x1000)], maximum: .max,
    segments: [(0, 0x2000)], total: 0x2000),
  MergingVector(
    name: "B", entries: [(0x10000, 0x1000), (0x20800, 0x800)], maximum: .max,
    segments: [(0, 0x1000), (0x1800, 0x800)], total: 0x2000),
  MergingVector(
    name: "C", entries: [(0x10000, 0x800), (0x20000, 0x1000)], maximum: .max,
    segments: [(0, 0x800), (0x1000, 0x1000)], total: 0x2000),
  MergingVector(
    name: "D", entries: [(0x10800, 0x800), (0x20000, 0x1000)], maximum: .max,
    segments: [(0x800, 0x1800)], total: 0x2000),
  MergingVector(
    name: "E", entries: [(0x10e00, 0x200), (0x30000, 0x1000), (0x50000, 0x123)], maximum: .max,
    segments: [(0xe00, 0x1323)], total: 0x3000),
  MergingVector(
    name: "F", entries: [(0x10100, 0x100), (0x10200, 0x100)], maximum: .max,
    segments: [(0x100, 0x200)], total: 0x1000),
  MergingVector(
    name: "G", entries: pages17, maximum: .max, segments: [(0, 0x11000)], total: 0x11000),
]

@Suite struct ScatterMergingTests {
  private func check(_ vector: MergingVector, _ rule: ScatterMerging.Rule) throws {
    let constraints = try DMAConstraints(
      segmentByteCountMax: vector.maximum, segmentBoundaryMask: vector.boundary)
    let merging = ScatterMerging(granule: 4096, constraints: constraints, rule: rule)
    let base: UInt64 = 0xfff0_0000
    let original = vector.entries.map {
      ScatterEntry(cpuAddress: 0, physicalAddress: $0.0, byteCount: $0.1)
    }
    var entries = original
    let (total, count) = unsafe entries.withUnsafeMutableBufferPointer { buffer in
      let total = unsafe merging.layOut(buffer)
      return (total, unsafe merging.finish(buffer, base: base))
    }
    #expect(total == vector.total)
    try #require(count == vector.segments.count)
    for (entry, segment) in zip(entries, vector.segments) {
      #expect(entry.dmaAddress == base + segment.0)
      #expect(entry.dmaByteCount == segment.1)
    }
    for entry in entries[count...] {
      #expect(entry.dmaAddress == .max && entry.dmaByteCount == 0)
    }
    for (entry, before) in zip(entries, original) {
      #expect(entry.physicalAddress == before.physicalAddress, "R91")
      #expect(entry.byteCount == before.byteCount, "R91")
    }
  }

  @Test(arguments: granuleVectors)
  func `R89 merging gives the segments of section 4.8`(vector: MergingVector) throws {
    try check(vector, .wholeGranules)
  }

  @Test(arguments: adjacentVectors)
  func `R89 the 2.4 rule also joins entries that are adjacent in memory`(
    vector: MergingVector
  ) throws { try check(vector, .adjacentMemory) }

  @Test(arguments: [ScatterMerging.Rule.wholeGranules, .adjacentMemory])
  func `the four invariants hold on random lists`(rule: ScatterMerging.Rule) throws {
    var random = SeededGenerator()
    for _ in 0..<2000 {
      let granule = [4096, 16384, 65536].randomElement(using: &random) ?? 4096
      // The 2.4 rule knew no limits: with them two segments can share a page.
      let isLimited = rule == .wholeGranules
      let maximum = isLimited ? Int.random(in: 1...16, using: &random) * 65536 : .max
      let boundary =
        isLimited ? UInt64(1) << UInt64.random(in: 20...33, using: &random) - 1 : .max
      let list = RandomScatterList(
        lengthMax: min(maximum, 3 * 65536), granule: granule, using: &random)
      try checkInvariants(
        list, granule: granule,
        try DMAConstraints(segmentByteCountMax: maximum, segmentBoundaryMask: boundary), rule)
    }
  }

  private func checkInvariants(
    _ list: RandomScatterList, granule: Int, _ constraints: DMAConstraints,
    _ rule: ScatterMerging.Rule
  ) throws {
    let merging = ScatterMerging(granule: granule, constraints: constraints, rule: rule)
    let page = UInt64(granule)
    var entries = list.entries
    let laidOut = unsafe entries.withUnsafeMutableBufferPointer { unsafe merging.layOut($0) }
    let total = try #require(laidOut)
    var alignment: UInt64 = 1
    while alignment < total { alignment *= 2 }
    let base = 3 * alignment
    // What a mapping writes into its table: bus page to memory page.
    var table: [UInt64: UInt64] = [:]
    for entry in entries {
      let granules = merging.granules(of: entry)
      let first = (base + entry.dmaAddress) & ~(page - 1)
      #expect(first + granules.byteCount <= base + total, "a granule lies outside of the range")
      for offset in stride(from: 0, to: granules.byteCount, by: granule) {
        let old = table.updateValue(granules.physicalAddress + offset, forKey: first + offset)
        #expect(old == nil || old == granules.physicalAddress + offset)
      }
    }
    let count = unsafe entries.withUnsafeMutableBufferPointer {
      unsafe merging.finish($0, base: base)
    }
    let segments = entries[..<count]
    // 1: no byte is lost.
    #expect(segments.reduce(0) { $0 + $1.dmaByteCount } == list.byteCount)
    // 2: the segments span the pages that were allocated; padding is never translated.
    let spanned = segments.reduce(0) { sum, segment in
      let last = segment.dmaAddress + UInt64(segment.dmaByteCount) - 1
      return sum + Int(last / page - segment.dmaAddress / page + 1)
    }
    #expect(spanned == table.count)
    // 3 and 4: walking both sides in step, each byte of a segment is the list's, and each segment
    // begins with an entry at the same offset in its page.
    var rest = list.entries[...]
    for segment in segments {
      let last = segment.dmaAddress + UInt64(segment.dmaByteCount) - 1
      #expect(segment.dmaByteCount <= constraints.segmentByteCountMax)
      #expect((segment.dmaAddress ^ last) & ~constraints.segmentBoundaryMask == 0)
      var position = segment.dmaAddress
      while position <= last {
        let next = rest.popFirst()
        let entry = try #require(next)
        #expect(position % page == entry.physicalAddress % page)
        for offset in [0, entry.byteCount / 2, entry.byteCount - 1] {
          let at = position + UInt64(offset)
          let memory = try #require(table[at & ~(page - 1)]) + at % page
          #expect(memory == entry.physicalAddress + UInt64(offset))
        }
        position += UInt64(entry.byteCount)
      }
      #expect(position == last + 1, "a segment ends inside of an entry")
    }
    #expect(rest.isEmpty)
  }

  @Test func `a list longer than any address space is refused and left as it was`() throws {
    let merging = ScatterMerging(granule: 4096, constraints: .pci)
    let entry = ScatterEntry(cpuAddress: 1, physicalAddress: 0, byteCount: .max)
    var entries = [entry, entry]
    let total = unsafe entries.withUnsafeMutableBufferPointer { unsafe merging.layOut($0) }
    #expect(total == nil)
    #expect(entries.allSatisfy { $0.dmaAddress == .max && $0.dmaByteCount == 0 })
  }
}

/// A list whose pieces are sometimes adjacent, sometimes whole pages, sometimes anything.
struct RandomScatterList {
  var entries: [ScatterEntry] = []
  var byteCount: Int { entries.reduce(0) { $0 + $1.byteCount } }

  init(lengthMax: Int, granule: Int, using random: inout SeededGenerator) {
    for index in 0..<Int.random(in: 1...24, using: &random) {
      // Far enough apart that only the adjacent ones share a page.
      let region = UInt64(index + 1) << 32
      let byteCount: Int
      let address: UInt64
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        address = region
        byteCount = granule * Int.random(in: 1...max(1, lengthMax / granule), using: &random)
      case 1 where !entries.isEmpty:
        let last = entries[entries.count - 1]
        address = last.physicalAddress + UInt64(last.byteCount)
        byteCount = Int.random(in: 1...lengthMax, using: &random)
      case 2:
        // Up to the end of a page.
        byteCount = Int.random(in: 1...granule, using: &random)
        address = region + UInt64(granule - byteCount)
      default:
        address = region + UInt64.random(in: 0..<UInt64(granule), using: &random)
        byteCount = Int.random(in: 1...lengthMax, using: &random)
      }
      entries.append(
        ScatterEntry(
          cpuAddress: 0, physicalAddress: address, byteCount: min(byteCount, lengthMax)))
    }
  }
}
