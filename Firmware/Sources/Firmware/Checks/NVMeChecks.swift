import BareMetal
import DMA
import DMAMapping
import Drivers
import PCI

/// What is where on the disk, in bytes.
///
/// `run` makes the image, and compares afterwards.
enum DiskLayout {
  /// The file that `run` was given; the firmware writes it.
  static let file: UInt64 = 1 << 20
  /// Random bytes that `run` has put there.
  static let random: UInt64 = 4 << 20
  static let randomByteCount = 3 << 20
  /// Copies of them, made with one mapping a command, with lists, by bounce, behind an IOMMU.
  static let whole: UInt64 = 8 << 20
  static let lists: UInt64 = 12 << 20
  static let bounced: UInt64 = 16 << 20
  static let remapped: UInt64 = 20 << 20
  static let byteCount: UInt64 = 24 << 20
}

/// The NVMe driver, unchanged from every other machine, on a disk that the host reads afterwards.
func checkDisk(
  _ table: inout CheckTable, _ description: MachineDescription, _ given: GivenDevices,
  _ file: borrowing SourceFile
) {
  table.run("nvme: identify") { () throws(CheckFailure) in
    try withDisk(given) { disk, namespace throws(CheckFailure) in
      try require(
        disk.identity.serialNumber.utf8.elementsEqual("swift-dma".utf8),
        "serial " + disk.identity.serialNumber)
      try require(namespace.byteCount == DiskLayout.byteCount, "\(namespace.byteCount) bytes")
      return disk.identity.model + ", \(namespace.byteCount >> 20) MiB, commands of up to "
        + "\(disk.transferByteCountMax >> 10) KiB"
    }
  }
  table.run("nvme: write the file, read back, verify") { () throws(CheckFailure) in
    try withDisk(given) { disk, namespace throws(CheckFailure) in
      try writeFile(file, disk, namespace)
    }
  }
  table.run("nvme: copy random MiB, PRP lists of pools") { () throws(CheckFailure) in
    try withDisk(given) { disk, namespace throws(CheckFailure) in
      try copyBlocks(to: DiskLayout.whole, disk, namespace)
    }
  }
  table.run("nvme: the same, interrupts by MSI-X") { () throws(CheckFailure) in
    try withDisk(given, completion: .interrupt) { disk, namespace throws(CheckFailure) in
      try copyBlocks(to: DiskLayout.whole, disk, namespace)
    }
  }
  table.run("nvme: the same by scatter lists") { () throws(CheckFailure) in
    try withDisk(given) { disk, namespace throws(CheckFailure) in
      try copyLists(to: DiskLayout.lists, disk, namespace)
    }
  }
  guard description.highestAddress > DMAMask.bits32.rawValue else { return }
  table.run("nvme, 32 bits: above 4 GiB by bounce") { () throws(CheckFailure) in
    try bounceBlocks(given)
  }
}

/// Opens the controller, does something with its disk, and shuts it down.
///
/// - Parameters:
///   - mapping: what stands between it and memory; nothing when nil.
///   - prepare: gets the device before the driver does.
func withDisk(
  _ given: GivenDevices, mask: DMAMask = .bits64, mapping: DMAMapping? = nil,
  completion: NVMeDevice.Completion = .polling, prepare: (DMADevice) -> Void = { _ in },
  _ body: (NVMeDevice, NVMeNamespace) throws(CheckFailure) -> String
) throws(CheckFailure) -> String {
  let function = try attempt { () throws(PCIError) in
    try PCIDevice(
      host: given.host, address: given.disk,
      mapping: mapping ?? DirectMapping.make(for: given.host.platform))
  }
  prepare(function.dma)
  defer { function.remove() }
  var options = NVMeDevice.Options()
  options.mask = mask
  options.completion = completion
  options.queueCapacity = 8
  // More than a page of entries names: lists of two pages.
  options.transferByteCountMax = 4 << 20
  let disk: NVMeDevice
  let namespace: NVMeNamespace
  do throws(NVMeError) {
    disk = try NVMeDevice(function, options: options)
    namespace = try disk.namespace()
  } catch { throw CheckFailure(error.description) }
  let seen = try body(disk, namespace)
  try attempt { () throws(NVMeError) in try disk.shutDown() }
  return seen
}

private func writeFile(
  _ file: borrowing SourceFile, _ disk: NVMeDevice, _ namespace: NVMeNamespace
) throws(CheckFailure) -> String {
  let platform = disk.device.dma.platform
  let blockByteCount = namespace.blockByteCount
  let byteCount = (file.byteCount + blockByteCount - 1) / blockByteCount * blockByteCount
  let block = DiskLayout.file / UInt64(blockByteCount)
  var source = try attempt { () throws(DMAError) in
    try StreamingBuffer(byteCount: byteCount, in: platform, placement: .high)
  }
  copyFile(file, to: &source)
  var back = try attempt { () throws(DMAError) in
    try StreamingBuffer(byteCount: byteCount, in: platform, placement: .anywhere)
  }
  fill(&back, 0x5c)
  try attempt { () throws(NVMeError) in
    try disk.queues[0].write(from: &source, toBlock: block, of: namespace)
    try disk.queues[0].flush(namespace)
    try disk.queues[0].read(into: &back, fromBlock: block, of: namespace)
  }
  if let difference = file.firstDifference(from: back.bytes) {
    throw CheckFailure("what was read differs at byte \(difference)")
  }
  return "\(byteCount) bytes equal"
}

private func copyFile(_ file: borrowing SourceFile, to buffer: inout StreamingBuffer) {
  let bytes = file.buffer.bytes
  var target = buffer.mutableBytes
  for index in 0..<bytes.byteCount {
    target.storeBytes(of: load(bytes, index), toByteOffset: index, as: UInt8.self)
  }
}

/// Copies the random bytes to another place of the disk, and reads them back.
///
/// The first pass gives pools their pages; the second must not touch the heap.
func copyBlocks(
  to target: UInt64, _ disk: NVMeDevice, _ namespace: NVMeNamespace
) throws(CheckFailure) -> String {
  let platform = disk.device.dma.platform
  let byteCount = DiskLayout.randomByteCount
  var buffer = try attempt { () throws(DMAError) in
    try StreamingBuffer(byteCount: byteCount, in: platform, placement: .high)
  }
  var back = try attempt { () throws(DMAError) in
    try StreamingBuffer(byteCount: byteCount, in: platform, placement: .high)
  }
  let start = platform.nanoseconds
  let queue = disk.queues[0]
  let blockByteCount = UInt64(namespace.blockByteCount)
  var allocations: UInt64 = 0
  for _ in 0..<2 {
    fill(&back, 0x5c)
    let before = Heap.allocationCount
    try attempt { () throws(NVMeError) in
      try queue.read(
        into: &buffer, fromBlock: DiskLayout.random / blockByteCount, of: namespace)
      try queue.write(from: &buffer, toBlock: target / blockByteCount, of: namespace)
      try queue.flush(namespace)
      try queue.read(into: &back, fromBlock: target / blockByteCount, of: namespace)
    }
    allocations = Heap.allocationCount - before
  }
  try requireEqual(buffer.bytes, back.bytes)
  try require(!isUniform(buffer.bytes), "the disk holds no random bytes: see Firmware/run")
  try require(allocations == 0, "\(allocations) heap allocations in the I/O path")
  let milliseconds = (platform.nanoseconds - start) / 1_000_000
  return "\(byteCount >> 20) MiB equal, \(milliseconds) ms, no heap"
}

/// The same by bounce: memory above 4 GiB for a driver that has 32 bits.
private func bounceBlocks(_ given: GivenDevices) throws(CheckFailure) -> String {
  var options = BounceMapping.Options()
  options.slotCount = 4096
  options.areaCount = 1
  let pool = try attempt { () throws(DMAError) in
    try BounceMapping(platform: given.host.platform, options: options)
  }
  let seen = try withDisk(given, mask: .bits32, mapping: pool.mapping) {
    disk, namespace throws(CheckFailure) in
    try copyBlocks(to: DiskLayout.bounced, disk, namespace)
  }
  let statistics = pool.statistics
  // Two passes, each of which reads twice and writes once.
  let byteCount = UInt64(DiskLayout.randomByteCount)
  try require(
    statistics.bytesOut >= 4 * byteCount && statistics.bytesIn >= 2 * byteCount
      && statistics.usedSlots == 0,
    "\(statistics.bytesIn) bytes in, \(statistics.bytesOut) out, \(statistics.usedSlots) slots left"
  )
  return seen + "; \(statistics.bytesOut >> 20) MiB bounced out"
}
