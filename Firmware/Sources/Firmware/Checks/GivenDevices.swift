import BareMetal
import DMA
import DMAMapping
import DeviceTree
import PCI

/// The devices that `run` gives every machine, by what they are for.
struct GivenDevices {
  let host: PCIHost
  /// QEMU's teaching device as it is made: 28 address bits.
  let edu28: PCIAddress
  /// The same with 64 bits.
  let edu64: PCIAddress
  /// The same with 32 bits.
  let edu32: PCIAddress
  /// An NVMe controller with one disk.
  let disk: PCIAddress
}

/// Places the devices' registers where no firmware has done it, and finds what `run` gave.
func findDevices(
  _ table: inout CheckTable, _ description: MachineDescription, _ machine: BareMachine
) -> GivenDevices? {
  var given: GivenDevices?
  table.run("PCI: devices found, registers placed") { () throws(CheckFailure) in
    guard let host = machine.pci else { throw CheckFailure("the machine describes no PCI") }
    if case .memory(let described)? = description.pci {
      let window = described.memory32
      do throws(PCIError) {
        try host.assignBARs(
          window: window.busAddress...(window.busAddress + (window.byteCount - 1)))
      } catch { throw CheckFailure(error.description) }
    }
    let found = try find(host)
    given = found
    return "\(host.scan().count) functions; edu at " + found.edu28.description
      + " (28 bits) and following, NVMe at " + found.disk.description
  }
  return given
}

private func find(_ host: PCIHost) throws(CheckFailure) -> GivenDevices {
  let edu = host.scan().filter { address in
    host.readConfiguration(UInt16.self, address, at: PCIRegister.vendorID) == 0x1234
      && host.readConfiguration(UInt16.self, address, at: PCIRegister.deviceID) == 0x11e8
  }
  try require(edu.count == 3, "\(edu.count) edu devices instead of 3: see Firmware/run")
  guard let disk = host.find(vendorID: 0x1b36, deviceID: 0x0010) else {
    throw CheckFailure("no NVMe controller: see Firmware/run")
  }
  return GivenDevices(host: host, edu28: edu[0], edu64: edu[1], edu32: edu[2], disk: disk)
}

/// The same devices as another view of the machine has them.
func sameDevices(_ given: GivenDevices, of machine: BareMachine) -> GivenDevices? {
  guard let host = machine.pci else { return nil }
  return GivenDevices(
    host: host, edu28: given.edu28, edu64: given.edu64, edu32: given.edu32, disk: given.disk)
}

extension MachineDescription {
  var lowestAddress: UInt64 { memory.reduce(.max) { min($0, $1.start) } }
  var highestAddress: UInt64 { memory.reduce(0) { max($0, $1.start + ($1.byteCount - 1)) } }
}

/// A buffer that lies above `limit`, where a device with a narrower mask does not reach.
func highBuffer(
  byteCount: Int, above limit: UInt64, in platform: Platform
) throws(CheckFailure) -> StreamingBuffer {
  let probe = DMADevice(
    name: "probe", platform: platform, mapping: DirectMapping.make(for: platform))
  do throws(DMAError) {
    try probe.setMask(.bits64)
    let mapping = try StreamingBuffer(byteCount: byteCount, in: platform, placement: .high)
      .map(ToDevice.self, for: probe).get()
    let address = mapping.address.rawValue
    let buffer = mapping.unmap()
    guard address > limit else {
      throw DMAError.outOfMemory(byteCount: byteCount, limit: .max)
    }
    return buffer
  } catch { throw CheckFailure(error.description) }
}

/// Hands a buffer to a device, for reading and writing.
func lend(
  _ buffer: consuming StreamingBuffer, to device: DMADevice
) throws(CheckFailure) -> StreamingMapping<Bidirectional> {
  do throws(DMAError) {
    return try buffer.map(Bidirectional.self, for: device).get()
  } catch { throw CheckFailure(error.description) }
}
