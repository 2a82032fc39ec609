import DMA
import Testing

/// The tests of pools over pools with a known flaw, and over mappings with a known defect, where
/// they must fail.
@Suite struct BrokenPoolTests {
  private let shape = PoolShapeTests()
  private let use = PoolUseTests()

  // MARK: How blocks lie

  @Test(arguments: [
    PoolFlaw.roundsTooFar, .takesPagePerWindow, .losesLastBlock, .runsPastPage,
    .ignoresBoundary, .ignoresAlignment, .acceptsAnyAlignment, .overlapsBlocks,
  ])
  func `T12 T16 T17 T17b R57 catch every generation's geometry`(flaw: PoolFlaw) throws {
    try expectCaught(flaw) {
      try shape.`T12 T16 T17 T17b R57 blocks and counts are those of section 4.5`(setup: $0)
    }
  }

  @Test func `T13 catches a search of 32 bits`() throws {
    try expectCaught(.searches32Bits) {
      try shape.`T13 every block of a page is handed out once, also beyond the 32nd and 64th`(
        setup: $0)
    }
  }

  @Test(arguments: [
    PoolFlaw.overlapsBlocks, .ignoresAlignment, .ignoresBoundary, .runsPastPage, .keepsPages,
  ])
  func `R55 R57 R66 T17b catch blocks that lie where they must not`(flaw: PoolFlaw) throws {
    try expectCaught(flaw) {
      try shape
        .`R55 R56 R57 R66 T17b blocks are apart, aligned, off boundaries, inside of pages`(
          setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R56 catches a pool of memory that the device has a copy of`(setup: Setup) throws {
    try expectCaught(setup, .bouncesCoherentMemory) {
      try shape.`R56 CPU and device see each other's stores in a block without a call`(setup: $0)
    }
  }

  @Test func `R50 R55 catch a pool that takes more pages than its blocks need`() throws {
    try expectCaught(.losesLastBlock) {
      try shape.`R50 R55 small regions from a pool share pages that whole allocations do not`(
        setup: $0)
    }
  }

  @Test func `R58 catches a pool of what cannot be`() throws {
    try expectCaught(.acceptsImpossible) {
      try shape.`R58 impossible sizes and boundaries below a block are refused`(setup: $0)
    }
  }

  @Test(arguments: [Setup.direct, .bounce, .iommuStrict, .iommuDeferred])
  func `R60 catches a pool of memory beyond the mask`(setup: Setup) throws {
    try expectCaught(setup, .ignoresMasks) {
      try shape.`R60 T20 blocks honour the coherent mask, and no device at all means 24 bits`(
        setup: $0)
    }
  }

  @Test func `R61 T18 catch an alignment that is none`() throws {
    try expectCaught(.acceptsAnyAlignment) {
      try shape.`R61 T18 alignments that are no powers of two are refused, and 0 is as 1`(
        setup: $0)
    }
  }

  @Test func `R65 catches a boundary that nobody asked for`() throws {
    try expectCaught(
      .refusesStraddling, orThrowing: { $0 == .invalidBoundary(4096, blockByteCount: 5000) }
    ) {
      try shape.`R65 without a boundary blocks may lie across anything`(setup: $0)
    }
  }

  // MARK: Calls

  @Test(arguments: [PoolFlaw.forgetsName, .losesLastBlock])
  func `R59 R70 catch statistics that are not true`(flaw: PoolFlaw) throws {
    try expectCaught(flaw) {
      try use.`R59 R70 statistics are those of Linux's file, newest pool first`(setup: $0)
    }
  }

  @Test func `R62 catches a pool that refuses what it does not know`() throws {
    try expectCaught(.refusesUnknownFlags, orThrowing: { $0 == .machine(code: 22) }) {
      try use.`R62 flags that a pool does not know change nothing`(setup: $0)
    }
  }

  @Test func `R63 catches a pool without patterns, and one that does not look at them`() throws {
    try expectCaught(.forgetsPoison) {
      try use.`R63 free blocks hold 0xa7 and new ones 0xa9`(setup: $0)
    }
    for flaw in [PoolFlaw.overlooksPoison, .forgetsPoison] {
      try expectCaught(flaw) {
        try use.`R63 a write into a free block, the device's too, is found when it is allocated`(
          setup: $0)
      }
    }
  }

  @Test func `T11 catches a poisoned pool that cannot grow`() throws {
    try expectCaught(
      .failsToGrowPoisoned,
      orThrowing: { if case .outOfMemory = $0 { true } else { false } }
    ) {
      try use.`T11 a poisoned pool grows as any other, in atomic context too`(setup: $0)
    }
  }

  @Test func `R64 R67 catch a pool that may sleep`() throws {
    try expectCaught(.needsToSleep, orThrowing: { $0 == .wouldBlock }) {
      try use.`R64 R67 pools work in interrupts and with locks held, without waiting`(setup: $0)
    }
  }

  @Test func `R67 catches a pool that does not wait`() throws {
    try expectCaught(.doesNotWait) {
      try use.`R67 a waiter wakes when another thread frees, and gives up at its deadline`(
        setup: $0)
    }
  }

  @Test(arguments: [Setup.direct, .iommuStrict])
  func `R68 catches a pool, and a mapping, that fail halfway`(setup: Setup) throws {
    try expectCaught(.countsFailures) {
      try use.`R68 without memory a pool gives neither address, and counts nothing`(setup: $0)
    }
    try expectCaught(
      setup, .failsHalfway, orThrowing: { $0 == .emptyRequest }
    ) { try use.`R68 without memory a pool gives neither address, and counts nothing`(setup: $0) }
  }

  @Test(arguments: [PoolFlaw.acceptsForeign, .acceptsMismatch, .acceptsDoubleFree])
  func `R69 T19 catch a pool that takes what is not its own`(flaw: PoolFlaw) throws {
    try expectCaught(
      flaw, orThrowing: { if case .blockNotAllocated = $0 { true } else { false } }
    ) {
      try use.`R69 T19 wrong frees are told apart, and nothing happens`(setup: $0)
    }
  }

  @Test func `T15 catches a pool that holds its lock while it gets memory`() throws {
    try expectCaught(.locksWhileGrowing) {
      try use.`T15 blocks can be freed while the pool gets memory`(setup: $0)
    }
  }

  @Test func `T21 catches a pool that does not zero`() throws {
    try expectCaught(.forgetsToZero) {
      try use.`T21 a pool that zeroes does so each time, also a block used before`(setup: $0)
    }
  }

  // MARK: The end

  @Test func `R70 T14 catch a pool that gives pages back too early, or never`() throws {
    for flaw in [PoolFlaw.dropsEmptyPages, .keepsPages] {
      try expectCaught(flaw) {
        try use.`R70 T14 empty pages stay until the pool is destroyed, and then all go`(setup: $0)
      }
    }
  }

  @Test func `R71 catches a pool that ends under the device's hands`() throws {
    try expectCaught(.destroysBusy) {
      try use.`R71 destroying a busy pool is refused, and its blocks stay as they are`(setup: $0)
    }
    try expectCaught(.destroysBusy) {
      try use.`R71 a pool that ends before its blocks keeps their memory`(setup: $0)
    }
  }

  @Test func `T10 catches a pool that ends in an interrupt`() throws {
    try expectCaught(.destroysInInterrupt) {
      try use.`T10 a pool is not destroyed in an interrupt`(setup: $0)
    }
  }
}
