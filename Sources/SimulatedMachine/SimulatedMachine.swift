public import DMA
public import PCI
internal import MachineMemory

/// A whole machine inside this process: memory, a PCI bus, devices, time.
///
/// It needs no privileges and starts in microseconds. Its RAM is one sparse memory object mapped
/// where the CPU sees it; devices reach it over the bus only. Nothing outlives the process. Time
/// is the machine's own: it passes when a driver waits (`Platform.relax`), and the same seed and
/// the same calls give the same run.
///
/// Any thread may use it. Buffers, mappings and interrupts may outlive this object; registers and
/// devices must not.
public final class SimulatedMachine {
  /// What a machine is like.
  public struct Configuration: Sendable {
    /// RAM in bytes: a multiple of 1 MiB from 32 MiB on.
    ///
    /// It lies below 3 GiB, and what does not fit there from 4 GiB up. Memory that nobody touched
    /// costs nothing.
    public var memoryByteCount: UInt64 = 6 << 30
    /// Whether there is RAM below 16 MiB.
    public var has24BitZone = true
    /// Whether there is RAM from 16 MiB to 3 GiB.
    public var has32BitZone = true
    /// Whether the CPU's caches and devices see the same memory.
    ///
    /// Otherwise the CPU works on a copy that is written back and dropped only by cache
    /// maintenance: a forgotten sync shows.
    public var isCoherent = true
    /// Whether devices see memory by another mapping of it than the CPU, so that guard pages can
    /// close what the CPU sees.
    public var isGuarded = false
    /// What stands between devices and memory.
    public var iommu = IOMMU.none
    /// When devices do their work.
    public var execution = Execution.seeded
    /// What fails; nil for nothing but what runs out.
    public var faults: FaultPlan? = nil
    /// Decides how long devices take and which of them comes first.
    public var seed: UInt64 = 1

    public init() {}
  }

  /// When devices do their work.
  public enum Execution: Equatable, Sendable {
    /// While a driver waits, in an order that the seed decides: the same run every time.
    case seeded
    /// On a thread of their own, for throughput; time is the host's steady clock.
    case threaded
  }

  /// What kind of IOMMU a machine has.
  public enum IOMMU: Equatable, Sendable {
    /// Bus addresses are physical addresses.
    case none
    /// A remapping unit after Intel's VT-d specification, off until a driver turns it on.
    ///
    /// It takes bus addresses of 39 bits (3-level tables) or 48 (3 or 4 levels).
    case vtd(addressWidth: Int = 39)
  }

  /// Where memory and time come from.
  public let platform: Platform
  /// The bus, with the addresses of registers assigned.
  public let pci: PCIHost
  /// The IOMMU's registers, where there is one; also to be found at 0xfed90000.
  public let iommuRegisters: RegisterWindow?
  let core: MachineCore

  /// - Throws: `SimulatedMachineError.invalidMemorySize`; `.host` when the host is out of memory
  ///   or addresses (a retry can help).
  public init(_ configuration: Configuration = Configuration()) throws(SimulatedMachineError) {
    core = try MachineCore(configuration)
    platform = core.makePlatform()
    pci = core.makePCIHost(platform)
    iommuRegisters = core.iommu == nil ? nil : core.iommuWindow
  }

  // MARK: Devices

  /// Plugs a device in, in the state after power-on, with addresses for its registers.
  ///
  /// - Parameter address: a place on bus 0; the first free device number when nil.
  /// - Returns: where it sits.
  /// - Throws: `SimulatedMachineError.slotTaken`, `.noSlot`, `.outOfBARSpace`, `.deviceInUse`.
  @discardableResult
  public func attach(
    _ device: SimulatedDevice, at address: PCIAddress? = nil
  ) throws(SimulatedMachineError) -> PCIAddress {
    try core.slots.attach(device, at: address, bus: core.bus, clock: core.clock)
  }

  /// Pulls a device out, whatever its driver is doing: from now on its configuration and registers
  /// read as all ones, and it reaches nothing.
  ///
  /// - Throws: `SimulatedMachineError.noDevice`.
  public func detach(_ address: PCIAddress) throws(SimulatedMachineError) {
    try core.slots.detach(address)
  }

  // MARK: Looking inside

  /// What devices did that no driver can have meant, oldest first; forgets it.
  ///
  /// The first 1024 since the last call are kept; `incidentCount` counts all.
  public func takeIncidents() -> [BusIncident] { core.incidents.take() }

  /// All incidents since the machine started.
  public var incidentCount: UInt64 { core.incidents.count }

  /// Interrupt messages for vectors that nobody has.
  public var spuriousInterruptCount: UInt64 { core.interrupts.spuriousCount }

  /// Where the CPU sees the machine's memory: what guard pages watch.
  public var linearAddresses: Range<UInt> {
    core.memory.linearBase..<core.memory.linearBase + UInt(core.memory.map.end)
  }

  /// What the page allocator has in all.
  public var memoryByteCount: UInt64 { core.allocator.totalByteCount }

  /// What it has left.
  public var freeByteCount: UInt64 { core.allocator.freeByteCount }
}

// SAFETY: every part of the core has its own lock.
extension SimulatedMachine: @unchecked Sendable {}
