import BareMetal
import DMA
import DMAMapping
import Drivers
import PCI

/// QEMU's teaching device, driven by the same source as on every other machine.
func checkEdu(
  _ table: inout CheckTable, _ description: MachineDescription, _ given: GivenDevices,
  _ file: borrowing SourceFile
) {
  checkDefaultMask(&table, description, given.host, given.edu28, file)
  checkReach(&table, description, given.host, given.edu32)
  checkWideMask(&table, given.host, given.edu64, file)
}

/// The device as QEMU makes it: 28 bits, and RAM that may lie beyond them.
private func checkDefaultMask(
  _ table: inout CheckTable, _ description: MachineDescription, _ host: PCIHost,
  _ address: PCIAddress, _ file: borrowing SourceFile
) {
  let mask = EduDevice.defaultMask
  let lowest = description.lowestAddress
  guard lowest > mask.rawValue else {
    table.run("edu, 28 bits: copy through low memory") { () throws(CheckFailure) in
      try withEdu(host, address, mask: mask) { edu throws(CheckFailure) in
        try copy(file, through: edu, placement: .below(mask))
      }
    }
    return
  }
  table.run("edu, 28 bits: mask refused, RAM is above") { () throws(CheckFailure) in
    do throws(EduError) {
      _ = try EduDevice(try open(host, address), mask: mask)
    } catch {
      guard case .dma(.unsupportedMask(let refused, let required)) = error, refused == mask,
        required.rawValue >= lowest
      else { throw CheckFailure(error.description) }
      return error.description
    }
    throw CheckFailure("a driver for memory that the device cannot reach")
  }
}

private func open(
  _ host: PCIHost, _ address: PCIAddress, _ mapping: DMAMapping? = nil
) throws(EduError) -> PCIDevice {
  do throws(PCIError) {
    return try PCIDevice(
      host: host, address: address, mapping: mapping ?? DirectMapping.make(for: host.platform))
  } catch { throw .pci(error) }
}

/// Memory beyond what a device reaches is refused by the mapping, with mask and address.
private func checkReach(
  _ table: inout CheckTable, _ description: MachineDescription, _ host: PCIHost,
  _ address: PCIAddress
) {
  table.run("memory beyond 28 bits: map is refused") { () throws(CheckFailure) in
    // A bus that carries 28 bits, whatever its device drives.
    let limit = EduDevice.defaultMask.rawValue
    let device = DMADevice(
      name: "behind a 28-bit bus", platform: host.platform,
      mapping: DirectMapping.make(for: host.platform), busLimit: limit)
    return try mapRefused(device, limit: limit)
  }
  guard description.highestAddress > DMAMask.bits32.rawValue else { return }
  table.run("memory above 4 GiB, 32-bit mask: refused") { () throws(CheckFailure) in
    try withEdu(host, address, mask: .bits32) { edu throws(CheckFailure) in
      try mapRefused(edu.device.dma, limit: DMAMask.bits32.rawValue)
    }
  }
}

private func mapRefused(_ device: DMADevice, limit: UInt64) throws(CheckFailure) -> String {
  do throws(DMAError) {
    let buffer = try StreamingBuffer(
      byteCount: 4096, in: device.platform, placement: .high)
    let mapping = try buffer.map(ToDevice.self, for: device).get()
    _ = mapping.unmap()
  } catch {
    guard case .outOfReach(let first, let last, let mask) = error, mask.rawValue == limit,
      first.rawValue > limit, last.rawValue == first.rawValue + 4095
    else { throw CheckFailure(error.description) }
    return "at \(first.description), mask \(mask.description)"
  }
  throw CheckFailure("mapped")
}

/// The device that reaches all RAM.
private func checkWideMask(
  _ table: inout CheckTable, _ host: PCIHost, _ address: PCIAddress, _ file: borrowing SourceFile
) {
  table.run("edu: alive, computes 12!") { () throws(CheckFailure) in
    try withEdu(host, address, mask: .bits64) { edu throws(CheckFailure) in
      let factorial = try attempt { () throws(EduError) in try edu.factorial(of: 12) }
      try require(factorial == 479_001_600, "\(factorial)")
      return "identification " + hex(UInt64(edu.identification))
    }
  }
  table.run("edu: copy the file, polling") { () throws(CheckFailure) in
    try withEdu(host, address, mask: .bits64) { edu throws(CheckFailure) in
      try copy(file, through: edu, placement: .high)
    }
  }
  table.run("edu: copy the file, by MSI") { () throws(CheckFailure) in
    try withEdu(host, address, mask: .bits64, completion: .interrupt) {
      edu throws(CheckFailure) in
      try copy(file, through: edu, placement: .anywhere)
    }
  }
  table.run("edu without bus mastering: no byte moves") { () throws(CheckFailure) in
    try withEdu(host, address, mask: .bits64) { edu throws(CheckFailure) in
      edu.device.disableBusMastering()
      let mapping = try attempt { () throws(DMAError) in
        var buffer = try StreamingBuffer(byteCount: 64, in: host.platform)
        fill(&buffer, 0xc3)
        return try buffer.map(FromDevice.self, for: edu.device.dma).get()
      }
      // The device may say that it is done, or never: both are right.
      var ending = "the device said it was done"
      do throws(EduError) { try edu.read(to: mapping.address, byteCount: 64) } catch {
        ending = error.description
      }
      let buffer = mapping.unmap()
      for index in 0..<64 {
        try require(load(buffer.bytes, index) == 0xc3, "byte \(index) was written")
      }
      return "64 bytes as they were; " + ending
    }
  }
}

/// Opens the device, does something with it, and ends it.
///
/// - Parameter mapping: what stands between it and memory; nothing when nil.
func withEdu(
  _ host: PCIHost, _ address: PCIAddress, mask: DMAMask, mapping: DMAMapping? = nil,
  completion: EduDevice.Completion = .polling,
  _ body: (EduDevice) throws(CheckFailure) -> String
) throws(CheckFailure) -> String {
  let edu: EduDevice
  do throws(EduError) {
    edu = try EduDevice(
      try open(host, address, mapping), mask: mask, completion: completion)
  } catch { throw CheckFailure(error.description) }
  defer { edu.device.remove() }
  return try body(edu)
}

/// Moves the file into the device and back, and compares every byte.
func copy(
  _ file: borrowing SourceFile, through edu: EduDevice, placement: StreamingBuffer.Placement
) throws(CheckFailure) -> String {
  let platform = edu.device.dma.platform
  let start = platform.nanoseconds
  var source = try attempt { () throws(DMAError) in
    try StreamingBuffer(copying: file.buffer.bytes, in: platform, placement: placement)
  }
  var destination = try attempt { () throws(DMAError) in
    try StreamingBuffer(byteCount: file.byteCount, in: platform, placement: placement)
  }
  // Not zeros: bytes that never arrive must differ.
  fill(&destination, 0x5c)
  let before = Heap.allocationCount
  let transfers = try attempt { () throws(EduError) in
    try edu.copy(&source, to: &destination)
  }
  let allocations = Heap.allocationCount - before
  if let difference = file.firstDifference(from: destination.bytes) {
    throw CheckFailure("the copy differs at byte \(difference)")
  }
  try require(allocations == 0, "\(allocations) heap allocations in the I/O path")
  let milliseconds = (platform.nanoseconds - start) / 1_000_000
  return "\(file.byteCount) bytes equal, \(transfers) transfers, \(milliseconds) ms, no heap"
}
