internal import DMA
import DMAMapping
import Drivers
public import PCI
public import SimulatedMachine
import Synchronization

/// What a scenario left behind: nothing, or it did not clean up.
public struct Leftovers: Equatable, Sendable, CustomStringConvertible {
  /// Mappings that were made and not ended.
  public var mappingCount = 0
  public var coherentCount = 0
  public var quarantinedCount = 0
  public var bounceSlotCount = 0
  /// Pages of bus addresses.
  public var addressPageCount = 0
  /// Translation entries.
  public var entryCount = 0
  /// Bytes of memory.
  public var byteCount: Int64 = 0

  public init() {}

  public var description: String {
    "\(mappingCount) mappings, \(coherentCount) coherent, \(quarantinedCount) quarantined,"
      + " \(bounceSlotCount) slots, \(addressPageCount) pages of addresses, \(entryCount) entries,"
      + " \(byteCount) bytes"
  }
}

/// A machine with one device, of which a plan lets something fail.
public final class FaultBench {
  public let machine: SimulatedMachine
  public let pci: PCIDevice
  public let model: SimulatedDevice
  public let plan: FaultPlan
  private var bounce: BounceMapping?
  private var domain: IOMMUDomain?
  private var unit: VTDUnit?
  private let counter: Counter
  private var baseline = Leftovers()
  private var freeByteCount: Int64 = 0

  /// Counts mappings by their events.
  private final class Counter: Sendable {
    let live = Atomic<Int>(0)

    func note(_ event: DMAEvent) {
      guard event.status == .success else { return }
      switch event.kind {
      case .map, .mapScatter: live.add(1, ordering: .relaxed)
      case .unmap, .unmapScatter: live.subtract(1, ordering: .relaxed)
      default: break
      }
    }

    func observer() -> DMAObserver {
      // SAFETY: the observer holds self, so the context stays valid.
      let context = unsafe Unmanaged.passUnretained(self).toOpaque()
      return unsafe DMAObserver(
        receive: { context, event in
          let counter = unsafe Unmanaged<Counter>.fromOpaque(context).takeUnretainedValue()
          unsafe counter.note(event.assumingMemoryBound(to: DMAEvent.self).pointee)
        }, context: context, owner: self)
    }
  }

  /// - Parameter model: the device to drive.
  public init(
    _ kind: ProgramSetup.Kind, isCoherent: Bool, _ model: SimulatedDevice, _ plan: FaultPlan
  ) throws {
    self.model = model
    self.plan = plan
    plan.isActive = false
    var configuration = SimulatedMachine.Configuration()
    configuration.isCoherent = isCoherent
    configuration.faults = plan
    if kind == .strict || kind == .deferred { configuration.iommu = .vtd() }
    machine = try SimulatedMachine(configuration)
    let place = try machine.attach(model)
    let mapping: DMAMapping
    switch kind {
    case .direct: mapping = DirectMapping.make(for: machine.platform)
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 4096
      options.isForced = true
      let bounce = try BounceMapping(platform: machine.platform, options: options)
      self.bounce = bounce
      mapping = bounce.mapping
    case .strict, .deferred:
      guard let registers = machine.iommuRegisters else { throw DMAError.deviceRemoved }
      let unit = try VTDUnit(registers: registers, platform: machine.platform)
      var options = IOMMUDomain.Options()
      // What is cached counts as taken.
      options.cachesAddresses = false
      if kind == .deferred { options.invalidation = .deferred() }
      let domain = try IOMMUDomain(
        platform: machine.platform, unit: unit.unit, options: options)
      try domain.attach(requester: UInt16(truncatingIfNeeded: place.packed))
      self.unit = unit
      self.domain = domain
      mapping = domain.mapping
    }
    pci = try PCIDevice(host: machine.pci, address: place, mapping: plan.failing(mapping))
    // Drivers set their own; what has none reaches all memory.
    try pci.dma.setMask(.bits64)
    counter = Counter()
    pci.dma.setObserver(counter.observer())
    freeByteCount = freeNow
    baseline = measure()
  }

  /// Free memory, with what page tables took meanwhile: they stay for the next mapping.
  private var freeNow: Int64 {
    Int64(machine.freeByteCount) + Int64((domain?.tablePageCount ?? 0) * 4096)
  }

  private func measure() -> Leftovers {
    domain?.flush()
    var now = Leftovers()
    now.mappingCount = counter.live.load(ordering: .relaxed)
    now.coherentCount = pci.dma.liveCoherentCount
    now.quarantinedCount = pci.dma.quarantined.mappingCount
    now.bounceSlotCount = bounce?.statistics.usedSlots ?? 0
    now.addressPageCount = domain?.takenPageCount ?? 0
    now.entryCount = domain?.validEntryCount ?? 0
    now.byteCount = freeByteCount - freeNow
    return now
  }

  /// What is there now that was not there when the bench was made.
  public func leftovers() -> Leftovers {
    plan.isActive = false
    var now = measure()
    now.bounceSlotCount -= baseline.bounceSlotCount
    now.addressPageCount -= baseline.addressPageCount
    now.entryCount -= baseline.entryCount
    return now
  }
}
