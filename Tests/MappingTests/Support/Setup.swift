import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// One way to stand between a device and memory: the whole suite runs over each (R5).
enum Setup: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case direct
  /// Everything is copied, also what the device reaches by itself.
  case bounce

  var testDescription: String { rawValue }

  /// A machine with one probe device behind this mapping.
  func make(_ configuration: SimulatedMachine.Configuration = .init()) throws -> Bench {
    try Bench(self, configuration)
  }

  func mapping(_ platform: Platform) throws -> DMAMapping {
    switch self {
    case .direct: return DirectMapping.make(for: platform)
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 4096
      options.isForced = true
      return try BounceMapping(platform: platform, options: options).mapping
    }
  }
}

/// A machine, a probe device on it, and what its driver has.
final class Bench {
  let machine: SimulatedMachine
  let probe = ProbeDevice()
  let device: PCIDevice
  private let setup: Setup

  init(_ setup: Setup, _ configuration: SimulatedMachine.Configuration) throws {
    self.setup = setup
    machine = try SimulatedMachine(configuration)
    let address = try machine.attach(probe)
    device = try PCIDevice(
      host: machine.pci, address: address, mapping: try setup.mapping(machine.platform))
    device.enableBusMastering()
  }

  var platform: Platform { machine.platform }
  var dma: DMADevice { device.dma }

  /// One more device of the same kind on the same machine.
  func anotherDevice() throws -> (PCIDevice, ProbeDevice) {
    let probe = ProbeDevice()
    let address = try machine.attach(probe)
    let device = try PCIDevice(
      host: machine.pci, address: address, mapping: try setup.mapping(machine.platform))
    device.enableBusMastering()
    return (device, probe)
  }
}
