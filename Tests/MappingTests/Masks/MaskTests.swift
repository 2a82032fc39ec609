import DMA
import DMAMapping
import SimulatedMachine
import Testing

@Suite struct MaskTests {
  /// Platforms with differing windows: the highest mask each refuses, and the lowest it takes.
  static func platform(has24BitZone: Bool, has32BitZone: Bool) throws -> SimulatedMachine {
    var configuration = SimulatedMachine.Configuration()
    configuration.has24BitZone = has24BitZone
    configuration.has32BitZone = has32BitZone
    return try SimulatedMachine(configuration)
  }

  private func device(_ machine: SimulatedMachine, _ setup: Setup) -> DMADevice {
    DMADevice(
      name: "card", platform: machine.platform, mapping: setup.directMapping(machine.platform))
  }

  @Test(arguments: Setup.allCases)
  func `R15 a new device has 32-bit masks and maps without a mask call`(setup: Setup) throws {
    let bench = try setup.make()
    #expect(bench.dma.mask == .bits32)
    #expect(bench.dma.coherentMask == .bits32)
    let buffer = try StreamingBuffer(byteCount: 100, for: bench.dma)
    let mapping = try buffer.map(ToDevice.self, for: bench.dma).get()
    #expect(mapping.address.rawValue + 99 <= 0xffff_ffff)
    _ = mapping.unmap()
  }

  @Test(arguments: Setup.allCases)
  func `R16 T22 asking for support twice changes nothing`(setup: Setup) throws {
    let bench = try setup.make()
    for mask in [DMAMask.bits24, .bits64, DMAMask(bitCount: 8)] {
      #expect(bench.dma.supports(mask) == bench.dma.supports(mask))
      #expect(bench.dma.mask == .bits32 && bench.dma.coherentMask == .bits32)
    }
  }

  @Test(arguments: [Setup.direct])
  func `R17 T22 what is supported follows from the platform's memory`(setup: Setup) throws {
    let full = device(try Self.platform(has24BitZone: true, has32BitZone: true), setup)
    for bits in [24, 28, 30, 31, 32, 64] { #expect(full.supports(DMAMask(bitCount: bits))) }
    #expect(!full.supports(DMAMask(bitCount: 23)))
    let without24 = device(try Self.platform(has24BitZone: false, has32BitZone: true), setup)
    for bits in [24, 28, 30, 31] { #expect(!without24.supports(DMAMask(bitCount: bits))) }
    for bits in [32, 36, 64] { #expect(without24.supports(DMAMask(bitCount: bits))) }
    let high = device(try Self.platform(has24BitZone: false, has32BitZone: false), setup)
    for bits in [24, 31, 32] { #expect(!high.supports(DMAMask(bitCount: bits))) }
    #expect(high.supports(.bits64))
  }

  @Test(arguments: [Setup.direct])
  func `R18 a refused mask is told to whoever watches`(setup: Setup) throws {
    let machine = try Self.platform(has24BitZone: false, has32BitZone: true)
    let card = device(machine, setup)
    let recorder = EventRecorder()
    recorder.observe(card)
    #expect(!card.supports(.bits24))
    #expect(throws: DMAError.unsupportedMask(.bits24, required: .bits32)) {
      try card.setMask(.bits24)
    }
    // The driver that goes on all the same is the checker's to report: both events are there.
    let buffer = try StreamingBuffer(byteCount: 16, for: card)
    _ = try buffer.map(ToDevice.self, for: card).get().unmap()
    #expect(recorder.kinds() == [.deviceAdded, .maskRefused, .map, .unmap])
    #expect(recorder.records[1].byteCount == DMAMask.bits24.rawValue)
  }

  @Test(arguments: Setup.allCases)
  func `R22 after setting 24 bits every address is below 16 MiB`(setup: Setup) throws {
    let bench = try setup.make()
    try bench.dma.setMask(.bits24)
    for byteCount in [1, 1500, 4096, 65536] {
      let ring = try CoherentBuffer<UInt8>(count: byteCount, for: bench.dma)
      #expect(ring.address.rawValue + UInt64(byteCount) - 1 <= 0xff_ffff)
      let buffer = try StreamingBuffer(byteCount: byteCount, for: bench.dma)
      let mapping = try buffer.map(Bidirectional.self, for: bench.dma).get()
      #expect(mapping.address.rawValue + UInt64(byteCount) - 1 <= 0xff_ffff)
      _ = mapping.unmap()
    }
  }

  @Test(arguments: [Setup.direct])
  func `R23 R24 the mask is recorded as it was passed`(setup: Setup) throws {
    let card = device(try Self.platform(has24BitZone: true, has32BitZone: true), setup)
    for bits in [24, 28, 31, 32, 40, 64] {
      try card.setMask(DMAMask(bitCount: bits))
      #expect(card.mask == DMAMask(bitCount: bits))
      #expect(card.coherentMask == DMAMask(bitCount: bits))
    }
    try card.setStreamingMask(.bits64)
    try card.setCoherentMask(.bits24)
    #expect(card.mask == .bits64 && card.coherentMask == .bits24)
  }

  @Test(arguments: [Setup.direct])
  func `R25 T1 query and record speak of the same masks`(setup: Setup) throws {
    let card = device(try Self.platform(has24BitZone: false, has32BitZone: true), setup)
    for bits in 1...64 {
      let mask = DMAMask(bitCount: bits)
      if card.supports(mask) {
        try card.setMask(mask)
      } else {
        #expect(throws: DMAError.unsupportedMask(mask, required: .bits32)) {
          try card.setMask(mask)
        }
      }
    }
  }

  @Test(arguments: [Setup.direct])
  func `R26 a refused mask leaves the old one`(setup: Setup) throws {
    let card = device(try Self.platform(has24BitZone: true, has32BitZone: true), setup)
    try card.setMask(.bits32)
    #expect(throws: DMAError.unsupportedMask(DMAMask(bitCount: 8), required: .bits24)) {
      try card.setMask(DMAMask(bitCount: 8))
    }
    #expect(card.mask == .bits32 && card.coherentMask == .bits32)
  }

  @Test(arguments: [Setup.direct])
  func `R28 the last successful mask wins, in either order`(setup: Setup) throws {
    let card = device(try Self.platform(has24BitZone: true, has32BitZone: true), setup)
    try card.setMask(.bits24)
    try card.setMask(.bits32)
    #expect(card.mask == .bits32)
    try card.setMask(.bits24)
    #expect(card.mask == .bits24)
  }

  @Test(arguments: [Setup.direct])
  func `R29 24 bits are served from the lowest zone`(setup: Setup) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 64 << 20
    let machine = try SimulatedMachine(configuration)
    let card = device(machine, setup)
    try card.setMask(.bits24)
    // All of the zone can be had, and what lies above it is not given out instead.
    var held: [CoherentPage] = []
    while let page = try? CoherentPage(card) { held.append(page) }
    #expect(held.count > 1000)
    #expect(held.allSatisfy { $0.address < 1 << 24 })
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: 0xff_ffff)) {
      _ = try CoherentPage(card)
    }
  }

  @Test(arguments: [Setup.direct])
  func `a mask that reaches all memory is required, a lower one is a limit`(setup: Setup) throws {
    let card = device(try Self.platform(has24BitZone: true, has32BitZone: true), setup)
    #expect(card.requiredMask.bitCount == 33)
    #expect(card.isAddressingLimited)
    try card.setMask(.bits64)
    #expect(!card.isAddressingLimited)
  }
}

/// A page of coherent memory that can be kept in an array.
final class CoherentPage {
  private let buffer: CoherentBuffer<UInt8>
  var address: UInt64 { buffer.address.rawValue }
  init(_ device: DMADevice) throws(DMAError) {
    buffer = try CoherentBuffer(count: 4096, for: device)
  }
}
