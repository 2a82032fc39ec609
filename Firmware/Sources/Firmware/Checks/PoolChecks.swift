import BareMetal
import DMA
import Drivers
import PCI

/// Pools: small blocks that devices use, with addresses of their own.
func checkPools(_ table: inout CheckTable, _ given: GivenDevices) {
  table.run("pool: blocks through edu, then all back") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      try moveBlock(edu)
    }
  }
}

private func moveBlock(_ edu: EduDevice) throws(CheckFailure) -> String {
  let pool = try attempt { () throws(DMAError) in
    try DMAPool(
      name: "blocks", blockSize: 192, alignment: 64, boundary: 4096, for: edu.device.dma,
      options: .poisoned)
  }
  let source = try attempt { () throws(DMAError) in try pool.allocate() }
  let destination = try attempt { () throws(DMAError) in try pool.allocateZeroed() }
  for offset in stride(from: 0, to: 192, by: 8) {
    source[offset, as: UInt64.self] = 0x0123_4567_89ab_cdef &* UInt64(offset + 1)
  }
  try attempt { () throws(EduError) in
    try edu.write(from: source.address, byteCount: 192)
    try edu.read(to: destination.address, byteCount: 192)
  }
  for offset in stride(from: 0, to: 192, by: 8) {
    try require(
      destination[offset, as: UInt64.self] == source[offset, as: UInt64.self],
      "the word at \(offset) differs")
  }
  try require(
    source.address.rawValue % 64 == 0 && destination.address.rawValue % 64 == 0,
    "a block is not aligned")
  let before = Heap.allocationCount
  try attempt { () throws(DMAError) in
    for _ in 0..<1000 { try pool.allocate().free() }
  }
  let allocations = Heap.allocationCount - before
  source.free()
  destination.free()
  let active = pool.statistics.activeCount
  try attempt { () throws(DMAError) in try pool.destroy() }
  try require(allocations == 0 && active == 0, "\(allocations) heap calls, \(active) blocks left")
  return "192 bytes equal; 1000 blocks allocated and freed, no heap"
}
