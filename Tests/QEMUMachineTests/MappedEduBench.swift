import DMA
import DMAMapping
import Drivers
import PCI
import QEMUMachine
import TestSupport
import Testing

/// What stands between QEMU's edu and memory.
enum EduMapping: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case direct
  case bounce
  case iommuStrict = "IOMMU, strict"
  case iommuDeferred = "IOMMU, deferred"

  var testDescription: String { rawValue }

  /// Whether memory beyond the device's 28 bits can be mapped for it.
  var reachesHighMemory: Bool { self != .direct }
}

/// QEMU's edu with its 28 bits and its driver, on a machine whose memory reaches further.
final class MappedEduBench {
  static let mask = EduDevice.defaultMask

  let edu: EduDevice
  let bounce: BounceMapping?
  private let domain: IOMMUDomain?
  private let unit: VTDUnit?
  let machine: QEMUMachine

  /// - Parameter mapsInterruptPage: whether the device may write where its interrupts arrive.
  init(
    _ kind: EduMapping, completion: EduDevice.Completion = .polling,
    mapsInterruptPage: Bool = true
  ) throws {
    var configuration = QEMUMachine.Configuration(devices: [.edu(dmaMask: Self.mask)])
    configuration.memoryByteCount = 1 << 30
    configuration.hasIOMMU = kind == .iommuStrict || kind == .iommuDeferred
    machine = try QEMUMachine(configuration)
    let mapping: DMAMapping
    switch kind {
    case .direct:
      mapping = DirectMapping.make(for: machine.platform)
      (bounce, domain, unit) = (nil, nil, nil)
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 1024
      options.limit = Self.mask
      let pool = try BounceMapping(platform: machine.platform, options: options)
      mapping = pool.mapping
      bounce = pool
      (domain, unit) = (nil, nil)
    case .iommuStrict, .iommuDeferred:
      let unit = try VTDUnit(registers: Self.registers(machine), platform: machine.platform)
      var options = IOMMUDomain.Options()
      // So long that nothing is flushed before the test says so.
      if kind == .iommuDeferred { options.invalidation = .deferred(nanoseconds: .max) }
      let domain = try IOMMUDomain(
        platform: machine.platform, unit: unit.unit, options: options)
      if mapsInterruptPage { try domain.mapIdentity(machine.interruptPage, .fromDevice) }
      try domain.attach(requester: UInt16(machine.address(of: 0).packed))
      mapping = domain.mapping
      self.domain = domain
      self.unit = unit
      bounce = nil
    }
    let device = try PCIDevice(
      host: machine.pci, address: machine.address(of: 0), mapping: mapping)
    edu = try EduDevice(device, mask: Self.mask, completion: completion)
  }

  var dma: DMADevice { edu.device.dma }

  /// The VT-d unit's, on every q35 board.
  private static func registers(_ machine: QEMUMachine) -> RegisterWindow {
    machine.registers(at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096)
  }

  var iommuRegisters: RegisterWindow { Self.registers(machine) }

  /// What translates.
  var iommu: (IOMMUDomain, VTDUnit) {
    get throws { (try #require(domain), try #require(unit)) }
  }

  /// What QEMU's unit refused since the last call.
  func faults() -> [IOMMUFault] {
    var found: [IOMMUFault] = []
    let hasLost = unit?.takeFaults { found.append($0) }
    #expect(hasLost == false)
    return found
  }

  /// Where a buffer lies as high as the mapping allows.
  func placement(_ kind: EduMapping) -> StreamingBuffer.Placement {
    kind.reachesHighMemory ? .high : .below(Self.mask)
  }

  func high(_ byteCount: Int) throws(DMAError) -> StreamingBuffer {
    try StreamingBuffer(byteCount: byteCount, in: machine.platform, placement: .high)
  }
}

/// Fills a buffer's first bytes.
func fill(_ buffer: inout StreamingBuffer, _ content: [UInt8]) {
  var span = buffer.mutableBytes
  // The span checks each store against the buffer's bounds.
  for (index, byte) in content.enumerated() {
    span.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
  }
}

/// Bytes that nothing else in memory looks like.
func randomBytes(_ count: Int, _ random: inout SeededGenerator) -> [UInt8] {
  (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
}
