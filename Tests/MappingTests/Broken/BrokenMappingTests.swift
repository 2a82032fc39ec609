import DMA
import SimulatedMachine
import Testing

/// The suite's own tests over mappings with a known defect, where they must fail.
///
/// That they hold on the real mappings, the suite itself shows.
@Suite struct BrokenMappingTests {
  private let streaming = StreamingTests()
  private let lists = ScatterTests()

  // MARK: One region

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R77 catches a mapping that ignores the direction`(setup: Setup) throws {
    try expectCaught(setup, .ignoresDirection) {
      try streaming.`R77 what a device is only to read or only to write, it can only read or write`(
        setup: $0)
    }
  }

  @Test(arguments: [Setup.bounce] + Setup.allCases.filter { !$0.isCoherent })
  func `R74 R75 R99 catch an unmap that ignores the direction`(setup: Setup) throws {
    try expectCaught(setup, .ignoresDirectionAtUnmap) {
      try streaming.`R74 data moves the way its direction says`(setup: $0)
    }
    try expectCaught(setup, .ignoresDirectionAtUnmap) {
      try streaming.`R75 bidirectional bytes of either side survive`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce })
  func `R39 R74 R75 catch a bounce that does not copy in`(setup: Setup) throws {
    try expectCaught(setup, .forgetsCopyIn) {
      try streaming.`R74 data moves the way its direction says`(setup: $0)
    }
    try expectCaught(setup, .forgetsCopyIn) {
      try streaming.`R75 what the device did not write is as it was`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce })
  func `R39 R74 R75 R99 catch a bounce that does not copy out`(setup: Setup) throws {
    try expectCaught(setup, .forgetsCopyOut) {
      try streaming.`R74 data moves the way its direction says`(setup: $0)
    }
    try expectCaught(setup, .forgetsCopyOut) {
      try streaming.`R75 bidirectional bytes of either side survive`(setup: $0)
    }
    try expectCaught(setup, .forgetsCopyOut) {
      try streaming.`R75 what the device did not write is as it was`(setup: $0)
    }
  }

  @Test func `R74 catches a map that leaves the bytes in the CPU's cache`() throws {
    try expectCaught(Setup(kind: .direct, isCoherent: false), .forgetsCleaning) {
      try streaming.`R74 data moves the way its direction says`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R74 catches an unmap that leaves the CPU's view stale`(setup: Setup) throws {
    try expectCaught(setup, .forgetsUnmap) {
      try streaming.`R74 data moves the way its direction says`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind != .direct })
  func `R94 catches an unmap that leaks slots or bus addresses`(setup: Setup) throws {
    try expectCaught(setup, .forgetsUnmap) {
      try streaming.`R94 mapping and unmapping may go on for ever`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R96 R97 R98 catch a sync that does nothing, or the wrong thing`(setup: Setup) throws {
    try expectCaught(setup, .forgetsSync) {
      try streaming.`R96 R101 a sync shows what the device wrote, many times for one mapping`(
        setup: $0)
    }
    // Where nothing is copied, handing over and taking back both drop the CPU's stale lines.
    if setup.kind == .bounce {
      try expectCaught(setup, .syncsTheWrongWay) {
        try streaming.`R96 R101 a sync shows what the device wrote, many times for one mapping`(
          setup: $0)
      }
    }
    try expectCaught(setup, .forgetsSync) {
      try streaming.`what the CPU changes inside a sync is what the device reads next`(setup: $0)
    }
    try expectCaught(setup, .forgetsSync) {
      try lists.`what the CPU changes in a synced part reaches the device`($0)
    }
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R99 catches an unmap after which the unit still translates`(setup: Setup) throws {
    try expectCaught(setup, .forgetsInvalidation) {
      try streaming.`R4 R99 what was unmapped is out of the device's reach, in strict mode at once`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R15 R42 catch addresses beyond the mask, and lost low bits`(setup: Setup) throws {
    try expectCaught(setup, .exceedsMask) {
      try MaskTests().`R15 a new device has 32-bit masks and maps without a mask call`(setup: $0)
    }
    // A bounce pool finds a mapping by its address, and refuses another at unmap.
    if setup.kind != .bounce {
      try expectCaught(setup, .roundsToPages) {
        try streaming.`R42 any offset and any length maps, and the low address bits stay`(
          setup: $0)
      }
    }
  }

  // MARK: Lists

  @Test(arguments: Setup.allCases.filter { !$0.hasIOMMU })
  func `R88 R89 catch a short segment, and segments in the wrong order`(setup: Setup) throws {
    try expectCaught(setup, .shortensSegment) {
      try lists.`what the CPU changes in a synced part reaches the device`($0)
    }
    // A bounce pool finds a mapping by its address, and refuses another size at unmap.
    if setup.kind == .direct {
      try expectCaught(setup, .swapsSegments) {
        try lists.`R88 R91 R92 many pieces reach the device in the order of the list`($0)
      }
    }
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R89 catches segments joined across the device's boundary`(setup: Setup) throws {
    let vector = try #require(ScatterConstraintTests.vectors.first { $0.name == "H" })
    // The list's own checks after every mapping throw as well.
    try expectCaught(
      setup, .mergesAcrossBoundary,
      orThrowing: { if case .segmentAcrossBoundary = $0 { true } else { false } }
    ) {
      try ScatterConstraintTests().`R89 an IOMMU merges as section 4.8 says`(
        vector: vector, mapping: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .direct })
  func `R87 R88 R89 R91 catch bytes that are missing`(setup: Setup) throws {
    try expectCaught(setup, .shortensSegment) {
      try lists
        .`R87 R88 R89 R91 the device gets the list's bytes in order, and the list comes back whole`(
          $0)
    }
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R90 catches a mapping that does not join what it could`(setup: Setup) throws {
    try expectCaught(setup, .neverMerges) {
      try ScatterConstraintTests()
        .`R90 a device with one segment is served where pieces can be joined`(
          $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || $0.kind == .iommuStrict })
  func `R94 catches a list that stays mapped for ever`(setup: Setup) throws {
    try expectCaught(setup, .forgetsUnmapOfLists) {
      try lists.`R94 a dropped list stays mapped in quarantine until the device is quiet`($0)
    }
    guard setup.hasIOMMU else { return }
    try expectCaught(
      setup, .forgetsUnmapOfLists,
      orThrowing: { if case .outOfAddressSpace = $0 { true } else { false } }
    ) {
      try ScatterConstraintTests()
        .`R94 exhausted bus addresses refuse the list, and an unmap makes room`(
          $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R96 R98 catch a sync of lists that does nothing`(setup: Setup) throws {
    try expectCaught(setup, .forgetsSync) {
      try lists.`R96 R98 a synced list shows what the device wrote, again and again`($0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce })
  func `R92 R93 catch an unmap of fewer entries than were mapped`(setup: Setup) throws {
    try expectCaught(setup, .unmapsOneEntry) {
      try lists.`R88 R91 R92 many pieces reach the device in the order of the list`($0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .direct })
  func `R91 catches an unmap that changes the list's own fields`(setup: Setup) throws {
    try expectCaught(setup, .changesList) {
      try lists.`R88 R91 R92 many pieces reach the device in the order of the list`($0)
    }
  }
}
