import BareMetal
import DMA
import DMAChecker
import DMAMapping
import Drivers
import PCI

/// The checker without an operating system: silent and off the heap while a driver is right, and a
/// line on the serial port when it is not.
func checkChecker(_ table: inout CheckTable, _ given: GivenDevices) {
  table.run("checker: nvme breaks no rule, no heap") { () throws(CheckFailure) in
    try watchDisk(given)
  }
  table.run("checker: a dropped mapping is found") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      try dropMapping(edu.device.dma)
    }
  }
  table.run("checker: a mask changed too late is found") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      try changeMask(edu.device.dma)
    }
  }
  table.run("checker: a device left with memory is found") { () throws(CheckFailure) in
    try withEdu(given.host, given.edu64, mask: .bits64) { edu throws(CheckFailure) in
      try leak(edu)
    }
  }
}

/// Every transfer, list block and queue of a driver that does all right.
private func watchDisk(_ given: GivenDevices) throws(CheckFailure) -> String {
  let log = FindingLog()
  let checker = log.makeChecker()
  let seen = try withDisk(given, prepare: { checker.attach(to: $0) }) {
    disk, namespace throws(CheckFailure) in
    // The second pass must not touch the heap, the checker included.
    try copyBlocks(to: DiskLayout.whole, disk, namespace)
  }
  let statistics = checker.finish()
  // Maps and unmaps, blocks of lists, queues.
  try require(
    statistics.eventCount > 20 && statistics.violationCount == 0 && !statistics.isIncomplete
      && log.count == 0, statistics.text)
  return "\(statistics.eventCount) events; " + seen
}

/// Memory that nobody can unmap any more.
private func dropMapping(_ device: DMADevice) throws(CheckFailure) -> String {
  let log = FindingLog()
  let checker = log.makeChecker()
  checker.attach(to: device)
  let line: UInt32 = #line + 3
  do throws(DMAError) {
    let buffer = try StreamingBuffer(byteCount: 512, in: device.platform)
    let mapping = try buffer.map(FromDevice.self, for: device).get()
    // Not unmapped: that is the mistake.
    _ = consume mapping
  } catch { throw CheckFailure(error.description) }
  try log.requireOnly(.mappingDropped, device: device.name, madeAt: line)
  return statistics(checker, log)
}

/// Mappings made under one mask, used under another.
private func changeMask(_ device: DMADevice) throws(CheckFailure) -> String {
  let log = FindingLog()
  let checker = log.makeChecker()
  checker.attach(to: device)
  let line: UInt32 = #line + 3
  do throws(DMAError) {
    let buffer = try StreamingBuffer(byteCount: 256, in: device.platform)
    let mapping = try buffer.map(ToDevice.self, for: device).get()
    try device.setMask(.bits32)
    _ = mapping.unmap()
  } catch { throw CheckFailure(error.description) }
  try log.requireOnly(.maskChangedWhileMapped, device: device.name, madeAt: line)
  return statistics(checker, log)
}

/// A driver that goes and leaves consistent memory behind.
private func leak(_ edu: EduDevice) throws(CheckFailure) -> String {
  let log = FindingLog()
  let checker = log.makeChecker()
  checker.attach(to: edu.device.dma)
  let line: UInt32 = #line + 2
  do throws(DMAError) {
    let queue = try CoherentBuffer<UInt64>(count: 16, for: edu.device.dma)
    edu.device.remove()
    _ = queue.byteCount
  } catch { throw CheckFailure(error.description) }
  try log.requireOnly(.leak, device: edu.device.dma.name, madeAt: line)
  return statistics(checker, log)
}

private func statistics(_ checker: DMAChecker, _ log: FindingLog) -> String {
  let statistics = checker.statistics
  return "\(statistics.eventCount) events, \(statistics.findingCount) finding; printed with "
    + "\(log.heapCallCount) heap calls"
}
