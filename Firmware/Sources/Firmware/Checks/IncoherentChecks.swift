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
  _ table: inout CheckTable, _ machine: BareMachine, _ file: borrowing SourceFile
) {
  guard let host = machine.pci else { return }
  let addresses = eduAddresses(host)
  guard addresses.count == 2 else { return }
  table.run("edu: copy with cache maintenance") { () throws(CheckFailure) in
    try withEdu(host, addresses[1], mask: .bits64) { edu throws(CheckFailure) in
      try copy(file, through: edu, placement: .anywhere)
    }
  }
  table.run("uncached coherent memory, seen by edu") { () throws(CheckFailure) in
    try withEdu(host, addresses[1], mask: .bits64) { edu throws(CheckFailure) in
      try mirror(edu)
    }
  }
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
