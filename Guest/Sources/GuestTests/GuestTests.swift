import DMA
import Drivers
import Glibc
import PCI
import VFIOMachine

/// Tests that need a real kernel with VFIO; run by the scripts in Guest/tests.
@main
struct GuestTests {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3, let address = PCIAddress(arguments[2]) else {
      abandon("usage: GuestTests isolation|memory|limits|... ADDRESS")
    }
    let checks = Checks()
    let rest = Array(arguments.dropFirst(3))
    switch arguments[1] {
    case "isolation": Isolation.run(address, checks, trace: rest.first)
    case "agreement": Agreement.run(address, checks)
    case "interrupts": Interrupts.run(address, checks)
    case "memory": Memory.run(address, checks)
    case "life": Life.run(address, checks)
    case "coherent": Coherent.run(address, checks)
    case "limits": Limits.run(address, checks)
    case "limit": Limits.provoke(rest.first ?? "", address, checks)
    case "noiommu": NoIOMMU.run(address, checks)
    default: abandon("no test \(arguments[1])")
    }
    checks.finish()
  }

  /// Opens a device; ends the program when it cannot.
  static func open(
    _ address: PCIAddress, _ configuration: VFIOMachine.Configuration = .init()
  ) -> VFIOMachine {
    do throws(VFIOError) {
      return try VFIOMachine([address], configuration)
    } catch {
      abandon("cannot open \(address): \(error)")
    }
  }

  /// Opens an edu device on a machine.
  static func edu(
    _ machine: VFIOMachine, _ address: PCIAddress,
    _ completion: EduDevice.Completion = .polling
  ) -> EduDevice {
    do {
      let device = try PCIDevice(host: machine.pci, address: address, mapping: machine.mapping)
      return try EduDevice(device, completion: completion)
    } catch {
      abandon("cannot drive \(address): \(error)")
    }
  }
}
