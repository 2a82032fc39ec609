import BareMetal
import DMA
import Drivers
import PCI

/// The same devices as if they did not see the CPU's cache: maintenance by line where the mapping
/// asks for it, and coherent memory through an uncached view.
///
/// QEMU's CPUs have no caches: this shows that the instructions are legal and that the uncached
/// view is the same memory, not that a missing one would be noticed.
func checkIncoherent(
  _ table: inout CheckTable, _ description: MachineDescription, _ memory: SharedMemory,
  _ given: GivenDevices, _ file: borrowing SourceFile
) {
  let machine: BareMachine
  do throws(MachineError) {
    machine = try BareMachine(description, memory: memory, isCoherent: false)
  } catch {
    table.run("not coherent: refused, as it must be") { () throws(CheckFailure) in
      guard case .noCacheMaintenance = error, description.cacheLineByteCount == 0 else {
        throw CheckFailure(error.description)
      }
      return error.description
    }
    return
  }
  guard let given = sameDevices(given, of: machine) else { return }
  table.run("edu: copy with cache maintenance") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      try copy(file, through: edu, placement: .anywhere)
    }
  }
  table.run("coherent memory outside of the cache") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      guard BareMachine.hasUncachedView else { return try refused(edu.device.dma) }
      return try mirror(edu)
    }
  }
}

/// Where memory has no uncached view, coherent memory must not be given out.
private func refused(_ device: DMADevice) throws(CheckFailure) -> String {
  do throws(DMAError) {
    _ = try CoherentBuffer<UInt64>(count: 1, for: device)
  } catch {
    guard case .machine(code: 95) = error else { throw CheckFailure(error.description) }
    return "none on this CPU: " + error.description
  }
  throw CheckFailure("cached memory was given out as coherent")
}

/// Sends words of coherent memory into the device and back to other coherent memory.
private func mirror(_ edu: EduDevice) throws(CheckFailure) -> String {
  let count = 64
  let source = try attempt { () throws(DMAError) in
    try CoherentBuffer<UInt64>(count: count, for: edu.device.dma)
  }
  let destination = try attempt { () throws(DMAError) in
    try CoherentBuffer<UInt64>(count: count, for: edu.device.dma)
  }
  for index in 0..<count { source[index] = 0x0101_0101_0101_0101 &* UInt64(index + 1) }
  try attempt { () throws(EduError) in
    try edu.write(from: source.address, byteCount: source.byteCount)
    try edu.read(to: destination.address, byteCount: destination.byteCount)
  }
  for index in 0..<count {
    try require(destination[index] == source[index], "word \(index) differs")
  }
  return "\(count) words of 8 bytes equal"
}
