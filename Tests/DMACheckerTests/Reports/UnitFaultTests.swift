import DMA
import DMAChecker
import DMAMapping
import PCI
import SimulatedMachine
import Synchronization
import Testing

/// Faults of an IOMMU that refused an access for real, as its driver tells them.
@Suite struct UnitFaultTests {
  private final class Storage: Sendable { let findings = Mutex<[Finding]>([]) }

  /// A machine whose IOMMU a probe device is behind, and nobody looks at the bus.
  private final class Bench {
    let machine: SimulatedMachine
    let probe = ProbeDevice()
    let card: PCIDevice
    let checker: DMAChecker
    private let kept: [Any]
    private let found = Storage()

    init(_ setup: Setup) throws {
      machine = try setup.machine(isCoherent: true)
      let place = try machine.attach(probe)
      let (mapping, kept) = try setup.mapping(machine, requester: UInt16(place.packed))
      self.kept = kept
      checker = DMAChecker { [found] finding in found.findings.withLock { $0.append(finding) } }
      card = try PCIDevice(host: machine.pci, address: place, mapping: mapping)
      card.enableBusMastering()
      checker.attach(to: card.dma)
    }

    /// What was found once somebody has waited.
    func findings() -> [Finding] {
      let platform = machine.platform
      let start = platform.nanoseconds
      while platform.nanoseconds - start < 2_000_000 { platform.relax() }
      return found.findings.withLock { $0 }
    }
  }

  private static let setups = [Setup.iommuStrict, .iommuDeferred]

  @Test(arguments: setups)
  func `a write to what was mapped to be read is told with that mapping`(setup: Setup) throws {
    let bench = try Bench(setup)
    let line = #line as UInt32 + 2
    let out = try StreamingBuffer(byteCount: 4096, for: bench.card.dma)
      .map(ToDevice.self, for: bench.card.dma, line: line).get()
    #expect(!bench.probe.write(out.address.rawValue + 8, [1]))
    let findings = bench.findings()
    #expect(findings.map(\.rule) == [.deviceWroteReadOnly])
    #expect(findings.first?.mapping?.site?.line == line)
    #expect(findings.first?.access?.isWrite == true)
    _ = out.unmap()
  }

  @Test func `a write after the unmap is told with the mapping that ended there`() throws {
    let bench = try Bench(.iommuStrict)
    let line = #line as UInt32 + 2
    let mapping = try StreamingBuffer(byteCount: 4096, for: bench.card.dma)
      .map(FromDevice.self, for: bench.card.dma, line: line).get()
    let address = mapping.address.rawValue
    _ = mapping.unmap(line: line + 1)
    #expect(!bench.probe.write(address, [1]))
    let findings = bench.findings()
    #expect(findings.map(\.rule) == [.deviceUseAfterUnmap])
    #expect(findings.first?.lastFreed?.site?.line == line)
    #expect(findings.first?.lastFreed?.endSite?.line == line + 1)
  }

  @Test(arguments: setups)
  func `an address that never was one is told, with the nearest mapping`(setup: Setup) throws {
    let bench = try Bench(setup)
    let near = try StreamingBuffer(byteCount: 4096, for: bench.card.dma)
      .map(FromDevice.self, for: bench.card.dma).get()
    #expect(bench.probe.read(0x1234_5000, byteCount: 4) == nil)
    let findings = bench.findings()
    #expect(findings.map(\.rule) == [.deviceUsedUnmapped])
    #expect(findings.first?.mapping?.address == near.address.rawValue)
    #expect(findings.first?.access?.isWrite == false)
    _ = near.unmap()
  }

  @Test(arguments: setups)
  func `accesses that are allowed are no finding`(setup: Setup) throws {
    let bench = try Bench(setup)
    let mapping = try StreamingBuffer(byteCount: 4096, for: bench.card.dma)
      .map(Bidirectional.self, for: bench.card.dma).get()
    #expect(bench.probe.write(mapping.address.rawValue + 4095, [1]))
    #expect(bench.probe.read(mapping.address.rawValue, byteCount: 4096) != nil)
    _ = mapping.unmap()
    #expect(bench.findings().isEmpty)
  }
}
