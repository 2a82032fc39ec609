import DMA
import Testing

/// The tests of masks and of the drivers that use them, over mappings that do not keep to them.
@Suite struct BrokenMaskTests {
  private let masks = MaskTests()
  private let sound = SoundCardTests()

  private static let unsupported: @Sendable (DMAError) -> Bool = {
    if case .unsupportedMask = $0 { true } else { false }
  }

  @Test(arguments: Setup.allCases)
  func `R16 T22 catch a query with a side effect`(setup: Setup) throws {
    try expectCaught(setup, .storesMaskWhenAsked) {
      try masks.`R16 T22 asking for support twice changes nothing`(setup: $0)
    }
  }

  @Test func `R17 R18 R25 R26 T1 T22 catch answers that are not the platform's`() throws {
    try expectCaught(.direct, .ignoresMasks) {
      try masks.`R17 T22 what is supported follows from the platform's memory`(setup: $0)
    }
    try expectCaught(
      .direct, .ignoresMasks, orThrowing: { if case .outOfMemory = $0 { true } else { false } }
    ) {
      try masks.`R18 a refused mask is told to whoever watches`(setup: $0)
    }
    try expectCaught(.direct, .refusesMasks) {
      try masks.`R25 T1 query and record speak of the same masks`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks) {
      try masks.`R26 a refused mask leaves the old one`(setup: $0)
    }
  }

  @Test(arguments: [Setup.direct, .bounce, .iommuStrict, .iommuDeferred])
  func `R22 catches addresses beyond a mask that was set`(setup: Setup) throws {
    try expectCaught(setup, .ignoresMasks) {
      try masks.`R22 after setting 24 bits every address is below 16 MiB`(setup: $0)
    }
  }

  @Test func `R23 R24 R28 R29 catch a mask that cannot be set, or is not kept to`() throws {
    try expectCaught(.direct, .refusesMasks, orThrowing: Self.unsupported) {
      try masks.`R23 R24 the mask is recorded as it was passed`(setup: $0)
    }
    try expectCaught(.direct, .refusesMasks, orThrowing: Self.unsupported) {
      try masks.`R28 the last successful mask wins, in either order`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks) {
      try masks.`R29 24 bits are served from the lowest zone`(setup: $0)
    }
  }

  @Test func `R45 T20 catch memory that a device without a device cannot reach`() throws {
    let coherent = CoherentTests()
    for setup in [Setup.direct, .iommuStrict] {
      try expectCaught(setup, .ignoresMasks) {
        try coherent.`R45 T20 no device at all means addresses below 16 MiB`(setup: $0)
      }
    }
    try expectCaught(.direct, .ignoresMasks) {
      try coherent.`R45 T20 without memory below 16 MiB it gets none`(setup: $0)
    }
  }

  /// A mask that was not refused is one below which there is no memory.
  private static let isOutOfMemory: @Sendable (DMAError) -> Bool = {
    if case .outOfMemory = $0 { true } else { false }
  }

  @Test func `E1 E1b E2 catch a platform that says yes, or no, to everything`() throws {
    try expectCaught(.direct, .refusesMasks) {
      try sound.`E1 R27 a full platform enables both functions, at 24 bits`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks, orThrowing: Self.isOutOfMemory) {
      try sound.`E1 R19 R20 without a 24-bit zone it only plays, with one warning`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks, orThrowing: Self.isOutOfMemory) {
      try sound.`E1 without any low memory both functions are off, with two warnings`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks, orThrowing: Self.isOutOfMemory) {
      try sound.`E1b trying 24 bits first falls back to playback alone`(setup: $0)
    }
    try expectCaught(.direct, .ignoresMasks, orThrowing: Self.isOutOfMemory) {
      try sound.`E2 R21 a 24-bit device without its zone is skipped, or goes without DMA`(
        setup: $0)
    }
    try expectCaught(.direct, .refusesMasks) {
      try sound.`E2 where 24 bits can be served every address is below 16 MiB`(setup: $0)
    }
  }
}
