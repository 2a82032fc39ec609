import DMA
import DMAMapping
import Drivers
import SimulatedMachine
import Synchronization
import Testing

/// Drivers of devices with narrow masks, over every mapping.
///
/// Which masks can be served is the mapping's to say: direct and bounce mappings need memory
/// there, an IOMMU gives low addresses to any memory.
@Suite struct SoundCardTests {
  private final class Warnings: Sendable {
    private let state = Mutex<[String]>([])
    var all: [String] { state.withLock { $0 } }
    func collect(_ log: DMALog) {
      log.setHandler { level, device, text in
        guard level == .warning else { return }
        self.state.withLock { $0.append("\(device): \(text)") }
      }
    }
  }

  private func machine(
    _ setup: Setup, has24BitZone: Bool, has32BitZone: Bool
  ) throws -> (Bench, Warnings) {
    var configuration = SimulatedMachine.Configuration()
    configuration.has24BitZone = has24BitZone
    configuration.has32BitZone = has32BitZone
    let bench = try setup.make(configuration)
    let warnings = Warnings()
    warnings.collect(bench.platform.log)
    return (bench, warnings)
  }

  /// Whether everything a function maps or allocates is within the mask that is recorded.
  private func expectReach(_ bench: Bench, _ setup: Setup) throws {
    let limit = bench.dma.mask.rawValue
    // Where something stands between, memory may lie anywhere.
    let buffer =
      setup.kind == .direct
      ? try StreamingBuffer(byteCount: 8192, for: bench.dma)
      : try StreamingBuffer(byteCount: 8192, in: bench.platform, placement: .high)
    let mapping = try buffer.map(ToDevice.self, for: bench.dma).get()
    #expect(mapping.address.rawValue + 8191 <= limit)
    _ = mapping.unmap()
    #expect(try CoherentPage(bench.dma).address + 4095 <= limit)
    let pool = try DMAPool(name: "periods", blockSize: 64, for: bench.dma)
    let block = try pool.allocate()
    #expect(block.address.rawValue + 63 <= limit)
  }

  @Test(arguments: Setup.allCases)
  func `E1 R27 a full platform enables both functions, at 24 bits`(setup: Setup) throws {
    let (bench, warnings) = try machine(setup, has24BitZone: true, has32BitZone: true)
    let card = SoundCard(bench.dma)
    #expect(card.canPlay && card.canRecord)
    #expect(bench.dma.mask == .bits24)
    #expect(warnings.all.isEmpty)
    // Playback's buffers too: the narrowest mask was set last.
    try expectReach(bench, setup)
  }

  @Test(arguments: Setup.allCases)
  func `E1 R19 R20 without a 24-bit zone it only plays, with one warning`(setup: Setup) throws {
    let (bench, warnings) = try machine(setup, has24BitZone: false, has32BitZone: true)
    let card = SoundCard(bench.dma)
    if setup.hasIOMMU {
      // Translation makes the zone: it does all, with memory from anywhere.
      #expect(card.canPlay && card.canRecord && bench.dma.mask == .bits24)
      #expect(warnings.all.isEmpty)
    } else {
      #expect(card.canPlay && !card.canRecord && bench.dma.mask == .bits32)
      #expect(warnings.all.count == 1)
      #expect(warnings.all.first?.hasPrefix("\(bench.dma.name): recording disabled") == true)
    }
    try expectReach(bench, setup)
  }

  @Test(arguments: Setup.allCases)
  func `E1 without any low memory both functions are off, with two warnings`(
    setup: Setup
  ) throws {
    let (bench, warnings) = try machine(setup, has24BitZone: false, has32BitZone: false)
    let card = SoundCard(bench.dma)
    if setup.hasIOMMU {
      #expect(card.canPlay && card.canRecord && bench.dma.mask == .bits24)
      try expectReach(bench, setup)
    } else {
      #expect(!card.canPlay && !card.canRecord && bench.dma.mask == .bits32)
      #expect(warnings.all.count == 2)
      #expect(warnings.all.allSatisfy { $0.contains(" disabled due to DMA limitations") })
    }
  }

  @Test(arguments: Setup.allCases)
  func `E1b trying 24 bits first falls back to playback alone`(setup: Setup) throws {
    let (full, _) = try machine(setup, has24BitZone: true, has32BitZone: true)
    let both = SoundCard(full.dma, probe: .recordingFirst)
    #expect(both.canPlay && both.canRecord && full.dma.mask == .bits24)
    try expectReach(full, setup)
    let (limited, warnings) = try machine(setup, has24BitZone: false, has32BitZone: true)
    let card = SoundCard(limited.dma, probe: .recordingFirst)
    #expect(card.canPlay && card.canRecord == setup.hasIOMMU)
    #expect(limited.dma.mask == (setup.hasIOMMU ? .bits24 : .bits32))
    #expect(warnings.all.count == (setup.hasIOMMU ? 0 : 1))
    try expectReach(limited, setup)
  }

  @Test(arguments: Setup.allCases)
  func `E2 R21 a 24-bit device without its zone is skipped, or goes without DMA`(
    setup: Setup
  ) throws {
    let (bench, warnings) = try machine(setup, has24BitZone: false, has32BitZone: true)
    if setup.hasIOMMU {
      #expect(NarrowCard(bench.dma, whenRefused: .skipDevice)?.path == .dma)
      #expect(warnings.all.isEmpty)
      return try expectReach(bench, setup)
    }
    #expect(NarrowCard(bench.dma, whenRefused: .skipDevice) == nil)
    #expect(NarrowCard(bench.dma, whenRefused: .useProgrammedIO)?.path == .programmedIO)
    #expect(warnings.all.count == 2)
    #expect(warnings.all.allSatisfy { $0.hasPrefix("\(bench.dma.name): ") })
    #expect(bench.dma.mask == .bits32)
  }

  @Test(arguments: Setup.allCases)
  func `E2 where 24 bits can be served every address is below 16 MiB`(setup: Setup) throws {
    let (bench, warnings) = try machine(setup, has24BitZone: true, has32BitZone: true)
    let card = try #require(NarrowCard(bench.dma, whenRefused: .skipDevice))
    #expect(card.path == .dma && bench.dma.mask == .bits24 && warnings.all.isEmpty)
    try expectReach(bench, setup)
    // The helper and asking first leave the same state.
    let (other, _) = try machine(setup, has24BitZone: true, has32BitZone: true)
    try other.dma.setMask(.bits24)
    #expect(other.dma.mask == bench.dma.mask && other.dma.coherentMask == bench.dma.coherentMask)
  }
}
