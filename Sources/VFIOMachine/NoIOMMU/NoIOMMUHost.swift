internal import CVFIO
internal import DMA
internal import Glibc
internal import PCI
internal import Synchronization

/// A function and locked memory of an `UnsafeNoIOMMUMachine`.
@safe
final class NoIOMMUHost {
  let address: PCIAddress
  let pages: HostPages
  private let pool: PagePool
  private let folder: String
  private let configuration: Int32
  private let events: Int32
  private let state = Mutex(State())
  let startNanoseconds = MonotonicClock.nanoseconds

  private struct State {
    var isOpen = true
    var windows: [Window] = []
    var isWireAttached = false
  }

  private struct Window {
    var bar: Int
    var cpuAddress: UInt
    var byteCount: Int
  }

  init(
    _ address: PCIAddress, _ memoryByteCount: UInt64, _ tree: SysfsTree
  ) throws(VFIOError) {
    guard memoryByteCount > 0, memoryByteCount <= 1 << 40 else {
      throw .invalidConfiguration("\(memoryByteCount) bytes of memory: 1 to 2^40")
    }
    guard let record = PCIFunctionRecord(address, in: tree) else { throw .noDevice(address) }
    guard record.driver == "uio_pci_generic" else {
      throw .wrongDriver(address, driver: record.driver, needed: "uio_pci_generic")
    }
    let folder = "/sys/bus/pci/devices/\(address)"
    guard let uio = tree.names(folder + "/uio").first else {
      throw .system(call: "open \(folder)/uio", code: Int(ENOENT))
    }
    let huge = PagePool.hugeByteCount
    let byteCount = (memoryByteCount + huge - 1) & ~(huge - 1)
    let pool = try PagePool(byteCount: byteCount, alignment: huge, pages: .huge, tree)
    pages = HostPages(try Self.regions(pool))
    let events = try Self.open("/dev/" + uio)
    do throws(VFIOError) {
      configuration = try Self.open(folder + "/config")
    } catch {
      Glibc.close(events)
      throw error
    }
    self.events = events
    self.address = address
    self.folder = folder
    self.pool = pool
  }

  deinit {
    close()
    Glibc.close(configuration)
    Glibc.close(events)
  }

  private static func open(_ path: String) throws(VFIOError) -> Int32 {
    let file = unsafe Glibc.open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
    if file >= 0 { return file }
    throw errno == EACCES || errno == EPERM
      ? .noPermission(path: path) : .system(call: "open \(path)", code: Int(errno))
  }

  /// Locks the pool and asks where its huge pages are; each is a region, neighbours are one.
  private static func regions(_ pool: PagePool) throws(VFIOError) -> [HostPages.Region] {
    let locked = vfio_host_memory_lock(pool.cpuAddress, pool.byteCount)
    guard locked >= 0 else {
      throw MemoryLock.error(code: -locked, call: "mlock", need: pool.byteCount)
    }
    let file = unsafe Glibc.open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .noPermission(path: "/proc/self/pagemap") }
    defer { Glibc.close(file) }
    let huge = PagePool.hugeByteCount
    var regions: [HostPages.Region] = []
    for index in 0..<pool.byteCount / huge {
      let start = pool.cpuAddress + UInt(index * huge)
      var entry: UInt64 = 0
      // Eight bytes a page (Documentation/admin-guide/mm/pagemap.rst): bit 63 present, bits 54:0
      // the frame, which is zero for those who may not know.
      let got = unsafe pread(file, &entry, 8, off_t(start >> 12) * 8)
      let frame = entry & (1 << 55 - 1)
      guard got == 8, entry >> 63 == 1 else {
        throw .system(call: "read /proc/self/pagemap", code: Int(got < 0 ? errno : EFAULT))
      }
      guard frame != 0 else { throw .noPermission(path: "/proc/self/pagemap") }
      if let last = regions.last,
        last.physicalAddress + UInt64(last.pageCount) << 12 == frame << 12
      {
        regions[regions.count - 1] = HostPages.Region(
          cpuAddress: last.cpuAddress, physicalAddress: last.physicalAddress,
          pageCount: last.pageCount + Int(huge >> 12))
      } else {
        regions.append(
          HostPages.Region(
            cpuAddress: start, physicalAddress: frame << 12, pageCount: Int(huge >> 12)))
      }
    }
    return regions.sorted { $0.physicalAddress < $1.physicalAddress }
  }

  // MARK: Configuration space and registers

  func readConfiguration(_ offset: Int, _ byteCount: Int) -> UInt32 {
    var value: UInt32 = 0
    // SAFETY: at most four bytes are written.
    let got = unsafe pread(configuration, &value, byteCount, offset)
    return got == byteCount ? UInt32(littleEndian: value) : .max
  }

  func writeConfiguration(_ offset: Int, _ byteCount: Int, _ value: UInt32) {
    var bytes = value.littleEndian
    // A write that fails is one to a device that is gone: as on a bus, nobody is told.
    _ = unsafe pwrite(configuration, &bytes, byteCount, offset)
  }

  func mapBAR(_ index: Int, _ byteCount: Int) -> (address: UInt, code: Int32) {
    state.withLock { state in
      guard state.isOpen else { return (0, ENODEV) }
      if let known = state.windows.first(where: { $0.bar == index }) {
        return (known.cpuAddress, 0)
      }
      let file = unsafe Glibc.open("\(folder)/resource\(index)", O_RDWR | O_CLOEXEC)
      guard file >= 0 else { return (0, errno) }
      defer { Glibc.close(file) }
      var code: Int32 = 0
      let place = unsafe vfio_host_file_map(file, 0, UInt64(byteCount), &code)
      guard place != 0 else { return (0, code) }
      state.windows.append(Window(bar: index, cpuAddress: place, byteCount: byteCount))
      return (place, 0)
    }
  }

  // MARK: The interrupt wire

  /// Bit 10 of the command register keeps the wire quiet (PCI 3.0, 6.2.2).
  private static var wireOff: UInt32 { 1 << 10 }

  func attachWire() -> Int32 {
    let isFree = state.withLock { state in
      defer { state.isWireAttached = true }
      return !state.isWireAttached
    }
    guard isFree else { return EBUSY }
    letWireThrough()
    return 0
  }

  func detachWire() {
    state.withLock { $0.isWireAttached = false }
    let command = readConfiguration(PCIRegister.command, 2)
    writeConfiguration(PCIRegister.command, 2, command | Self.wireOff)
  }

  /// The kernel's handler sets the bit at each interrupt.
  private func letWireThrough() {
    let command = readConfiguration(PCIRegister.command, 2)
    if command & Self.wireOff != 0 {
      writeConfiguration(PCIRegister.command, 2, command & ~Self.wireOff)
    }
  }

  /// Whether the wire was signalled since the last call.
  func takeInterrupt() -> Bool {
    var count: UInt32 = 0
    // SAFETY: four bytes are read: how many interrupts there were (Documentation/driver-api/uio).
    if unsafe read(events, &count, 4) == 4 { return true }
    // The handler of the last one has calmed the device by now.
    letWireThrough()
    return false
  }

  func wait() {
    var file = events
    unsafe vfio_host_wait(&file, 1, 200_000)
  }

  func close() {
    let windows = state.withLock { state -> [Window]? in
      guard state.isOpen else { return nil }
      state.isOpen = false
      return state.windows
    }
    guard let windows else { return }
    let command = readConfiguration(PCIRegister.command, 2)
    if command != .max { writeConfiguration(PCIRegister.command, 2, command & ~4 | Self.wireOff) }
    for window in windows { VFIOFunction.blank(window.cpuAddress, window.byteCount) }
  }
}
