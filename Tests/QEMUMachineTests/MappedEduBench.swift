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

  var testDescription: String { rawValue }

  /// Whether memory beyond the device's 28 bits can be mapped for it.
  var reachesHighMemory: Bool { self != .direct }
}

/// QEMU's edu with its 28 bits and its driver, on a machine whose memory reaches further.
final class MappedEduBench {
  static let mask = EduDevice.defaultMask

  let edu: EduDevice
  let bounce: BounceMapping?
  let machine: QEMUMachine

  init(_ kind: EduMapping, completion: EduDevice.Completion = .polling) throws {
    var configuration = QEMUMachine.Configuration(devices: [.edu(dmaMask: Self.mask)])
    configuration.memoryByteCount = 1 << 30
    machine = try QEMUMachine(configuration)
    let mapping: DMAMapping
    switch kind {
    case .direct:
      mapping = DirectMapping.make(for: machine.platform)
      bounce = nil
    case .bounce:
      var options = BounceMapping.Options()
      options.slotCount = 1024
      options.limit = Self.mask
      let pool = try BounceMapping(platform: machine.platform, options: options)
      mapping = pool.mapping
      bounce = pool
    }
    let device = try PCIDevice(
      host: machine.pci, address: machine.address(of: 0), mapping: mapping)
    edu = try EduDevice(device, mask: Self.mask, completion: completion)
  }

  var dma: DMADevice { edu.device.dma }

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
