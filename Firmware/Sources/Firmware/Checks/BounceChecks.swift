import BareMetal
import DMA
import DMAMapping
import Drivers
import PCI

/// Bounce buffers: what rescues a device from memory beyond its reach where no IOMMU does.
func checkBounce(
  _ table: inout CheckTable, _ description: MachineDescription, _ given: GivenDevices,
  _ file: borrowing SourceFile
) {
  let platform = given.host.platform
  if description.lowestAddress > EduDevice.defaultMask.rawValue {
    table.run("bounce, 28 bits: no memory for a pool") { () throws(CheckFailure) in
      try poolRefused(platform)
    }
    table.run("bounce, 28 bits: mask refused") { () throws(CheckFailure) in
      try maskRefused(description, given)
    }
  } else {
    table.run("edu, 28 bits: high memory by bounce") { () throws(CheckFailure) in
      try bounce(given, given.edu28, EduDevice.defaultMask, file)
    }
  }
  guard description.highestAddress > DMAMask.bits32.rawValue else {
    table.run("bounce, 32 bits: RAM above 4 GiB") { () throws(CheckFailure) in
      throw CheckFailure("the machine has none: see FIRMWARE_MEMORY of Firmware/run")
    }
    return
  }
  table.run("edu, 32 bits: above 4 GiB by bounce") { () throws(CheckFailure) in
    try bounce(given, given.edu32, .bits32, file)
  }
}

/// Copies the file from and to memory that the device does not reach.
private func bounce(
  _ given: GivenDevices, _ address: PCIAddress, _ mask: DMAMask, _ file: borrowing SourceFile
) throws(CheckFailure) -> String {
  let platform = given.host.platform
  let pool = try attempt { () throws(DMAError) in
    try BounceMapping(platform: platform, options: options(mask))
  }
  let seen = try withEdu(given.host, address, mask: mask, mapping: pool.mapping) {
    edu throws(CheckFailure) in
    // What the device drives must be below its mask, and the memory above.
    let buffer = try highBuffer(byteCount: 64, above: mask.rawValue, in: platform)
    let mapping = try lend(buffer, to: edu.device.dma)
    let last = mapping.address.rawValue + 63
    _ = mapping.unmap()
    try require(last <= mask.rawValue, "given " + hex(last))
    return try copy(file, through: edu, placement: .high)
  }
  let statistics = pool.statistics
  let byteCount = UInt64(file.byteCount)
  try require(
    statistics.bytesIn >= byteCount && statistics.bytesOut >= byteCount
      && statistics.usedSlots == 0,
    "\(statistics.bytesIn) bytes in, \(statistics.bytesOut) out, \(statistics.usedSlots) slots left"
  )
  return seen + "; \(statistics.bytesIn) in, \(statistics.bytesOut) out"
}

private func options(_ mask: DMAMask) -> BounceMapping.Options {
  var options = BounceMapping.Options()
  // 1 MiB, one area: there is one core.
  options.slotCount = 512
  options.areaCount = 1
  options.limit = mask
  return options
}

/// No RAM within 28 bits: the pool itself cannot be.
private func poolRefused(_ platform: Platform) throws(CheckFailure) -> String {
  do throws(DMAError) {
    _ = try BounceMapping(platform: platform, options: options(EduDevice.defaultMask))
  } catch {
    guard case .outOfMemory(_, EduDevice.defaultMask.rawValue) = error else {
      throw CheckFailure(error.description)
    }
    return error.description
  }
  throw CheckFailure("a pool where no RAM is")
}

/// A pool that the device does not reach either: the mask is refused, with what would do.
private func maskRefused(
  _ description: MachineDescription, _ given: GivenDevices
) throws(CheckFailure) -> String {
  let pool = try attempt { () throws(DMAError) in
    try BounceMapping(platform: given.host.platform, options: options(.bits32))
  }
  let device = DMADevice(
    name: "28 bits", platform: given.host.platform, mapping: pool.mapping)
  do throws(DMAError) { try device.setMask(EduDevice.defaultMask) } catch {
    guard case .unsupportedMask(EduDevice.defaultMask, let required) = error,
      required.rawValue >= description.lowestAddress
    else { throw CheckFailure(error.description) }
    return error.description
  }
  throw CheckFailure("a mask that nothing serves was taken")
}
