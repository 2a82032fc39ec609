import DMA
import Testing

/// The tests of coherent memory over mappings that do not give it.
@Suite struct BrokenCoherentTests {
  private let coherent = CoherentTests()
  private let uses = IntendedUseTests()

  @Test func `R51 R52 T9 misaligned coherent memory does not get to a driver`() async {
    await #expect(processExitsWith: .failure) {
      var setup = Setup.direct
      setup.defect = .misalignsCoherentMemory
      try CoherentTests().`R51 T9 both addresses are aligned to the size in pages`(setup: setup)
    }
    await #expect(processExitsWith: .failure) {
      var setup = Setup.iommuStrict
      setup.defect = .misalignsCoherentMemory
      try CoherentTests().`R52 nothing up to 64 KiB crosses a 64 KiB boundary`(setup: setup)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R31 R32 R34 R35 R36 R37 catch coherent memory of which the device has a copy`(
    setup: Setup
  ) throws {
    try expectCaught(setup, .bouncesCoherentMemory) {
      try coherent.`R32 R37 CPU and device see each other's stores without a call`(setup: $0)
    }
    try expectCaught(setup, .bouncesCoherentMemory) {
      try coherent.`R31 coherent memory is held across a million transfers`(setup: $0)
    }
    try expectCaught(setup, .bouncesCoherentMemory) {
      try uses.`R34 a card's ring is polled for the bit that the card sets`(setup: $0)
    }
    try expectCaught(setup, .bouncesCoherentMemory) {
      try uses.`R35 a mailbox carries commands one way and answers the other`(setup: $0)
    }
    try expectCaught(setup, .bouncesCoherentMemory) {
      try uses.`R36 a device executes firmware that the CPU stored at any time before`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R43 R48 R49 R53 catch coherent memory that is not zeroed, or never freed`(
    setup: Setup
  ) throws {
    try expectCaught(setup, .forgetsToZero) {
      try coherent.`R48 any length in bytes can be had, and all of it is zero`(setup: $0)
    }
    try expectCaught(setup, .leaksCoherentMemory) {
      try coherent.`R43 R49 a size takes the smallest power of two of pages`(setup: $0)
    }
    try expectCaught(setup, .leaksCoherentMemory) {
      try coherent.`R53 a wrong device, size, CPU address or handle frees nothing`(setup: $0)
    }
  }

  @Test(arguments: [Setup.direct, .iommuStrict])
  func `R44 R54 catch memory that does not come back`(setup: Setup) throws {
    try expectCaught(
      setup, .leaksCoherentMemory,
      orThrowing: { if case .outOfMemory = $0 { true } else { false } }
    ) {
      try coherent.`R44 R54 exhausted memory gives neither address, and comes back`(setup: $0)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R46 T8 T10 catch an allocation that waits, and a free that is never done`(
    setup: Setup
  ) throws {
    try expectCaught(setup, .waits) {
      try coherent.`R46 T8 allocation works in an interrupt and under a spin lock`(setup: $0)
    }
  }

  @Test func `R47 catches buses that see the same addresses`() throws {
    try expectCaught(.direct, .forgetsOffset) {
      try coherent.`R47 the same number means different memory on two buses`(setup: $0)
    }
  }

  @Test(arguments: [Setup.iommuStrict, .iommuDeferred])
  func `R79 catches coherent memory that the device may only read`(setup: Setup) throws {
    try expectCaught(setup, .protectsCoherentMemory) {
      try uses.`R79 coherent memory and blocks of pools have no direction: the device does both`(
        setup: $0)
    }
  }

  @Test func `T24 catches an address that is cut to 32 bits`() throws {
    try expectCaught(.direct, .cutsAddresses) {
      try uses.`T24 bus addresses keep all their 64 bits`(setup: $0)
    }
  }
}
