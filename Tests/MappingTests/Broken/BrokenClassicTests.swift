import DMA
import Testing

/// The tests of mappings and lists by address, over mappings with a known defect.
@Suite struct BrokenClassicTests {
  private let classic = ClassicTests()
  private let lists = ClassicListTests()

  private static let exhausted: @Sendable (DMAError) -> Bool = {
    switch $0 {
    case .bouncePoolFull, .outOfAddressSpace: true
    default: false
    }
  }

  @Test(arguments: Setup.allCases)
  func `R83 R84 R85 catch addresses that lead elsewhere`(setup: Setup) throws {
    let defect: Defect = setup.kind == .bounce ? .forgetsCopyIn : .roundsToPages
    try expectCaught(setup, defect) {
      try classic.`R83 R84 R85 a region is mapped by its address and unmapped by its handle`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind != .direct })
  func `R38 R86 catch an unmap that leaks`(setup: Setup) throws {
    try expectCaught(setup, .forgetsUnmap, orThrowing: Self.exhausted) {
      try classic
        .`R38 R86 a mapping a transfer, ended in its completion interrupt, may go on for ever`(
          setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .iommuStrict })
  func `R86 catches a unit that goes on after the unmap`(setup: Setup) throws {
    try expectCaught(setup, .forgetsInvalidation) {
      try classic.`R86 a transfer that is still under way after the unmap is refused and told`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R39 R97 R98 T4 T5 catch a sync that does nothing`(setup: Setup) throws {
    try expectCaught(setup, .forgetsSync) {
      try classic.`R39 what the device writes need not be seen before a sync or unmap, and is after`(
        setup: $0)
    }
    try expectCaught(setup, .forgetsSync) {
      try classic.`R97 T5 a sync by handle, of all or a part, goes the way its direction says`(
        setup: $0)
    }
    try expectCaught(setup, .forgetsSync) {
      try classic.`T4 what the CPU changed in a buffer it was lent reaches the device`(setup: $0)
    }
    try expectCaught(setup, .forgetsSync) {
      try lists.`R98 a whole list is synced, again and again, by one call`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce })
  func `R97 T4 T5 catch a sync in the wrong sense`(setup: Setup) throws {
    try expectCaught(setup, .syncsTheWrongWay) {
      try classic.`R97 T5 a sync by handle, of all or a part, goes the way its direction says`(
        setup: $0)
    }
    try expectCaught(setup, .syncsTheWrongWay) {
      try classic.`T4 what the CPU changed in a buffer it was lent reaches the device`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R99 R100 catch an unmap without the last sync`(setup: Setup) throws {
    let defect: Defect = setup.kind == .bounce ? .forgetsCopyOut : .forgetsUnmap
    try expectCaught(setup, defect) {
      try classic.`R99 R100 nothing is synced between map and unmap, and the bytes are there`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter(\.isCoherent))
  func `T6 catches a mapping without limits`(setup: Setup) throws {
    try expectCaught(
      setup, setup.kind == .direct ? .ignoresMasks : .forgetsUnmap, orThrowing: Self.exhausted
    ) {
      try classic.`T6 a map that fails is an error that says which limit, and never an address`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R82 catches a map that waits`(setup: Setup) throws {
    try expectCaught(setup, .waits) {
      try classic.`R82 all six streaming calls work in interrupts and under a spin lock`(setup: $0)
    }
    try expectCaught(setup, .waits) {
      try StreamingTests().`R82 mapping and unmapping work in an interrupt and under a spin lock`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R83 R87 R92 R93 catch a wrong count, and an end that is none`(setup: Setup) throws {
    try expectCaught(setup, .miscountsSegments, orThrowing: { _ in true }) {
      try lists.`R83 R87 R92 R93 a list ends with the count it was mapped with, not the segments`(
        setup: $0)
    }
    guard setup.kind != .direct || !setup.isCoherent else { return }
    try expectCaught(setup, .forgetsUnmapOfLists, orThrowing: Self.exhausted) {
      try lists.`R83 R87 R92 R93 a list ends with the count it was mapped with, not the segments`(
        setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `E8 catches a list of which the device gets too little`(setup: Setup) throws {
    try expectCaught(setup, .shortensSegment) {
      try lists.`E8 R11 a vmalloc buffer is mapped as a list of the pages underneath`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind != .direct })
  func `T7 catches a failed list of which a part stays`(setup: Setup) throws {
    try expectCaught(setup, .leavesPartOfList, orThrowing: Self.exhausted) {
      try lists.`T7 a list of which one piece cannot be mapped is not mapped at all`(setup: $0)
    }
  }
}
