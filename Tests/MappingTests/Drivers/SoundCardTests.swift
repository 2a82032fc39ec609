import DMA
import Drivers
import SimulatedMachine
import Synchronization
import Testing

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

  private func card(
    _ setup: Setup, has24BitZone: Bool, has32BitZone: Bool
  ) throws -> (DMADevice, Warnings, SimulatedMachine) {
    let machine = try MaskTests.platform(has24BitZone: has24BitZone, has32BitZone: has32BitZone)
    let warnings = Warnings()
    warnings.collect(machine.platform.log)
    let device = DMADevice(
      name: "sound", platform: machine.platform, mapping: setup.directMapping(machine.platform))
    return (device, warnings, machine)
  }

  @Test(arguments: [Setup.direct])
  func `E1 R27 a full platform enables both functions, at 24 bits`(setup: Setup) throws {
    let (device, warnings, _) = try card(setup, has24BitZone: true, has32BitZone: true)
    let card = SoundCard(device)
    #expect(card.canPlay && card.canRecord)
    #expect(device.mask == .bits24)
    #expect(warnings.all.isEmpty)
    let playback = try StreamingBuffer(byteCount: 4096, for: device)
    let mapping = try playback.map(ToDevice.self, for: device).get()
    #expect(mapping.address.rawValue <= 0xff_ffff)
    _ = mapping.unmap()
  }

  @Test(arguments: [Setup.direct])
  func `E1 R19 R20 without a 24-bit zone it only plays, with one warning`(setup: Setup) throws {
    let (device, warnings, _) = try card(setup, has24BitZone: false, has32BitZone: true)
    let card = SoundCard(device)
    #expect(card.canPlay && !card.canRecord)
    #expect(device.mask == .bits32)
    #expect(warnings.all.count == 1)
    #expect(warnings.all.first?.hasPrefix("sound: recording disabled") == true)
  }

  @Test(arguments: [Setup.direct])
  func `E1 without any low memory both functions are off, with two warnings`(setup: Setup) throws {
    let (device, warnings, _) = try card(setup, has24BitZone: false, has32BitZone: false)
    let card = SoundCard(device)
    #expect(!card.canPlay && !card.canRecord)
    #expect(device.mask == .bits32)
    #expect(warnings.all.count == 2)
  }

  @Test(arguments: [Setup.direct])
  func `E1b trying 24 bits first falls back to playback alone`(setup: Setup) throws {
    let (full, _, _) = try card(setup, has24BitZone: true, has32BitZone: true)
    let both = SoundCard(full, probe: .recordingFirst)
    #expect(both.canPlay && both.canRecord && full.mask == .bits24)
    let (limited, warnings, _) = try card(setup, has24BitZone: false, has32BitZone: true)
    let playback = SoundCard(limited, probe: .recordingFirst)
    #expect(playback.canPlay && !playback.canRecord && limited.mask == .bits32)
    #expect(warnings.all.count == 1)
  }

  @Test(arguments: [Setup.direct])
  func `E2 R21 a 24-bit device without its zone is skipped, or goes without DMA`(setup: Setup) throws {
    let (device, warnings, _) = try card(setup, has24BitZone: false, has32BitZone: true)
    #expect(NarrowCard(device, whenRefused: .skipDevice) == nil)
    #expect(NarrowCard(device, whenRefused: .useProgrammedIO)?.path == .programmedIO)
    #expect(warnings.all.count == 2 && warnings.all.allSatisfy { $0.hasPrefix("sound: ") })
    #expect(device.mask == .bits32)
  }

  @Test(arguments: [Setup.direct])
  func `E2 where 24 bits can be served every address is below 16 MiB`(setup: Setup) throws {
    let (device, warnings, _) = try card(setup, has24BitZone: true, has32BitZone: true)
    let card = try #require(NarrowCard(device, whenRefused: .skipDevice))
    #expect(card.path == .dma && device.mask == .bits24 && warnings.all.isEmpty)
    #expect(try CoherentPage(card.device).address <= 0xff_ffff)
  }
}
