import DMA
import Testing

/// The tests of translation, and of one driver over everything, over broken mappings.
@Suite struct BrokenTranslationTests {
  private let translation = TranslationTests()

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R78 catches an access that is let through`(setup: Setup) throws {
    try expectCaught(setup, .ignoresDirection) {
      try translation
        .`R78 a refused access is told to the device's observer: which device, where, how`(
          setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R47 R95 catch buses that share their addresses`(setup: Setup) throws {
    try expectCaught(setup, .sharesBuses) {
      try translation
        .`R47 R95 two buses have addresses of their own: one exhausted, the other unaffected`(
          setup: $0)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .iommuDeferred })
  func `R94 R99 catch invalidations that are never done`(setup: Setup) throws {
    try expectCaught(setup, .forgetsInvalidation) {
      try translation.`R94 R99 a device that is removed or quiet reaches nothing that was unmapped`(
        setup: $0)
    }
    try expectCaught(setup, .forgetsInvalidation) {
      try translation
        .`R99 a missing invalidation is seen inside the window, and after the flush it faults`(
          setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R5 catches a mapping under which a driver sees something else`(setup: Setup) throws {
    let defect: Defect = setup.kind == .bounce ? .forgetsCopyOut : .exceedsMask
    try expectCaught(setup, defect) {
      try SameResultTests().`R5 the same driver gives the same results over every mapping`(
        setup: $0)
    }
  }
}
