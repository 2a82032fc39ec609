internal import CVFIO
internal import DMA
internal import Glibc
internal import PCI
internal import Synchronization

/// A PCI function opened through VFIO: its descriptor, regions and interrupts.
@safe
final class VFIOFunction: Sendable {
  /// Region numbers and interrupt kinds of vfio-pci.
  enum Region { static let configuration: UInt32 = 7 }

  let address: PCIAddress
  let descriptor: Int32
  let canReset: Bool
  private let configurationOffset: UInt64
  private let state = Mutex(State())

  private struct State {
    var isOpen = true
    /// BARs that are mapped here.
    var windows: [Window] = []
  }

  private struct Window {
    var bar: Int
    var cpuAddress: UInt
    var byteCount: UInt64
  }

  /// Opens a function of a group whose container has its IOMMU.
  ///
  /// - Throws: `VFIOError.wrongDriver`, `.deviceInUse`, `.system`.
  init(_ address: PCIAddress, _ group: VFIOGroup, _ tree: SysfsTree) throws(VFIOError) {
    let opened = unsafe vfio_host_group_device(group.descriptor, address.description)
    guard opened >= 0 else {
      let driver = tree.link("/sys/bus/pci/devices/\(address)/driver")
      if driver != "vfio-pci" {
        throw .wrongDriver(address, driver: driver, needed: "vfio-pci")
      }
      throw -opened == EBUSY
        ? .deviceInUse(address, group: group.number)
        : .system(call: "VFIO_GROUP_GET_DEVICE_FD", code: Int(-opened))
    }
    let flags = vfio_host_device_flags(opened)
    var region = vfio_host_region()
    let status = unsafe vfio_host_region_info(opened, Region.configuration, &region)
    guard flags >= 0, flags & 2 != 0, status >= 0 else {
      Glibc.close(opened)
      throw .system(
        call: "VFIO_DEVICE_GET_INFO", code: Int(flags < 0 ? -flags : status < 0 ? -status : ENODEV))
    }
    self.address = address
    descriptor = opened
    canReset = flags & 1 != 0
    configurationOffset = region.offset
  }

  deinit {
    close()
    Glibc.close(descriptor)
  }

  // MARK: Configuration space

  func readConfiguration(_ offset: Int, _ byteCount: Int) -> UInt32 {
    guard offset >= 0, offset <= 4096 - byteCount else { return .max }
    var value: UInt32 = 0
    // SAFETY: at most four bytes are written.
    let got = unsafe pread(descriptor, &value, byteCount, off_t(configurationOffset) + offset)
    return got == byteCount ? UInt32(littleEndian: value) : .max
  }

  func writeConfiguration(_ offset: Int, _ byteCount: Int, _ value: UInt32) {
    guard offset >= 0, offset <= 4096 - byteCount else { return }
    var bytes = value.littleEndian
    // A write that fails is one to a device that is gone: as on a bus, nobody is told.
    _ = unsafe pwrite(descriptor, &bytes, byteCount, off_t(configurationOffset) + offset)
  }

  // MARK: Registers

  /// Where a BAR's registers are: their address here, or an offset for `readRegister`.
  enum Registers {
    case memory(UInt)
    case file(UInt64)
  }

  func mapBAR(_ index: Int, _ byteCount: Int) throws(DMAError) -> Registers {
    var region = vfio_host_region()
    let status = unsafe vfio_host_region_info(descriptor, UInt32(index), &region)
    guard status >= 0 else { throw .machine(code: Int(-status)) }
    guard region.size >= UInt64(byteCount) else { throw .machine(code: Int(ENXIO)) }
    guard region.map_offset == 0, region.map_size >= UInt64(byteCount) else {
      guard region.is_readable != 0 else { throw .machine(code: Int(EACCES)) }
      return .file(region.offset)
    }
    let (offset, size) = (region.offset, region.map_size)
    return try state.withLock { (state) throws(DMAError) -> Registers in
      guard state.isOpen else { throw .deviceRemoved }
      if let known = state.windows.first(where: { $0.bar == index }) {
        return .memory(known.cpuAddress)
      }
      var code: Int32 = 0
      let address = unsafe vfio_host_file_map(descriptor, offset, size, &code)
      guard address != 0 else { throw .machine(code: Int(code)) }
      state.windows.append(Window(bar: index, cpuAddress: address, byteCount: size))
      return .memory(address)
    }
  }

  func readRegister(_ place: UInt64, _ byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    // SAFETY: at most eight bytes are written.
    let got = unsafe pread(descriptor, &value, byteCount, off_t(place))
    return got == byteCount ? UInt64(littleEndian: value) : .max
  }

  func writeRegister(_ place: UInt64, _ byteCount: Int, _ value: UInt64) {
    var bytes = value.littleEndian
    _ = unsafe pwrite(descriptor, &bytes, byteCount, off_t(place))
  }

  // MARK: The end

  /// Ends the device in order: no bus mastering, no interrupts, reset, registers gone, closed.
  ///
  /// Nothing of it reaches memory afterwards. Windows onto its registers read as all ones from
  /// then on. Idempotent.
  func close() {
    state.withLock { state in
      guard state.isOpen else { return }
      state.isOpen = false
      let command = readConfiguration(PCIRegister.command, 2)
      // Bit 2 masters the bus (PCI 3.0, 6.2.2).
      if command != .max { writeConfiguration(PCIRegister.command, 2, command & ~4) }
      for kind in 0..<3 as Range<UInt32> { vfio_host_interrupt_disable(descriptor, kind) }
      if canReset { vfio_host_reset(descriptor) }
      for window in state.windows { Self.blank(window.cpuAddress, Int(window.byteCount)) }
      // The descriptor stays until the end, so that a late call meets nothing.
      vfio_host_retire(descriptor)
    }
  }

  /// Puts memory of all ones where registers were: drivers may still hold windows.
  static func blank(_ cpuAddress: UInt, _ count: Int) {
    guard let place = unsafe UnsafeMutableRawPointer(bitPattern: cpuAddress) else { return }
    // SAFETY: exactly what was mapped; it stays mapped for as long as the process lives, since
    // nobody knows who holds its address.
    let fresh = unsafe mmap(
      place, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    if unsafe fresh == place { unsafe memset(place, 0xff, count) }
  }
}
