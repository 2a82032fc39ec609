import DMA
import Drivers
import PCI
import VFIOMachine

/// Interrupts of the edu device, by message and by wire.
enum Interrupts {
  // Registers of the device (QEMU documentation, "edu device").
  private static let raise = 0x60
  private static let acknowledge = 0x64

  static func run(_ address: PCIAddress, _ checks: Checks) {
    deliver(address, checks, "MSI") { device, handler throws(PCIError) in
      try device.enableMSI(handler: handler)
    }
    deliver(address, checks, "INTx") { device, handler throws(PCIError) in
      try device.enableWireInterrupt(handler: handler)
    }
  }

  private final class Count {
    var handled = 0
    var wasInterrupt = true
  }

  private static func deliver(
    _ address: PCIAddress, _ checks: Checks, _ name: String,
    _ enable: (PCIDevice, @escaping () -> Void) throws(PCIError) -> PCIInterrupt
  ) {
    let machine = GuestTests.open(address)
    do {
      let device = try PCIDevice(host: machine.pci, address: address, mapping: machine.mapping)
      let registers = try device.mapBAR(0)
      device.enableBusMastering()
      let count = Count()
      let interrupt = try enable(device) {
        count.handled += 1
        if ExecutionContext.current != .interrupt { count.wasInterrupt = false }
        registers.write(1 as UInt32, at: acknowledge)
      }
      checks.expect("\(name): none before the device raises one", !interrupt.deliver())
      for round in 1...3 {
        registers.write(1 as UInt32, at: raise)
        try interrupt.wait(nanoseconds: 2_000_000_000)
        checks.expect("\(name): interrupt \(round) arrives", count.handled == round)
      }
      checks.expect("\(name): handlers run in interrupt context", count.wasInterrupt)
      checks.expect("\(name): none is left", !interrupt.deliver())
      do {
        _ = try enable(device) {}
        checks.expect("\(name): a vector is given once", false)
      } catch {
        checks.expect("\(name): a vector is given once", true)
      }
    } catch {
      checks.expect("\(name): \(error)", false)
    }
  }
}
