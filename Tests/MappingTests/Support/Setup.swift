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
  /// What is wrong with it, to prove that a test can fail.
  var defect: Defect? = nil

  static let direct = Setup(kind: .direct)
  static let bounce = Setup(kind: .bounce)
  static let iommuStrict = Setup(kind: .iommuStrict)
  static let iommuDeferred = Setup(kind: .iommuDeferred)

  static let allCases = [true, false].flatMap { isCoherent in
    Kind.allCases.map { Setup(kind: $0, isCoherent: isCoherent) }
  }

  var testDescription: String { isCoherent ? kind.rawValue : "\(kind.rawValue), incoherent" }

  var hasIOMMU: Bool { kind == .iommuStrict || kind == .iommuDeferred }

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

  init(_ setup: Setup, _ configuration: SimulatedMachine.Configuration) throws {
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
  /// What translates, where something does.
  var domain: IOMMUDomain? { bus.domain }
  var unit: VTDUnit? { bus.unit }

  /// One more device of the same kind on the same machine.
  func anotherDevice() throws -> (PCIDevice, ProbeDevice) {
    let probe = ProbeDevice()
    return (try bus.plugIn(probe), probe)
  }
}

/// What all devices of a bench share.
private struct BenchBus {
  let machine: SimulatedMachine
  private(set) var mapping: DMAMapping
  var unit: VTDUnit? = nil
  var domain: IOMMUDomain? = nil

  init(_ setup: Setup, _ machine: SimulatedMachine) throws {
    self.machine = machine
    let platform = machine.platform
    switch setup.kind {
    case .direct: mapping = DirectMapping.make(for: platform)
    case .bounce: mapping = try Self.lowBounce(platform)
    case .iommuStrict, .iommuDeferred:
      let unit = try VTDUnit(registers: #require(machine.iommuRegisters), platform: platform)
      var options = IOMMUDomain.Options()
      if setup.kind == .iommuDeferred { options.invalidation = .deferred() }
      let domain = try IOMMUDomain(
        platform: platform, unit: setup.defect?.breaking(unit.unit) ?? unit.unit,
        options: options)
      mapping = domain.mapping
      self.unit = unit
      self.domain = domain
    }
    if let defect = setup.defect { mapping = defect.breaking(mapping) }
  }

  /// A pool as low as the machine has memory, whose copies keep their place in a page.
  private static func lowBounce(_ platform: Platform) throws -> DMAMapping {
    var options = BounceMapping.Options()
    options.slotCount = 1024
    options.isForced = true
    options.minimumAlignmentMask = 4095
    options.limit = .bits24
    if let low = try? BounceMapping(platform: platform, options: options) { return low.mapping }
    options.limit = .bits32
    return try BounceMapping(platform: platform, options: options).mapping
  }

  func plugIn(_ probe: ProbeDevice) throws -> PCIDevice {
    let address = try machine.attach(probe)
    try domain?.attach(requester: UInt16(address.packed))
    let device = try PCIDevice(host: machine.pci, address: address, mapping: mapping)
    device.enableBusMastering()
    return device
  }
}
