internal import CVFIO
public import DMA
internal import DMAMapping
internal import MachineHost
public import PCI
internal import Synchronization

/// This host's PCI devices, driven from this process through Linux's VFIO.
///
/// Each device must be bound to `vfio-pci`; `dmatool doctor` says what else stands in the way. All
/// devices of a machine share one address space behind the IOMMU. Registers are memory of this
/// process; interrupts come by event counters. Any thread may use it.
///
/// It ends in order with `close()`, with this object and the last buffer, or with the process,
/// also when that is killed: the kernel then does the same.
public final class VFIOMachine {
  /// How memory becomes reachable for devices.
  public enum Mode: String, Sendable, CaseIterable {
    /// Each map and unmap is a call of the kernel's: a device reaches what is mapped and nothing
    /// else.
    case perCall
    /// All memory is mapped once, in large pieces; map and unmap are arithmetic.
    ///
    /// A device reaches all of it at all times: see `exposure`.
    case arena
  }

  /// Which pages the machine's memory has.
  public enum PageSize: String, Sendable, CaseIterable {
    /// Huge pages when enough are free, else small ones.
    case any
    /// 4 KiB.
    case small
    /// 2 MiB, or an error.
    case huge
  }

  /// How a machine is set up.
  public struct Configuration: Sendable {
    /// Strict unless said otherwise.
    public var mode = Mode.perCall
    /// Memory for buffers; rounded up to 2 MiB.
    public var memoryByteCount: UInt64 = 64 << 20
    public var pageSize = PageSize.any
    /// In arena mode, the highest bus address that memory may have: the narrowest mask of the
    /// devices.
    public var addressLimit = DMAMask.bits64
    /// Where the memory begins for devices in arena mode; nil for the lowest place.
    public var baseAddress: UInt64? = nil
    /// Coherent memory that is kept mapped for allocation in atomic context, in `perCall` mode:
    /// 4096 times a power of two, or 0.
    public var reserveByteCount = 256 << 10

    public init() {}

    /// Whole huge pages.
    var roundedByteCount: UInt64 {
      (memoryByteCount + PagePool.hugeByteCount - 1) & ~(PagePool.hugeByteCount - 1)
    }

    func validate(_ addresses: [PCIAddress]) throws(VFIOError) {
      guard !addresses.isEmpty, addresses.count < 256 else {
        throw .invalidConfiguration("\(addresses.count) devices: 1 to 255 can be opened")
      }
      for index in addresses.indices where addresses[..<index].contains(addresses[index]) {
        throw .invalidConfiguration("\(addresses[index]) is named twice")
      }
      guard memoryByteCount > 0, memoryByteCount <= 1 << 46 else {
        throw .invalidConfiguration("\(memoryByteCount) bytes of memory: 1 to 2^46")
      }
    }
  }

  /// Memory and time.
  public let platform: Platform
  /// The bus: only the machine's devices are on it.
  public let pci: PCIHost
  /// What devices are made with.
  public let mapping: DMAMapping
  let host: VFIOHost

  /// Opens devices.
  ///
  /// - Throws: `VFIOError`, whose `limit` says what would help; nothing is left open.
  public init(
    _ addresses: [PCIAddress], _ configuration: Configuration = Configuration()
  ) throws(VFIOError) {
    let host = try VFIOHost(addresses, configuration, SysfsTree())
    let tables = MachineTables(attaching: host)
    platform = tables.makePlatform(
      lowestLimit: host.lastAddress, highestAddress: host.lastAddress)
    pci = tables.makePCI(platform)
    switch configuration.mode {
    case .perCall:
      mapping = try unsafe PerCallMapping(
        platform.unsafeCore, host.state, reserveByteCount: configuration.reserveByteCount
      ).mapping
    case .arena:
      // Bus addresses are what the machine calls physical: nothing is left to translate.
      mapping = DirectMapping.make(for: platform)
    }
    self.host = host
  }

  deinit { close() }

  /// Ends the machine in order: bus mastering off, interrupts off, devices reset, registers gone,
  /// devices closed, everything unmapped, groups given back.
  ///
  /// Registers read as all ones afterwards, and maps throw; buffers stay valid. Idempotent.
  public func close() { host.close() }

  /// The IOMMU's ranges of bus addresses, as the kernel reports them.
  public var addressRanges: [ClosedRange<UInt64>] { host.information.ranges }

  /// Sizes of pages that the IOMMU has, a bit each.
  public var pageSizes: UInt64 { host.information.pageSizes }

  /// Mappings that the kernel still allows; nil when it does not say.
  public var entriesAvailable: Int? {
    (try? host.container.information())?.entriesAvailable ?? nil
  }

  /// Bytes that devices can reach now.
  public var reachableByteCount: Int {
    unsafe host.state.pointee.mappedByteCount.load(ordering: .relaxed)
  }

  /// How many mappings the kernel has of this machine.
  public var entryCount: Int { unsafe host.state.pointee.entryCount.load(ordering: .relaxed) }

  /// Bytes of memory that can be allocated now.
  public var freeByteCount: UInt64 { host.pages.freeByteCount }

  /// Whether the memory has huge pages.
  public var hasHugePages: Bool { host.pool.isHuge }

  /// Whether a device can be reset by the kernel.
  public func canReset(_ address: PCIAddress) -> Bool {
    host.functions.first { $0.address == address }?.canReset ?? false
  }

  /// Resets a device: its registers are as after power-on, except for configuration space.
  ///
  /// - Throws: `VFIOError.noDevice`; `.system` when the device has no way to be reset.
  public func reset(_ address: PCIAddress) throws(VFIOError) {
    guard let function = host.functions.first(where: { $0.address == address }) else {
      throw .noDevice(address)
    }
    let status = vfio_host_reset(function.descriptor)
    guard status >= 0 else { throw .system(call: "VFIO_DEVICE_RESET", code: Int(-status)) }
  }
}

// SAFETY: everything that changes is behind locks or atomic.
extension VFIOMachine: @unchecked Sendable {}
