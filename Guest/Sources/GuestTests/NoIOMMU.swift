import DMA
import Drivers
import PCI
import VFIOMachine

/// A device without an IOMMU, through UIO.
enum NoIOMMU {
  static func run(_ address: PCIAddress, _ checks: Checks) {
    do {
      let machine = try UnsafeNoIOMMUMachine(unsafe: address)
      let device = try PCIDevice(host: machine.pci, address: address, mapping: machine.mapping)
      // Huge pages lie anywhere in the guest's 1 GiB, beyond what edu drives as it is made.
      let edu = try EduDevice(device, mask: .bits32)
      let registers = try device.mapBAR(0)
      let interrupt = try device.enableWireInterrupt {
        registers.write(1 as UInt32, at: 0x64)
      }
      registers.write(1 as UInt32, at: 0x60)
      try interrupt.wait(nanoseconds: 2_000_000_000)
      checks.expect("UIO: the wire interrupts", true)
      registers.write(1 as UInt32, at: 0x60)
      try interrupt.wait(nanoseconds: 2_000_000_000)
      checks.expect("UIO: again", true)
      do throws(PCIError) {
        _ = try device.enableMSI()
        checks.expect("UIO: messages are an error", false)
      } catch {
        checks.expect("UIO: messages are an error: \(error)", true)
      }
      var source = try StreamingBuffer(byteCount: 2048, in: machine.platform)
      var bytes = source.mutableBytes
      for index in 0..<2048 {
        bytes.storeBytes(
          of: UInt8(truncatingIfNeeded: index * 7), toByteOffset: index, as: UInt8.self)
      }
      var target = try StreamingBuffer(byteCount: 2048, in: machine.platform)
      try edu.copy(&source, to: &target)
      var isSame = true
      for index in 0..<2048
      where unsafe target.bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
        != UInt8(truncatingIfNeeded: index * 7)
      {
        isSame = false
      }
      checks.expect("UIO: bytes go through the device and back", isSame)
      device.remove()
      machine.close()
      checks.expect("UIO: registers read as all ones afterwards", edu.identification == .max)
    } catch {
      checks.expect("UIO: \(error)", false)
    }
  }
}
