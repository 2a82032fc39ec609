import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// What stands between a device and memory in the tests of lists.
typealias ListMapping = Setup

extension Setup {
  /// Whether pieces are joined into segments (R89).
  var merges: Bool { hasIOMMU }
}

/// A machine and a probe device whose lists are mapped in one way.
final class ScatterBench {
  let machine: SimulatedMachine
  let probe = ProbeDevice()
  let device: PCIDevice
  private var bounce: BounceMapping?
  private var unit: VTDUnit?
  private var domain: IOMMUDomain?

  init(_ mapping: ListMapping, constraints: DMAConstraints = .pci) throws {
    var configuration = SimulatedMachine.Configuration()
    if mapping.merges { configuration.iommu = .vtd() }
    configuration.isCoherent = mapping.isCoherent
    machine = try SimulatedMachine(configuration)
    let address = try machine.attach(probe)
    var chosen: DMAMapping
    switch mapping.kind {
    case .direct: chosen = DirectMapping.make(for: machine.platform)
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 4096
      options.isForced = true
      let bounce = try BounceMapping(platform: machine.platform, options: options)
      self.bounce = bounce
      chosen = bounce.mapping
    case .iommuStrict, .iommuDeferred:
      let registers = try #require(machine.iommuRegisters)
      let unit = try VTDUnit(registers: registers, platform: machine.platform)
      var options = IOMMUDomain.Options()
      if mapping.kind == .iommuDeferred { options.invalidation = .deferred() }
      let domain = try IOMMUDomain(
        platform: machine.platform, unit: unit.unit, options: options)
      try domain.attach(requester: UInt16(truncatingIfNeeded: address.packed))
      self.unit = unit
      self.domain = domain
      chosen = domain.mapping
    }
    if let defect = mapping.defect { chosen = defect.breaking(chosen) }
    device = try PCIDevice(host: machine.pci, address: address, mapping: chosen)
    device.enableBusMastering()
    device.dma.constraints = constraints
    if mapping.kind == .direct { try device.dma.setMask(.bits64) }
  }

  var platform: Platform { machine.platform }
  var dma: DMADevice { device.dma }

  /// Slots that live mappings hold, where there are slots.
  var usedSlots: Int { bounce?.statistics.usedSlots ?? 0 }

  /// What the device reads when it follows the segments.
  func read(_ mapping: borrowing ScatterMapping<some DeviceReads>) -> [UInt8]? {
    var bytes: [UInt8] = []
    for index in 0..<mapping.segmentCount {
      let segment = mapping.segment(at: index)
      guard let part = probe.read(segment.address.rawValue, byteCount: segment.byteCount) else {
        return nil
      }
      bytes += part
    }
    return bytes
  }

  /// Has the device write along the segments.
  func write(_ bytes: [UInt8], _ mapping: borrowing ScatterMapping<some DeviceWrites>) -> Bool {
    var position = 0
    for index in 0..<mapping.segmentCount {
      let segment = mapping.segment(at: index)
      let part = Array(bytes[position..<position + segment.byteCount])
      guard probe.write(segment.address.rawValue, part) else { return false }
      position += segment.byteCount
    }
    return position == bytes.count
  }
}

extension ScatterBuffer {
  /// A list of pieces at odd places, some of them whole pages.
  static func random(
    in platform: Platform, using random: inout some RandomNumberGenerator
  ) throws -> ScatterBuffer {
    var list = ScatterBuffer(capacity: 2)
    for _ in 0..<Int.random(in: 1...20, using: &random) {
      let size = Int.random(in: 1...20_000, using: &random)
      let high = Bool.random(using: &random)
      let buffer = try StreamingBuffer(
        byteCount: size, in: platform, placement: high ? .high : .anywhere)
      switch Int.random(in: 0..<3, using: &random) {
      case 0: list.append(buffer)
      case 1:
        let start = Int.random(in: 0..<size, using: &random)
        list.append(buffer, bytes: start..<Int.random(in: start + 1...size, using: &random))
      default:
        let page = try StreamingBuffer(byteCount: 4096, in: platform)
        list.append(page)
      }
    }
    return list
  }

  /// All bytes in order.
  var contents: [UInt8] {
    borrowing get {
      var bytes = [UInt8](repeating: 0, count: byteCount)
      var span = bytes.mutableSpan
      // SAFETY: any byte is a UInt8.
      var raw = unsafe span.mutableBytes
      copyBytes(to: &raw)
      return bytes
    }
  }

  mutating func fill(_ bytes: [UInt8]) { unsafe copyBytes(from: bytes.span.bytes) }

  /// How long each entry is.
  var entryLengths: [Int] {
    borrowing get { (0..<entryCount).map { bytes(of: $0).byteCount } }
  }
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: UInt8) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) ^ seed }
}
