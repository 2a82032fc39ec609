import DMA
import TestSupport
import Testing

/// How pools cut memory into blocks, over every mapping.
@Suite struct PoolShapeTests {
  /// A row of section 4.5, 6.4+ column: block size and blocks a page.
  struct Vector: Sendable, CustomTestStringConvertible {
    let size: Int
    let align: Int
    let boundary: Int
    let block: Int
    let count: Int
    init(_ size: Int, _ align: Int, _ boundary: Int, _ block: Int, _ count: Int) {
      self.size = size
      self.align = align
      self.boundary = boundary
      self.block = block
      self.count = count
    }
    var testDescription: String { "\(size)/\(align)/\(boundary)" }
  }

  static let vectors = [
    // These two differ from Linux by design: nothing is stored in a block, so there is no minimum
    // of 16 bytes.
    Vector(1, 1, 0, 1, 4096), Vector(3, 2, 0, 4, 1024),
    Vector(9, 8, 0, 16, 256), Vector(15, 8, 0, 16, 256),
    Vector(31, 16, 0, 32, 128), Vector(48, 16, 0, 48, 85),
    Vector(64, 16, 0, 64, 64), Vector(68, 32, 4096, 96, 42),
    Vector(68, 32, 1024, 96, 40), Vector(127, 64, 0, 128, 32),
    Vector(24, 8, 64, 24, 128), Vector(40, 8, 64, 40, 64),
    Vector(24, 8, 256, 24, 160), Vector(48, 64, 128, 64, 64),
    Vector(1024, 1024, 0, 1024, 4), Vector(1024, 1024, 4096, 1024, 4),
    Vector(1024, 16, 2048, 1024, 4), Vector(512, 512, 2048, 512, 8),
    Vector(24, 8, 8192, 24, 170), Vector(2048, 2048, 0, 2048, 2),
    Vector(3000, 8, 4096, 3000, 1), Vector(4096, 4096, 0, 4096, 1),
    Vector(5000, 8, 0, 5000, 1),
  ]

  @Test(arguments: Setup.poolCases)
  func `T12 T16 T17 T17b R57 blocks and counts are those of section 4.5`(setup: Setup) throws {
    let bench = try setup.make()
    let pools = bench.pools()
    for vector in Self.vectors {
      let pool = try pools.make(
        size: vector.size, align: vector.align, boundary: vector.boundary)
      var blocks: [Block] = []
      // All blocks of the first page, and one more.
      for _ in 0...vector.count { blocks.append(try pool.allocate()) }
      let numbers = pool.numbers
      #expect(numbers.blockSize == vector.block, "\(vector.testDescription)")
      #expect(numbers.pages == 2 && numbers.total == 2 * vector.count, "\(vector.testDescription)")
      for block in blocks { try pool.free(block) }
      try pool.destroy()
    }
    // 5000/8/4096, 10/3/0 and 0/8/0 have no pool.
    #expect(throws: DMAError.invalidBoundary(4096, blockByteCount: 5000)) {
      try pools.make(size: 5000, align: 8, boundary: 4096)
    }
    #expect(throws: DMAError.invalidAlignment(3, limit: 1 << 30)) {
      try pools.make(size: 10, align: 3)
    }
    #expect(throws: DMAError.emptyRequest) { try pools.make(size: 0, align: 8) }
  }

  @Test(arguments: Setup.poolCases)
  func `T13 every block of a page is handed out once, also beyond the 32nd and 64th`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    for (size, count) in [(64, 64), (32, 128), (1, 4096)] {
      let pool = try bench.pools().make(size: size)
      var seen = Set<UInt64>()
      for _ in 0..<count { seen.insert(try pool.allocate().bus) }
      #expect(seen.count == count)
      #expect(pool.numbers.pages == 1)
    }
  }

  @Test(arguments: Setup.poolCases)
  func `R55 R56 R57 R66 T17b blocks are apart, aligned, off boundaries, inside of pages`(
    setup: Setup
  ) throws {
    var random = SeededGenerator()
    let bench = try setup.make()
    for round in 0..<40 {
      var size = Int.random(in: 1...5000, using: &random)
      var align = 1 << Int.random(in: 0...12, using: &random)
      var boundary = 1 << Int.random(in: 4...14, using: &random)
      // In every run: a boundary inside of the page that blocks would cross, and one beyond it (T17b).
      if round == 0 { (size, align, boundary) = (600, 8, 1024) }
      if round == 1 { (size, align, boundary) = (3000, 8, 8192) }
      let step = (size + align - 1) & ~(align - 1)
      if boundary < step { boundary = 0 }
      let pool = try bench.pools().make(size: size, align: align, boundary: boundary)
      var taken: [Block] = []
      var first = try pool.allocate()
      taken.append(first)
      for _ in 0..<min(300, 2 * pool.numbers.total) { taken.append(try pool.allocate()) }
      for block in taken {
        try #require(block.bus % UInt64(align) == 0 && block.cpu % UInt(align) == 0)
        if boundary != 0 {
          let last = block.bus + UInt64(size) - 1
          try #require(block.bus / UInt64(boundary) == last / UInt64(boundary))
        }
        // Inside of what was allocated for it, on both sides.
        let page = UInt64(max(4096, step))
        if page == 4096 {
          try #require(block.bus / page == (block.bus + UInt64(size) - 1) / page)
        }
      }
      let sorted = taken.sorted { $0.bus < $1.bus }
      for (one, next) in zip(sorted, sorted.dropFirst()) {
        try #require(one.bus + UInt64(step) <= next.bus, "two blocks overlap")
      }
      // The device reaches all of them: they are coherent memory (R56).
      first = taken[taken.count / 2]
      first.setByte(size - 1, 0x5a)
      #expect(bench.probe.read(first.bus + UInt64(size) - 1, byteCount: 1) == [0x5a])
      #expect(pool.numbers.active == taken.count)
      for block in taken.shuffled(using: &random) { try pool.free(block) }
      #expect(pool.numbers.active == 0)
      try pool.destroy()
    }
    #expect(bench.dma.liveCoherentCount == 0, "R70: all pages went back")
  }

  @Test(arguments: Setup.poolCases)
  func `R56 CPU and device see each other's stores in a block without a call`(setup: Setup) throws {
    let bench = try setup.make()
    let pool = try bench.pools().make(size: 64, align: 64)
    let blocks = try (0..<100).map { _ in try pool.allocate() }
    for (round, block) in blocks.enumerated() {
      let value = UInt64(round) << 32 | 0x1234
      block[0] = value
      let seen = bench.probe.read(block.bus, byteCount: 8)
      try #require(seen == (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) })
      try #require(bench.probe.write(block.bus + 8, [UInt8](repeating: UInt8(round), count: 8)))
      let answer = block[8]
      try #require(answer == UInt64(round) &* 0x0101_0101_0101_0101)
    }
  }

  @Test(arguments: Setup.poolCases)
  func `R50 R55 small regions from a pool share pages that whole allocations do not`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let before = bench.freeByteCount
    var pool: (any TestedPool)? = try bench.pools().make(size: 128, align: 4)
    for _ in 0..<384 { _ = try pool?.allocate() }
    // 32 to a page; 384 allocations of their own would have been 384 pages (R43).
    #expect(before - bench.freeByteCount == 12 * 4096)
    #expect(pool?.numbers.pages == 12)
    let alone = try CoherentPage(bench.dma)
    #expect(before - bench.freeByteCount == 13 * 4096)
    withExtendedLifetime(alone) {}
    pool = nil
  }

  @Test(arguments: Setup.poolCases)
  func `R58 impossible sizes and boundaries below a block are refused`(setup: Setup) throws {
    let pools = try setup.make().pools()
    #expect(throws: DMAError.emptyRequest) { try pools.make(size: 0, align: 8) }
    #expect(throws: DMAError.emptyRequest) { try pools.make(size: -1, align: 8) }
    #expect(throws: DMAError.tooLarge(byteCount: 1 << 31, limit: (1 << 31) - 1)) {
      try pools.make(size: 1 << 31, align: 8)
    }
    #expect(throws: DMAError.invalidBoundary(4096, blockByteCount: 5000)) {
      try pools.make(size: 5000, align: 8, boundary: 4096)
    }
    // It is the block that must fit, not the request.
    #expect(throws: DMAError.invalidBoundary(64, blockByteCount: 128)) {
      try pools.make(size: 40, align: 128, boundary: 64)
    }
    #expect(throws: DMAError.invalidBoundary(3000, blockByteCount: 16)) {
      try pools.make(size: 16, align: 8, boundary: 3000)
    }
    #expect(throws: DMAError.invalidBoundary(-4096, blockByteCount: 16)) {
      try pools.make(size: 16, align: 8, boundary: -4096)
    }
  }

  @Test(arguments: Setup.poolCases)
  func `R60 T20 blocks honour the coherent mask, and no device at all means 24 bits`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    try bench.dma.setMask(.bits24)
    let pool = try bench.pools().make(size: 64)
    let blocks = try (0..<200).map { _ in try pool.allocate() }
    #expect(blocks.allSatisfy { $0.bus + 63 <= 0xff_ffff })
    let old = try bench.pools(bench.legacyDevice()).make(size: 64)
    let oldBlocks = try (0..<200).map { _ in try old.allocate() }
    #expect(oldBlocks.allSatisfy { $0.bus + 63 <= 0xff_ffff })
  }

  @Test(arguments: Setup.poolCases)
  func `R61 T18 alignments that are no powers of two are refused, and 0 is as 1`(
    setup: Setup
  ) throws {
    let pools = try setup.make().pools()
    for alignment in [3, 6, 12, -8, .max] {
      #expect(throws: DMAError.invalidAlignment(alignment, limit: 1 << 30)) {
        try pools.make(size: 10, align: alignment)
      }
    }
    let one = try pools.make(size: 10, align: 1)
    let zero = try pools.make(size: 10, align: 0)
    _ = try one.allocate()
    _ = try zero.allocate()
    #expect(one.numbers == zero.numbers)
  }

  @Test(arguments: Setup.poolCases)
  func `R65 without a boundary blocks may lie across anything`(setup: Setup) throws {
    let bench = try setup.make()
    // 8 KiB hold one block of 5000 bytes, which lies across their middle.
    let large = try bench.pools().make(size: 5000, align: 8)
    let block = try large.allocate()
    #expect(block.bus % 8192 == 0, "R51 forbids only what natural alignment does")
    #expect(block.bus / 4096 != (block.bus + 4999) / 4096)
    block.setByte(4999, 7)
    #expect(bench.probe.read(block.bus + 4999, byteCount: 1) == [7])
    // 48 bytes do not divide 1024: some block lies across a multiple of it.
    let small = try bench.pools().make(size: 48)
    let across = try (0..<85).map { _ in try small.allocate() }
      .filter { $0.bus / 1024 != ($0.bus + 47) / 1024 }
    #expect(!across.isEmpty && small.numbers.pages == 1)
  }
}
