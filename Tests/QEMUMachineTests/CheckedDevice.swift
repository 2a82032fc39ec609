import DMA
import DMAChecker
import DMAMapping
import PCI
import QEMUMachine
import Synchronization
import TestSupport
import Testing

/// What stands between a device of QEMU's and memory.
enum QEMUMapping: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case direct
  case bounce
  case iommuStrict = "IOMMU, strict"
  case iommuDeferred = "IOMMU, deferred"

  var testDescription: String { rawValue }
  var hasIOMMU: Bool { self == .iommuStrict || self == .iommuDeferred }
}

/// The first device of a QEMU machine, behind a mapping, with a checker that watches it.
final class CheckedDevice {
  let machine: QEMUMachine
  let device: PCIDevice
  let checker: DMAChecker
  let domain: IOMMUDomain?
  let unit: VTDUnit?
  private let found: Findings

  final class Findings: Sendable {
    let list = Mutex<[Finding]>([])
  }

  init(_ mapping: QEMUMapping, _ configuration: QEMUMachine.Configuration) throws {
    var configuration = configuration
    configuration.hasIOMMU = mapping.hasIOMMU
    machine = try QEMUMachine(configuration)
    let address = machine.address(of: 0)
    var domain: IOMMUDomain?
    var unit: VTDUnit?
    let way: DMAMapping
    switch mapping {
    case .direct: way = DirectMapping.make(for: machine.platform)
    case .bounce:
      var options = BounceMapping.Options()
      options.limit = .bits32
      way = try BounceMapping(platform: machine.platform, options: options).mapping
    case .iommuStrict, .iommuDeferred:
      let registers = machine.registers(
        at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096)
      let vtd = try VTDUnit(registers: registers, platform: machine.platform)
      var options = IOMMUDomain.Options()
      // So long that nothing is flushed before the test says so.
      if mapping == .iommuDeferred { options.invalidation = .deferred(nanoseconds: .max) }
      let translation = try IOMMUDomain(
        platform: machine.platform, unit: vtd.unit, options: options)
      try translation.mapIdentity(machine.interruptPage, .fromDevice)
      try translation.attach(requester: UInt16(address.packed))
      way = translation.mapping
      (domain, unit) = (translation, vtd)
    }
    (self.domain, self.unit) = (domain, unit)
    device = try PCIDevice(host: machine.pci, address: address, mapping: way)
    let found = Findings()
    self.found = found
    checker = DMAChecker { finding in found.list.withLock { $0.append(finding) } }
    checker.attach(to: device.dma)
  }

  var findings: [Finding] { found.list.withLock { $0 } }

  /// Ends the device, whose driver is gone, and gives all that was found.
  func finish() -> [Finding] {
    device.remove()
    let statistics = checker.finish()
    #expect(!statistics.isIncomplete)
    return findings
  }
}
