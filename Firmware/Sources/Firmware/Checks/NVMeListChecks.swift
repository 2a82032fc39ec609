import BareMetal
import DMA
import Drivers
import PCI

/// Copies the disk's random bytes by scatter lists of pages that do not lie in order, so that each
/// page is a segment, and reads them back.
///
/// The first pass gives pools their pages; the second must not touch the heap.
func copyLists(
  to target: UInt64, _ disk: NVMeDevice, _ namespace: NVMeNamespace
) throws(CheckFailure) -> String {
  let platform = disk.device.dma.platform
  let blockByteCount = UInt64(namespace.blockByteCount)
  var list = try pages(platform)
  var segmentCount = 0
  var allocations: UInt64 = 0
  for _ in 0..<2 {
    let before = Heap.allocationCount
    list = try read(list, from: DiskLayout.random / blockByteCount, disk, namespace, &segmentCount)
    list = try write(list, to: target / blockByteCount, disk, namespace)
    allocations = Heap.allocationCount - before
  }
  let back = try read(
    try pages(platform), from: target / blockByteCount, disk, namespace, &segmentCount)
  for index in 0..<list.entryCount {
    try requireEqual(list.bytes(of: index), back.bytes(of: index))
  }
  try require(segmentCount > 512, "\(segmentCount) segments: pages were joined")
  try require(allocations == 0, "\(allocations) heap allocations in the I/O path")
  return "\(list.entryCount) entries, \(segmentCount) segments a command, no heap"
}

/// From the top of memory down: each page lies before the one that comes before it in the list.
private func pages(_ platform: Platform) throws(CheckFailure) -> ScatterBuffer {
  do throws(DMAError) {
    return try ScatterBuffer(
      byteCount: DiskLayout.randomByteCount, in: platform, placement: .high)
  } catch { throw CheckFailure(error.description) }
}

private func read(
  _ list: consuming ScatterBuffer, from block: UInt64, _ disk: NVMeDevice,
  _ namespace: NVMeNamespace, _ segmentCount: inout Int
) throws(CheckFailure) -> ScatterBuffer {
  let mapping: ScatterMapping<FromDevice>
  do throws(DMAError) {
    mapping = try list.map(FromDevice.self, for: disk.device.dma).get()
  } catch { throw CheckFailure(error.description) }
  segmentCount = mapping.segmentCount
  return try finish(
    disk.queues[0].read(mapping, fromBlock: block, of: namespace), disk.queues[0])
}

private func write(
  _ list: consuming ScatterBuffer, to block: UInt64, _ disk: NVMeDevice,
  _ namespace: NVMeNamespace
) throws(CheckFailure) -> ScatterBuffer {
  let mapping: ScatterMapping<ToDevice>
  do throws(DMAError) {
    mapping = try list.map(ToDevice.self, for: disk.device.dma).get()
  } catch { throw CheckFailure(error.description) }
  return try finish(
    disk.queues[0].write(mapping, toBlock: block, of: namespace), disk.queues[0])
}

/// Waits for the only command, and takes its list back.
private func finish(
  _ submission: consuming NVMeSubmission, _ queue: NVMeQueue
) throws(CheckFailure) -> ScatterBuffer {
  do throws(NVMeError) {
    try submission.get()
    guard let done = try queue.next() else { throw .stopped }
    if let error = done.error { throw error }
    switch done.takeTransfer().unmap() {
    case .list(let list): return list
    case .none: throw .stopped
    case .single: throw .stopped
    }
  } catch { throw CheckFailure(error.description) }
}
