import DMA
import DMAMapping
import SimulatedMachine
import Testing

/// What may stand between a device and memory: each legal program runs over every one.
enum Setup: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case direct, bounce
  case iommuStrict = "IOMMU, strict"
  case iommuDeferred = "IOMMU, deferred"

  var testDescription: String { rawValue }

  private var hasIOMMU: Bool { self == .iommuStrict || self == .iommuDeferred }

  func machine(isCoherent: Bool, isGuarded: Bool = false) throws -> SimulatedMachine {
    var configuration = SimulatedMachine.Configuration()
    configuration.isGuarded = isGuarded
    configuration.isCoherent = isCoherent
    if hasIOMMU { configuration.iommu = .vtd() }
    return try SimulatedMachine(configuration)
  }

  /// A mapping for one device, and what keeps it alive.
  func mapping(_ machine: SimulatedMachine, requester: UInt16) throws -> (DMAMapping, [Any]) {
    let platform = machine.platform
    switch self {
    case .direct: return (DirectMapping.make(for: platform), [])
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 4096
      options.isForced = true
      options.limit = .bits24
      return (try BounceMapping(platform: platform, options: options).mapping, [])
    case .iommuStrict, .iommuDeferred:
      let unit = try VTDUnit(registers: #require(machine.iommuRegisters), platform: platform)
      var options = IOMMUDomain.Options()
      if self == .iommuDeferred { options.invalidation = .deferred() }
      let domain = try IOMMUDomain(platform: platform, unit: unit.unit, options: options)
      try domain.attach(requester: requester)
      return (domain.mapping, [unit, domain])
    }
  }
}
