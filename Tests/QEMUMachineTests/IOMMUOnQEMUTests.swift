import DMA
import DMAMapping
import Drivers
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  /// The IOMMU mapping drives QEMU's `intel-iommu`; edu is the device behind it.
  @Suite(.needsQEMU)
  struct IOMMUOnQEMUTests {
    /// Slot 2 of bus 0.
    static let requester: UInt16 = 0x10

    @Test(
      arguments: [EduMapping.iommuStrict, .iommuDeferred],
      [EduDevice.Completion.polling, .interrupt])
    func `R1 R2 addresses below 2^28 reach memory beyond, and interrupts arrive`(
      _ kind: EduMapping, _ completion: EduDevice.Completion
    ) throws {
      var random = SeededGenerator()
      let bench = try MappedEduBench(kind, completion: completion)
      let (domain, unit) = try bench.iommu
      #expect(unit.isTranslating)
      var source = try bench.high(5001)
      let expected = randomBytes(5001, &random)
      fill(&source, expected)
      var destination = try bench.high(5001)
      #expect(try bench.edu.copy(&source, to: &destination) == 4)
      #expect(bytes(destination) == expected)
      let mapping = try destination.map(Bidirectional.self, for: bench.dma).get()
      #expect(mapping.address.rawValue + 5000 <= MappedEduBench.mask.rawValue)
      #expect(domain.validEntryCount == 2)
      _ = mapping.unmap()
      domain.flush()
      // The interrupt page is none of the driver's.
      #expect(domain.validEntryCount == 0 && domain.waitingRangeCount == 0)
      #expect(bench.faults().isEmpty)
      bench.machine.stop()
      #expect(!bench.machine.diagnostics.contains("clamping"))
    }

    @Test func `R4 R78 an access after unmap is refused and says who, where and how`() throws {
      let bench = try MappedEduBench(.iommuStrict)
      var buffer = try bench.high(64)
      fill(&buffer, [UInt8](repeating: 0xa5, count: 64))
      let mapping = try buffer.map(Bidirectional.self, for: bench.dma).get()
      let address = mapping.address
      // The unit knows the translation by now.
      try bench.edu.write(from: address, byteCount: 64)
      #expect(bench.faults().isEmpty)
      var kept = mapping.unmap()
      fill(&kept, [UInt8](repeating: 0x5a, count: 64))
      try bench.edu.read(to: address, byteCount: 64)
      #expect(bench.faults() == [fault(address, isWrite: true)])
      #expect(bytes(kept) == [UInt8](repeating: 0x5a, count: 64))
      try bench.edu.write(from: address, byteCount: 64)
      let faults = bench.faults()
      #expect(faults == [fault(address, isWrite: false)])
      #expect(faults.first?.description.hasPrefix("device 00:02.0 read at 0x") == true)
      #expect(bench.faults().isEmpty)
    }

    @Test func `R77 a write to what was mapped for reading leaves memory as it is`() throws {
      let bench = try MappedEduBench(.iommuStrict)
      var other = try bench.high(64)
      fill(&other, [UInt8](repeating: 0xee, count: 64))
      let filling = try other.map(ToDevice.self, for: bench.dma).get()
      try bench.edu.write(from: filling.address, byteCount: 64)
      _ = filling.unmap()
      var buffer = try bench.high(64)
      fill(&buffer, [UInt8](repeating: 0x11, count: 64))
      let mapping = try buffer.map(ToDevice.self, for: bench.dma).get()
      try bench.edu.read(to: mapping.address, byteCount: 64)
      #expect(bench.faults() == [fault(mapping.address, isWrite: true)])
      // Reading is allowed; a write is refused after it as well (QEMU then keeps no record of it).
      try bench.edu.write(from: mapping.address, byteCount: 32)
      #expect(bench.faults().isEmpty)
      try bench.edu.read(to: mapping.address, byteCount: 64)
      #expect(bytes(mapping.unmap()) == [UInt8](repeating: 0x11, count: 64))
    }

    @Test func `R4 the stale window of deferred mode exists, and the flush closes it`() throws {
      let bench = try MappedEduBench(.iommuDeferred)
      let (domain, _) = try bench.iommu
      let content = [UInt8](repeating: 0x77, count: 64)
      let zeroes = [UInt8](repeating: 0, count: 64)
      var buffer = try bench.high(64)
      fill(&buffer, content)
      let mapping = try buffer.map(Bidirectional.self, for: bench.dma).get()
      let address = mapping.address
      try bench.edu.write(from: address, byteCount: 64)
      var kept = mapping.unmap()
      fill(&kept, zeroes)
      #expect(domain.validEntryCount == 0 && domain.waitingRangeCount == 1)
      // The entry is gone, the translation is not: memory that is the CPU's again is written.
      try bench.edu.read(to: address, byteCount: 64)
      #expect(bytes(kept) == content)
      #expect(bench.faults().isEmpty)
      fill(&kept, zeroes)
      domain.flush()
      #expect(domain.waitingRangeCount == 0)
      try bench.edu.read(to: address, byteCount: 64)
      #expect(bytes(kept) == zeroes)
      #expect(bench.faults() == [fault(address, isWrite: true)])
    }

    @Test func `an interrupt page that is not mapped is a fault like any other`() throws {
      let bench = try MappedEduBench(
        .iommuStrict, completion: .interrupt, mapsInterruptPage: false)
      let buffer = try bench.high(64)
      let mapping = try buffer.map(FromDevice.self, for: bench.dma).get()
      #expect(throws: EduError.timedOut(milliseconds: 1000)) {
        try bench.edu.read(to: mapping.address, byteCount: 64)
      }
      #expect(bench.faults() == [fault(DMAAddress(rawValue: 0x1000), isWrite: true)])
      _ = mapping.unmap()
    }

    @Test func `a unit whose machine is gone fails at once`() throws {
      let bench = try MappedEduBench(.iommuStrict)
      let (domain, unit) = try bench.iommu
      bench.machine.stop()
      let time = milliseconds {
        #expect(throws: DMAError.machine(code: 110)) { try domain.attach(requester: 0x20) }
        #expect(throws: DMAError.machine(code: 19)) {
          _ = try VTDUnit(registers: bench.iommuRegisters, platform: bench.machine.platform)
        }
      }
      #expect(time < 500)
      _ = unit
    }

    private func fault(_ address: DMAAddress, isWrite: Bool) -> IOMMUFault {
      IOMMUFault(
        requester: Self.requester, address: address.rawValue & ~4095, isWrite: isWrite,
        code: isWrite ? 5 : 6)
    }
  }
}
