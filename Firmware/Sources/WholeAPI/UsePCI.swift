import DMA
import DMAMapping
import PCI

func usePCI(_ seen: inout Expectations, _ machine: SmallMachine) {
  let host = machine.pci
  let place = PCIAddress(segment: 0, bus: 0, device: 1, function: 0)
  seen.expect(place.packed == 8 && PCIAddress(packed: 8) == place && place.segment == 0)
  seen.expect(place.bus == 0 && place.device == 1 && place.function == 0)
  seen.expect(isText(place.description, "0000:00:01.0"))
  seen.expect(host.scan().count == 1 && host.find(vendorID: 0x1234, deviceID: 0x11e8) == place)
  seen.expect(host.platform === machine.platform)
  host.writeConfiguration(0 as UInt32, place, at: PCIRegister.bar0)
  seen.expect(host.readConfiguration(UInt16.self, place, at: PCIRegister.vendorID) == 0x1234)
  let registers = [
    PCIRegister.deviceID, PCIRegister.command, PCIRegister.status, PCIRegister.revision,
    PCIRegister.headerType, PCIRegister.capabilities,
  ]
  for register in registers { _ = host.readConfiguration(UInt16.self, place, at: register) }

  do throws(PCIError) {
    try host.assignBARs(bus: 0, window: 0x1000_0000...0x1000_ffff)
    let device = try PCIDevice(
      host: host, address: place, mapping: DirectMapping.make(for: machine.platform),
      constraints: .pci)
    seen.expect(device.vendorID == 0x1234 && device.deviceID == 0x11e8 && device.classCode == 0)
    seen.expect(device.address == place && device.dma.mask == .bits32)
    let bar: UInt32 = device.readConfiguration(at: PCIRegister.bar0)
    seen.expect(bar == 0x1000_0000)
    device.writeConfiguration(bar, at: PCIRegister.bar0)
    device.enableBusMastering()
    seen.expect(device.isBusMasteringEnabled)
    let window = try device.mapBAR(0)
    seen.expect(window.byteCount == 4096)
    window.write(9 as UInt32, at: 8)
    seen.expect(window.read(UInt32.self, at: 8) == 9)
    seen.expect(device.capability(PCICapabilityID.msi) == 0x40)
    try useInterrupts(&seen, machine, device)
    device.disableBusMastering()
    seen.expect(!device.isBusMasteringEnabled)
    device.remove()
    seen.expect(device.dma.isRemoved)
  } catch { seen.expect(false) }

  let own = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
  unsafe own.initialize(to: 5)
  let plain = RegisterWindow(unsafeBase: UInt(bitPattern: own), byteCount: 8)
  seen.expect(plain.read(UInt64.self, at: 0) == 5)
  unsafe own.deallocate()

  let errors: [PCIError] = [
    .noDevice(place), .noBAR(index: 1), .noCapability(id: PCICapabilityID.msix),
    .noVector(index: 1, count: 1), .outOfBARSpace(byteCount: 1), .machine(.timedOut),
  ]
  for error in errors { seen.expect(error.description.utf8.count > 0) }
}

private func useInterrupts(
  _ seen: inout Expectations, _ machine: SmallMachine, _ device: PCIDevice
) throws(PCIError) {
  var handled = 0
  let message: PCIInterrupt = try device.enableMSI { handled += 1 }
  unsafe machine.state.pointee.pendingMessages = 1
  seen.expect(message.deliver() && handled == 1)
  let vector = try device.enableMSIX(vector: 1, handler: nil)
  unsafe machine.state.pointee.pendingMessages = 2
  do throws(DMAError) {
    try vector.wait(nanoseconds: 1_000_000)
    try message.wait(nanoseconds: 1000)
    seen.expect(false)
  } catch { seen.expect(error == .timedOut) }
  // Only kernels turn vectors on for drivers, and bring them wires.
  seen.expect(unsafe smallPCIOperations.attachInterrupt == nil)
  do throws(PCIError) {
    _ = try device.enableWireInterrupt()
    seen.expect(false)
  } catch { seen.expect(error == .machine(.machine(code: 95))) }
}
