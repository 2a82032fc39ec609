import ACPI
import BareMetal
import DMA
import DMAChecker
import DMAMapping
import Drivers
import PCI

#if arch(x86_64)
  extension PCIAddress {
    /// The device as IOMMUs see it.
    fileprivate var requester: UInt16 { UInt16(truncatingIfNeeded: packed) }
  }

  /// VT-d: the unit that ACPI names, with the mapping that every machine has.
  ///
  /// On a view of the machine of its own, so that translation ends with it.
  func checkRemapping(
    _ table: inout CheckTable, _ description: MachineDescription, _ memory: SharedMemory,
    _ given: GivenDevices, _ file: borrowing SourceFile
  ) {
    guard let unit = description.remappingUnits.unit(for: given.edu28.requester),
      description.remappingUnits.unit(for: given.disk.requester) == unit
    else {
      print("      note    no IOMMU is described: bounce buffers do its work")
      return
    }
    do throws(MachineError) {
      let machine = try BareMachine(description, memory: memory)
      guard let given = sameDevices(given, of: machine) else { return }
      checkUnit(&table, machine, given, unit.registers, file)
    } catch {
      table.run("VT-d: a view of the machine") { () throws(CheckFailure) in
        throw CheckFailure(error.description)
      }
      return
    }
    table.run("edu: direct again, translation is off") { () throws(CheckFailure) in
      try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
        try copy(file, through: edu, placement: .anywhere)
      }
    }
  }

  private func checkUnit(
    _ table: inout CheckTable, _ machine: BareMachine, _ given: GivenDevices, _ registers: UInt64,
    _ file: borrowing SourceFile
  ) {
    var found: VTDUnit?
    table.run("VT-d: found through ACPI, translating") { () throws(CheckFailure) in
      guard let window = RegisterWindow.memory(at: registers, byteCount: 4096) else {
        throw CheckFailure("its registers are out of the CPU's reach")
      }
      let unit = try attempt { () throws(DMAError) in
        try VTDUnit(registers: window, platform: machine.platform)
      }
      found = unit
      try require(unit.isTranslating, "translation is off")
      return "registers at " + hex(registers)
        + ", \(unit.unit.levels) levels, up to " + hex(unit.unit.lastAddress)
    }
    guard let unit = found else { return }
    let bench = RemappingBench(machine: machine, given: given, unit: unit)
    table.run("edu, 28 bits: above 4 GiB by VT-d, MSI") { () throws(CheckFailure) in
      try bench.rescue(file)
    }
    table.run("VT-d: an access after unmap is refused") { () throws(CheckFailure) in
      try bench.accessAfterUnmap()
    }
    table.run("VT-d: a write to read-only is refused") { () throws(CheckFailure) in
      try bench.writeToReadOnly()
    }
    table.run("nvme behind VT-d: copy random MiB") { () throws(CheckFailure) in
      try bench.copyDisk()
    }
  }

  /// Devices behind a unit, each in an address space of its own.
  private struct RemappingBench {
    let machine: BareMachine
    let given: GivenDevices
    let unit: VTDUnit

    func domain(for address: PCIAddress) throws(CheckFailure) -> IOMMUDomain {
      do throws(DMAError) {
        let domain = try IOMMUDomain(platform: machine.platform, unit: unit.unit)
        // Message interrupts are writes like any other.
        try domain.mapIdentity(try machine.interruptPage(), .fromDevice)
        try domain.attach(requester: address.requester)
        return domain
      } catch { throw CheckFailure(error.description) }
    }

    func withEdu28(
      completion: EduDevice.Completion = .polling,
      _ body: (EduDevice) throws(CheckFailure) -> String
    ) throws(CheckFailure) -> String {
      let domain = try domain(for: given.edu28)
      let seen = try withEdu(
        given.host, given.edu28, mask: EduDevice.defaultMask, mapping: domain.mapping,
        completion: completion, body)
      try attempt { () throws(DMAError) in
        try domain.detach(requester: given.edu28.requester)
      }
      return seen
    }

    private func takeFaults() -> [IOMMUFault] {
      var faults: [IOMMUFault] = []
      unit.takeFaults { faults.append($0) }
      return faults
    }

    /// Memory above 4 GiB for a device with 28 bits: only a translated address gets there.
    func rescue(_ file: borrowing SourceFile) throws(CheckFailure) -> String {
      let seen = try withEdu28(completion: .interrupt) { edu throws(CheckFailure) in
        // Of one page and of two: the sizes that the copy maps, whose caches are made at first use.
        var address: UInt64 = 0
        for byteCount in [64, 8000] {
          let mapping = try lend(
            try highBuffer(
              byteCount: byteCount, above: DMAMask.bits32.rawValue, in: machine.platform),
            to: edu.device.dma)
          address = mapping.address.rawValue
          _ = mapping.unmap()
          try require(
            address + UInt64(byteCount - 1) <= EduDevice.defaultMask.rawValue,
            "given " + hex(address))
        }
        return "bus address " + hex(address) + "; "
          + (try copy(file, through: edu, placement: .high))
      }
      let faults = takeFaults()
      try require(faults.isEmpty, faults.first?.description ?? "")
      return seen
    }

    /// The unit says who, where and how; the checker says which mapping it was.
    func accessAfterUnmap() throws(CheckFailure) -> String {
      let log = FindingLog()
      let checker = log.makeChecker()
      return try withEdu28 { edu throws(CheckFailure) in
        checker.attach(to: edu.device.dma)
        var buffer = try highBuffer(
          byteCount: 64, above: DMAMask.bits32.rawValue, in: machine.platform)
        fill(&buffer, 0xa5)
        let mapping: StreamingMapping<Bidirectional>
        let line: UInt32 = #line + 2
        do throws(DMAError) {
          mapping = try buffer.map(Bidirectional.self, for: edu.device.dma).get()
        } catch { throw CheckFailure(error.description) }
        let address = mapping.address
        // The unit knows the translation from here on.
        try attempt { () throws(EduError) in try edu.write(from: address, byteCount: 64) }
        var kept = mapping.unmap()
        fill(&kept, 0x5a)
        try attempt { () throws(EduError) in try edu.read(to: address, byteCount: 64) }
        try requireFilled(kept, 0x5a)
        let fault = try onlyFault(edu, address, isWrite: true)
        checker.reportFault(
          edu.device.dma, address: DMAAddress(rawValue: fault.address), byteCount: 64,
          isWrite: fault.isWrite, reason: .notMapped)
        try log.requireOnly(
          .deviceUseAfterUnmap, device: edu.device.dma.name, madeAt: line)
        return fault.description
      }
    }

    func writeToReadOnly() throws(CheckFailure) -> String {
      try withEdu28 { edu throws(CheckFailure) in
        var buffer = try highBuffer(
          byteCount: 64, above: DMAMask.bits32.rawValue, in: machine.platform)
        fill(&buffer, 0x11)
        let mapping: StreamingMapping<ToDevice>
        do throws(DMAError) {
          mapping = try buffer.map(ToDevice.self, for: edu.device.dma).get()
        } catch { throw CheckFailure(error.description) }
        let address = mapping.address
        try attempt { () throws(EduError) in try edu.read(to: address, byteCount: 64) }
        let fault = try onlyFault(edu, address, isWrite: true)
        let kept = mapping.unmap()
        try requireFilled(kept, 0x11)
        return fault.description
      }
    }

    private func onlyFault(
      _ edu: EduDevice, _ address: DMAAddress, isWrite: Bool
    ) throws(CheckFailure) -> IOMMUFault {
      let faults = takeFaults()
      guard faults.count == 1, let fault = faults.first else {
        throw CheckFailure("\(faults.count) faults were recorded")
      }
      try require(
        fault.requester == edu.device.address.requester
          && fault.address == address.rawValue & ~4095 && fault.isWrite == isWrite,
        fault.description)
      return fault
    }

    private func requireFilled(
      _ buffer: borrowing StreamingBuffer, _ value: UInt8
    ) throws(CheckFailure) {
      let bytes = buffer.bytes
      for index in 0..<bytes.byteCount {
        try require(load(bytes, index) == value, "the device wrote byte \(index)")
      }
    }

    func copyDisk() throws(CheckFailure) -> String {
      let domain = try domain(for: given.disk)
      let seen = try withDisk(given, mapping: domain.mapping, completion: .interrupt) {
        disk, namespace throws(CheckFailure) in
        try copyBlocks(to: DiskLayout.remapped, disk, namespace)
      }
      let faults = takeFaults()
      try require(faults.isEmpty, faults.first?.description ?? "")
      let counts = domain.invalidationCounts
      return seen + "; \(counts.ranges + counts.domains) invalidations"
    }
  }
#else
  func checkRemapping(
    _ table: inout CheckTable, _ description: MachineDescription, _ memory: SharedMemory,
    _ given: GivenDevices, _ file: borrowing SourceFile
  ) {
    // A device tree names no unit that there is a driver for.
    print("      note    no IOMMU is described: bounce buffers do its work")
  }
#endif
