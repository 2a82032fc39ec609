import DMA
import DMAMapping
import Drivers
import PCI
import SimulatedMachine
import Testing

/// One way to stand between a controller and memory: the suites run over each (R5).
struct Setup: Equatable, Sendable, CustomTestStringConvertible {
  enum Kind: String, CaseIterable, Sendable {
    case direct
    /// Everything is copied, also what the device reaches by itself.
    case bounce
    /// Behind a VT-d unit that forgets at each unmap.
    case iommu = "IOMMU, strict"
    /// Behind a VT-d unit that forgets for many unmaps at once.
    case deferredIOMMU = "IOMMU, deferred"
  }

  var kind: Kind
  /// Whether the device sees what CPU caches hold.
  var isCoherent = true

  static let direct = Setup(kind: .direct)

  static let allCases = [true, false].flatMap { isCoherent in
    Kind.allCases.map { Setup(kind: $0, isCoherent: isCoherent) }
  }

  var testDescription: String { isCoherent ? kind.rawValue : "\(kind.rawValue), incoherent" }
}

extension Setup {
  /// A machine that this mapping can be made on.
  func machine(seed: UInt64 = 1) throws -> SimulatedMachine {
    var configuration = SimulatedMachine.Configuration()
    configuration.seed = seed
    configuration.isCoherent = isCoherent
    if kind == .iommu || kind == .deferredIOMMU { configuration.iommu = .vtd() }
    return try SimulatedMachine(configuration)
  }

  /// The function at an address, behind this mapping; and what must be kept as long.
  func open(
    _ machine: SimulatedMachine, _ address: PCIAddress
  ) throws -> (device: PCIDevice, kept: [AnyObject]) {
    let (mapping, kept) = try mapping(machine, address)
    return (try PCIDevice(host: machine.pci, address: address, mapping: mapping), kept)
  }

  /// The mapping for the function at an address; and what must be kept as long.
  func mapping(
    _ machine: SimulatedMachine, _ address: PCIAddress
  ) throws -> (mapping: DMAMapping, kept: [AnyObject]) {
    let mapping: DMAMapping
    let kept: [AnyObject]
    switch kind {
    case .direct:
      mapping = DirectMapping.make(for: machine.platform)
      kept = []
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 8192
      options.isForced = true
      let bounce = try BounceMapping(platform: machine.platform, options: options)
      kept = [bounce]
      mapping = bounce.mapping
    case .iommu, .deferredIOMMU:
      let unit = try VTDUnit(
        registers: try #require(machine.iommuRegisters), platform: machine.platform)
      var options = IOMMUDomain.Options()
      if kind == .deferredIOMMU { options.invalidation = .deferred() }
      let domain = try IOMMUDomain(
        platform: machine.platform, unit: unit.unit, options: options)
      try domain.attach(requester: UInt16(truncatingIfNeeded: address.packed))
      kept = [unit, domain]
      mapping = domain.mapping
    }
    return (mapping, kept)
  }
}

/// A machine with an NVMe controller, and the function that a driver drives.
final class Bench {
  let machine: SimulatedMachine
  let controller: NVMeController
  let pci: PCIDevice
  private let kept: [AnyObject]

  init(
    _ setup: Setup = .direct, storage: NVMeStorage? = nil, seed: UInt64 = 1,
    _ change: (inout NVMeController.Configuration) -> Void = { _ in }
  ) throws {
    machine = try setup.machine(seed: seed)
    var options = NVMeController.Configuration()
    change(&options)
    controller = NVMeController(try storage ?? NVMeMemory(zeroes: 64 << 20), options)
    (pci, kept) = try setup.open(machine, try machine.attach(controller))
  }

  var platform: Platform { machine.platform }

  /// A driver for the controller.
  func open(_ change: (inout NVMeDevice.Options) -> Void = { _ in }) throws -> NVMeDevice {
    var options = NVMeDevice.Options()
    change(&options)
    return try NVMeDevice(pci, options: options)
  }

  /// A buffer with bytes that say where they are from.
  func buffer(_ byteCount: Int, seed: UInt8 = 1) throws -> StreamingBuffer {
    let bytes = Self.pattern(byteCount, seed: seed)
    return try unsafe StreamingBuffer(copying: bytes.span.bytes, in: platform)
  }

  /// Bytes of which each 512 differ from the others.
  static func pattern(_ byteCount: Int, seed: UInt8 = 1) -> [UInt8] {
    let block = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7) &+ seed }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount + 512)
    var index = 0
    while bytes.count < byteCount {
      bytes += block
      bytes[bytes.count - 512] = UInt8(truncatingIfNeeded: index)
      bytes[bytes.count - 511] = UInt8(truncatingIfNeeded: index >> 8)
      index += 1
    }
    bytes.removeLast(bytes.count - byteCount)
    return bytes
  }
}

extension StreamingBuffer {
  /// A copy of the bytes.
  var array: [UInt8] {
    let span = bytes
    // SAFETY: both hold that many bytes.
    return unsafe span.withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
