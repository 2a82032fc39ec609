import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// One way to stand between a device and memory: the whole suite runs over each (R5).
struct Setup: Sendable, CustomTestStringConvertible {
  enum Kind: String, CaseIterable, Sendable {
    case direct
    /// Everything is copied, also what the device reaches by itself.
    case bounce
    /// Behind a VT-d unit that forgets at each unmap.
    case iommuStrict = "IOMMU, strict"
    /// Behind a VT-d unit that forgets for many unmaps at once.
    case iommuDeferred = "IOMMU, deferred"
  }

  let kind: Kind
  /// Whether the device sees what CPU caches hold.
  ///
  /// Otherwise the CPU's view of memory is stale until it is synced, and so is a walk of the
  /// IOMMU's tables that were not cleaned.
  var isCoherent = true
  /// Whose pools the tests of pools use.
  var pool = PoolKind.library
  /// What is wrong with it, to prove that a test can fail.
  var defect: Defect? = nil

  static let direct = Setup(kind: .direct)
  static let bounce = Setup(kind: .bounce)
  static let iommuStrict = Setup(kind: .iommuStrict)
  static let iommuDeferred = Setup(kind: .iommuDeferred)

  static let allCases = [true, false].flatMap { isCoherent in
    Kind.allCases.map { Setup(kind: $0, isCoherent: isCoherent) }
  }

  /// The library's pools over every mapping, and plain ones over two.
  static let poolCases =
    allCases
    + [direct, iommuStrict].map { setup in
      var setup = setup
      setup.pool = .plain(nil)
      return setup
    }

  var testDescription: String {
    var text = kind.rawValue
    if !isCoherent { text += ", incoherent" }
    if case .plain = pool { text += ", plain pool" }
    return text
  }

  var hasIOMMU: Bool { kind == .iommuStrict || kind == .iommuDeferred }

  /// The direct mapping of a machine, with what is wrong with it.
  func directMapping(_ platform: Platform, offset: UInt64 = 0) -> DMAMapping {
    let mapping = DirectMapping.make(for: platform, offset: offset)
    return defect?.breaking(mapping) ?? mapping
  }

  /// A machine with one probe device behind this mapping.
  func make(_ configuration: SimulatedMachine.Configuration = .init()) throws -> Bench {
    try Bench(self, configuration)
  }
}

/// A machine, a probe device on it, and what its driver has.
final class Bench {
  let machine: SimulatedMachine
  let probe = ProbeDevice()
  let device: PCIDevice
  private let bus: BenchBus
  private let setup: Setup

  init(_ setup: Setup, _ configuration: SimulatedMachine.Configuration) throws {
    self.setup = setup
    var configuration = configuration
    if setup.hasIOMMU { configuration.iommu = .vtd() }
    configuration.isCoherent = setup.isCoherent
    machine = try SimulatedMachine(configuration)
    bus = try BenchBus(setup, machine)
    device = try bus.plugIn(probe)
  }

  var platform: Platform { machine.platform }
  var dma: DMADevice { device.dma }
  /// Free memory, with what page tables took meanwhile: they stay for the next mapping.
  var freeByteCount: UInt64 {
    machine.freeByteCount + UInt64(bus.domain?.tablePageCount ?? 0) * 4096
  }
  /// Slots that live mappings hold, where there are slots.
  var usedSlots: Int { bus.bounce?.statistics.usedSlots ?? 0 }
  /// What translates, where something does.
  var domain: IOMMUDomain? { bus.domain }
  var unit: VTDUnit? { bus.unit }

  /// Pools for a device, the bench's own unless another is given.
  func pools(_ device: DMADevice? = nil) -> PoolMaker {
    PoolMaker(setup.pool, device ?? dma)
  }

  /// A device that has no bus address and no model: only its limits count.
  func bareDevice(_ name: String = "bare") -> DMADevice {
    DMADevice(name: name, platform: platform, mapping: bus.mapping)
  }

  /// The device of buses without devices (R45).
  func legacyDevice() -> DMADevice { .legacy(platform: platform, mapping: bus.mapping) }

  /// One more device of the same kind on the same machine.
  func anotherDevice() throws -> (PCIDevice, ProbeDevice) {
    let probe = ProbeDevice()
    return (try bus.plugIn(probe), probe)
  }

  /// One more device, behind an address space of its own.
  func deviceOnAnotherBus() throws -> (PCIDevice, ProbeDevice) {
    let probe = ProbeDevice()
    guard let unit = bus.unit, setup.defect?.sharesBuses != true else {
      return (try bus.plugIn(probe), probe)
    }
    let domain = try IOMMUDomain(
      platform: platform, unit: unit.unit, options: BenchBus.options(setup))
    let address = try machine.attach(probe)
    try domain.attach(requester: UInt16(address.packed))
    let device = try PCIDevice(host: machine.pci, address: address, mapping: domain.mapping)
    device.enableBusMastering()
    return (device, probe)
  }
}

/// What all devices of a bench share.
private struct BenchBus {
  let machine: SimulatedMachine
  private(set) var mapping: DMAMapping
  var bounce: BounceMapping? = nil
  var unit: VTDUnit? = nil
  var domain: IOMMUDomain? = nil

  init(_ setup: Setup, _ machine: SimulatedMachine) throws {
    self.machine = machine
    let platform = machine.platform
    switch setup.kind {
    case .direct: mapping = DirectMapping.make(for: platform)
    case .bounce:
      let bounce = try Self.lowBounce(platform)
      self.bounce = bounce
      mapping = bounce.mapping
    case .iommuStrict, .iommuDeferred:
      let unit = try VTDUnit(registers: #require(machine.iommuRegisters), platform: platform)
      let domain = try IOMMUDomain(
        platform: platform, unit: setup.defect?.breaking(unit.unit) ?? unit.unit,
        options: Self.options(setup))
      mapping = domain.mapping
      self.unit = unit
      self.domain = domain
    }
    if let defect = setup.defect { mapping = defect.breaking(mapping) }
  }

  /// A pool as low as the machine has memory, whose copies keep their place in a page.
  private static func lowBounce(_ platform: Platform) throws -> BounceMapping {
    var options = BounceMapping.Options()
    options.slotCount = 1024
    options.isForced = true
    options.minimumAlignmentMask = 4095
    options.limit = .bits24
    if let low = try? BounceMapping(platform: platform, options: options) { return low }
    options.limit = .bits32
    if let low = try? BounceMapping(platform: platform, options: options) { return low }
    // A machine without memory below 4 GiB.
    options.limit = .bits64
    return try BounceMapping(platform: platform, options: options)
  }

  static func options(_ setup: Setup) -> IOMMUDomain.Options {
    var options = IOMMUDomain.Options()
    if setup.kind == .iommuDeferred { options.invalidation = .deferred() }
    return options
  }

  func plugIn(_ probe: ProbeDevice) throws -> PCIDevice {
    let address = try machine.attach(probe)
    try domain?.attach(requester: UInt16(address.packed))
    let device = try PCIDevice(host: machine.pci, address: address, mapping: mapping)
    device.enableBusMastering()
    return device
  }
}
