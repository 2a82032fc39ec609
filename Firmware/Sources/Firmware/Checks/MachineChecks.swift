import BareMetal
import DMA
import DMAMapping
import DeviceTree

/// RAM, clock and the kinds of memory.
func checkMachine(
  _ table: inout CheckTable, _ description: MachineDescription, _ machine: BareMachine
) {
  let platform = machine.platform
  let total = description.memory.reduce(0) { $0 + $1.byteCount } & ~4095

  table.run("RAM is what the machine describes") { () throws(CheckFailure) in
    let free = machine.freeByteCount
    try require(free <= total && free > total / 2, "\(free) of \(total) bytes free")
    return "\(free >> 20) of \(total >> 20) MiB free"
  }

  table.run("pages are zeroed, aligned and come back") { () throws(CheckFailure) in
    let before = machine.freeByteCount
    try attempt { () throws(DMAError) in
      var dirty = try StreamingBuffer(byteCount: 1 << 20, in: platform)
      fill(&dirty, 0xa5)
    }
    let device = DMADevice(
      name: "checker", platform: platform, mapping: DirectMapping.make(for: platform))
    let address = try attempt { () throws(DMAError) in
      try device.setMask(.bits64)
      let again = try StreamingBuffer(byteCount: 1 << 20, in: platform, alignment: 1 << 20)
      guard isZero(again) else { return 1 as UInt64 }
      let mapping = try again.map(ToDevice.self, for: device).get()
      let address = mapping.address.rawValue
      _ = mapping.unmap()
      return address
    }
    try require(address % (1 << 20) == 0, "not zeroed, or at " + hex(address))
    try require(machine.freeByteCount == before, "\(before) before, \(machine.freeByteCount) after")
    return "1 MiB at a multiple of 1 MiB"
  }

  table.run("more memory than there is: typed error") { () throws(CheckFailure) in
    do throws(DMAError) {
      _ = try StreamingBuffer(byteCount: Int(total), in: platform)
    } catch {
      guard case .outOfMemory(let byteCount, _) = error, byteCount == Int(total) else {
        throw CheckFailure(error.description)
      }
      return error.description
    }
    throw CheckFailure("it was given out")
  }

  table.run("the clock runs, deadlines pass") { () throws(CheckFailure) in
    let start = platform.nanoseconds
    do throws(DMAError) {
      try platform.wait(nanoseconds: 2_000_000) { false }
    } catch {
      guard error == .timedOut else { throw CheckFailure(error.description) }
      let passed = platform.nanoseconds - start
      try require(passed >= 2_000_000 && passed < 2_000_000_000, "\(passed) ns for 2 ms")
      return "\(passed / 1000) us for a wait of 2 ms"
    }
    throw CheckFailure("a condition that never holds held")
  }
}

private func isZero(_ buffer: borrowing StreamingBuffer) -> Bool {
  let bytes = buffer.bytes
  var index = 0
  while index < bytes.byteCount {
    // SAFETY: the index is below the count, which is a multiple of 8.
    let word = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt64.self)
    guard word == 0 else { return false }
    index += 8
  }
  return true
}
