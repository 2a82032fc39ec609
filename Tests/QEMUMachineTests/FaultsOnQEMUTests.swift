import DMA
import DMAChecker
import DMAMapping
import Drivers
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  /// What QEMU's IOMMU refuses becomes a finding that names the mapping the device meant.
  @Suite(.needsQEMU)
  struct FaultsOnQEMUTests {
    /// An edu device behind QEMU's IOMMU, watched, with its driver.
    private final class Bench {
      let checked: CheckedDevice
      let edu: EduDevice

      init(_ mapping: QEMUMapping) throws {
        var configuration = QEMUMachine.Configuration(devices: [.edu()])
        configuration.memoryByteCount = 64 << 20
        checked = try CheckedDevice(mapping, configuration)
        edu = try EduDevice(checked.device)
      }

      var dma: DMADevice { checked.device.dma }

      /// The findings there are once the unit's records were looked at.
      func findings() throws -> [Finding] {
        try #require(checked.unit).reportFaults()
        return checked.findings
      }

      func buffer(filledWith byte: UInt8) throws -> StreamingBuffer {
        var buffer = try StreamingBuffer(byteCount: 4096, in: checked.machine.platform)
        fill(&buffer, [UInt8](repeating: byte, count: 4096))
        return buffer
      }
    }

    private func isHere(_ site: CallSite?, _ line: Int) -> Bool {
      guard let site else { return false }
      return "\(site)".contains("FaultsOnQEMUTests.swift:\(line)")
    }

    @Test func `R78 an access that was never mapped is tied to the nearest mapping`() throws {
      let bench = try Bench(.iommuStrict)
      let line = #line + 1
      let mapping = try bench.buffer(filledWith: 1).map(ToDevice.self, for: bench.dma).get()
      try bench.edu.write(from: mapping.address, byteCount: 64)
      #expect(try bench.findings().isEmpty)
      let wild = DMAAddress(rawValue: mapping.address.rawValue & ~0xffff &- 0x10_0000)
      try bench.edu.write(from: wild, byteCount: 64)
      let findings = try bench.findings()
      #expect(findings.map(\.rule) == [.deviceUsedUnmapped])
      let finding = try #require(findings.first)
      #expect(finding.device == "0000:00:02.0")
      #expect(finding.access?.address == wild.rawValue && finding.access?.isWrite == false)
      #expect(finding.mapping?.address == mapping.address.rawValue)
      #expect(isHere(finding.mapping?.site, line))
      _ = mapping.unmap()
    }

    @Test func `R77 R78 a write to a read-only mapping is tied to it, and memory stays`() throws {
      let bench = try Bench(.iommuStrict)
      let line = #line + 1
      let mapping = try bench.buffer(filledWith: 0x11).map(ToDevice.self, for: bench.dma).get()
      try bench.edu.read(to: mapping.address, byteCount: 64)
      let findings = try bench.findings()
      #expect(findings.map(\.rule) == [.deviceWroteReadOnly])
      let finding = try #require(findings.first)
      #expect(finding.access?.isWrite == true)
      #expect(finding.mapping?.address == mapping.address.rawValue)
      #expect(finding.mapping?.direction == .toDevice)
      #expect(isHere(finding.mapping?.site, line))
      #expect(bytes(mapping.unmap()) == [UInt8](repeating: 0x11, count: 4096))
    }

    @Test func `R4 R78 in strict mode an access after unmap is tied to the mapping that ended`()
      throws
    {
      let bench = try Bench(.iommuStrict)
      let line = #line + 1
      let mapping = try bench.buffer(filledWith: 2).map(FromDevice.self, for: bench.dma).get()
      let address = mapping.address
      // The unit knows the translation by now.
      try bench.edu.read(to: address, byteCount: 64)
      #expect(try bench.findings().isEmpty)
      let endLine = #line + 1
      var kept = mapping.unmap()
      fill(&kept, [UInt8](repeating: 0x5a, count: 4096))
      try bench.edu.read(to: address, byteCount: 64)
      let findings = try bench.findings()
      #expect(findings.map(\.rule) == [.deviceUseAfterUnmap])
      let finding = try #require(findings.first)
      #expect(finding.lastFreed?.address == address.rawValue)
      #expect(isHere(finding.lastFreed?.site, line))
      #expect(isHere(finding.lastFreed?.endSite, endLine))
      #expect(bytes(kept) == [UInt8](repeating: 0x5a, count: 4096))
    }

    @Test func `R4 R78 in deferred mode the stale window is open, and a fault once it is flushed`()
      throws
    {
      let bench = try Bench(.iommuDeferred)
      let domain = try #require(bench.checked.domain)
      let line = #line + 1
      let mapping = try bench.buffer(filledWith: 3).map(FromDevice.self, for: bench.dma).get()
      let address = mapping.address
      try bench.edu.read(to: address, byteCount: 64)
      var kept = mapping.unmap()
      let own = [UInt8](repeating: 0x5a, count: 4096)
      fill(&kept, own)
      // The window: memory that is the CPU's again is written, and no unit says so.
      try bench.edu.read(to: address, byteCount: 64)
      #expect(bytes(kept) != own)
      #expect(try bench.findings().isEmpty)
      fill(&kept, own)
      domain.flush()
      try bench.edu.read(to: address, byteCount: 64)
      #expect(bytes(kept) == own)
      let findings = try bench.findings()
      #expect(findings.map(\.rule) == [.deviceUseAfterUnmap])
      #expect(findings.first?.lastFreed?.address == address.rawValue)
      #expect(isHere(findings.first?.lastFreed?.site, line))
    }
  }
}
