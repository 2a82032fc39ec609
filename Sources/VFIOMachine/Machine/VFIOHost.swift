internal import CVFIO
internal import DMA
internal import DMAMapping
internal import Glibc
internal import MachineHost
internal import PCI
internal import Synchronization

/// Functions, memory and address space of a VFIO machine: what the platform and its PCI call.
///
/// Outlives `VFIOMachine` as long as buffers do: their memory stays, the devices do not.
@safe
final class VFIOHost {
  let configuration: VFIOMachine.Configuration
  let tree: SysfsTree
  let container: VFIOContainer
  let groups: [VFIOGroup]
  let functions: [VFIOFunction]
  let information: VFIOContainer.Information
  let pool: PagePool
  let pages: HostPages
  let pins = PinnedMemory()
  let interrupts = VFIOInterrupts()
  let pace = WaitPace(idle: 5_000_000)
  let startNanoseconds = MonotonicClock.nanoseconds
  let state: UnsafeMutablePointer<MappingState>
  /// Where drivers' "physical" addresses begin, which in arena mode are bus addresses.
  let baseAddress: UInt64
  let replacedCount = Atomic<Int>(0)
  /// Places for pinned memory, where they are not bus addresses.
  private let pinSpace = IOVASpace(last: 1 << 47 - 1)

  /// - Throws: `VFIOError`; nothing is left open.
  init(
    _ addresses: [PCIAddress], _ configuration: VFIOMachine.Configuration, _ tree: SysfsTree
  ) throws(VFIOError) {
    try configuration.validate(addresses)
    let numbers = try Self.groupNumbers(addresses, tree)
    let container = try VFIOContainer()
    var groups: [VFIOGroup] = []
    for (index, address) in addresses.enumerated()
    where !groups.contains(where: { $0.number == numbers[index] }) {
      groups.append(try VFIOGroup(numbers[index], for: address, into: container, tree))
      if groups.count == 1 { try container.setIOMMU() }
    }
    information = try container.information()
    guard information.pageSizes & 0x1fff != 0 else {
      throw .invalidConfiguration("the IOMMU has no pages of 4 KiB")
    }
    let plan = AddressPlan(ranges: information.ranges)
    let byteCount = configuration.roundedByteCount
    let alignment = min(
      UInt64(1) << UInt64(64 - (byteCount - 1).leadingZeroBitCount), 1 << 30)
    if let asked = configuration.baseAddress {
      guard asked & (alignment - 1) == 0 else {
        throw .invalidConfiguration("a base address that is no multiple of \(alignment)")
      }
      try plan.require(asked...asked + (byteCount - 1))
      baseAddress = asked
    } else {
      baseAddress = try plan.place(
        byteCount: byteCount, alignment: alignment, limit: configuration.addressLimit.rawValue)
    }
    pool = try PagePool(
      byteCount: byteCount, alignment: alignment, pages: configuration.pageSize, tree)
    pages = HostPages([
      HostPages.Region(
        cpuAddress: pool.cpuAddress, physicalAddress: baseAddress,
        pageCount: Int(byteCount >> 12))
    ])
    // SAFETY: freshly allocated for one MappingState; freed by deinit.
    let state = UnsafeMutablePointer<MappingState>.allocate(capacity: 1)
    unsafe state.initialize(to: MappingState(container, plan))
    var functions: [VFIOFunction] = []
    do throws(VFIOError) {
      if configuration.mode == .arena { unsafe try Self.register(state, pool, baseAddress) }
      for (index, address) in addresses.enumerated() {
        guard let group = groups.first(where: { $0.number == numbers[index] }) else { continue }
        functions.append(try VFIOFunction(address, group, tree))
      }
    } catch {
      for function in functions { function.close() }
      unsafe state.deinitialize(count: 1)
      unsafe state.deallocate()
      throw error
    }
    unsafe self.state = state
    self.configuration = configuration
    self.tree = tree
    self.container = container
    self.groups = groups
    self.functions = functions
  }

  deinit {
    close()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  private static func groupNumbers(
    _ addresses: [PCIAddress], _ tree: SysfsTree
  ) throws(VFIOError) -> [Int] {
    var numbers: [Int] = []
    for address in addresses {
      guard let record = PCIFunctionRecord(address, in: tree) else { throw .noDevice(address) }
      // Some IOMMUs (virtio's) give a function its group when a driver takes it.
      let mayGetGroup = record.driver == nil && !tree.names("/sys/class/iommu").isEmpty
      guard record.group != nil || mayGetGroup else { throw .noGroup(address) }
      // Said before the group is opened: the kernel's own answers are less clear.
      guard record.driver == "vfio-pci", let group = record.group else {
        throw .wrongDriver(address, driver: record.driver, needed: "vfio-pci")
      }
      numbers.append(group)
    }
    return numbers
  }

  /// Makes the whole pool reachable for good: the arena.
  private static func register(
    _ state: UnsafeMutablePointer<MappingState>, _ pool: PagePool, _ address: UInt64
  ) throws(VFIOError) {
    unsafe state.pointee.space.reserve(address...address + (pool.byteCount - 1))
    let status = unsafe MappingState.map(state, pool.cpuAddress, address, pool.byteCount, 3)
    guard status >= 0 else {
      throw MemoryLock.error(code: -status, call: "VFIO_IOMMU_MAP_DMA", need: pool.byteCount)
    }
  }

  /// Ends the devices, then what they could reach; idempotent.
  func close() {
    guard unsafe !state.pointee.isClosed.exchange(true, ordering: .acquiringAndReleasing) else {
      return
    }
    // A child of fork must not end its parent's device; its descriptors go with it.
    guard vfio_host_fork_count() == (unsafe state.pointee.forkCount) else { return }
    for function in functions { function.close() }
    for range in information.ranges {
      // The length of everything does not fit into 64 bits: the last page is never used.
      let byteCount = min(range.upperBound - range.lowerBound, UInt64.max - 8191) & ~4095
      _ = vfio_host_unmap(container.descriptor, range.lowerBound & ~4095, byteCount)
    }
    for group in groups { group.retire() }
    container.retire()
    unsafe state.pointee.mappedByteCount.store(0, ordering: .relaxed)
    unsafe state.pointee.entryCount.store(0, ordering: .relaxed)
  }

  // MARK: Pinning

  /// Makes memory from elsewhere usable; in arena mode also reachable.
  func pin(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    if let kind = PinnedMemory.refusal(cpuAddress, byteCount, tree) {
      numbers = DMAStatusNumbers(UInt64(kind.rawValue))
      return .notDMAable
    }
    let first = cpuAddress & ~4095
    let size = wholePages(UInt64(cpuAddress), byteCount)
    let pageCount = Int(size >> 12)
    let isArena = configuration.mode == .arena
    let place =
      unsafe isArena
      ? state.pointee.space.allocate(pageCount: pageCount) : pinSpace.allocate(pageCount: pageCount)
    guard let place else {
      numbers = DMAStatusNumbers(UInt64(byteCount), .max)
      return .outOfAddressSpace
    }
    var status = pins.add(
      PinnedMemory.Range(cpuAddress: first, byteCount: size, address: place))
    if status >= 0, isArena {
      status = unsafe MappingState.map(state, first, place, size, 3)
      if status < 0 { _ = pins.remove(place) }
    }
    guard status >= 0 else {
      give(place, pageCount)
      return unsafe numbers.withWords { pointer in
        unsafe MappingState.status(-status, byteCount, .max, pointer).rawValue
      }
    }
    numbers = DMAStatusNumbers(place | UInt64(cpuAddress) & 4095)
    return .success
  }

  private func give(_ place: UInt64, _ pageCount: Int) {
    if configuration.mode == .arena {
      unsafe state.pointee.space.free(place, pageCount: pageCount)
    } else {
      pinSpace.free(place, pageCount: pageCount)
    }
  }

  func unpin(_ address: UInt64) {
    let kept = KeptAreas.current(tree)
    guard let range = pins.remove(address) else { return }
    if kept.firstReplaced(UInt64(range.cpuAddress), range.byteCount) != nil {
      replacedCount.add(1, ordering: .relaxed)
    }
    var isGone = true
    if configuration.mode == .arena {
      isGone = unsafe MappingState.unmap(
        state, range.address, range.byteCount, mapped: range.byteCount, entries: 1)
    }
    if isGone { give(range.address, Int(range.byteCount >> 12)) }
  }
}
