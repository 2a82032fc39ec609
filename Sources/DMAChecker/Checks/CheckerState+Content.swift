internal import DMA

/// What memory holds that only the device may read.
extension CheckerState {
  /// Sums up a mapping's bytes, if that is asked for and they are not too many.
  func rehash(_ mapping: inout LiveMapping) {
    guard options.hashesContent, mapping.family == .single, mapping.cpuAddress != 0,
      mapping.byteCount <= UInt64(options.hashedByteCountMax)
    else { return }
    mapping.word = Self.hash(mapping.cpuAddress, Int(mapping.byteCount))
    mapping.bits |= LiveMapping.Flags.hashed
  }

  /// Compares a mapping's bytes with what they were when the device got them.
  mutating func checkContent(
    _ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // While the CPU has it, it may change; what a device wrote was reported when it did.
    guard mapping.has(LiveMapping.Flags.hashed), !mapping.has(LiveMapping.Flags.cpuOwned),
      !mapping.has(LiveMapping.Flags.deviceWrote),
      mapping.word != Self.hash(mapping.cpuAddress, Int(mapping.byteCount))
    else { return }
    unsafe report(.memoryChanged, device, event, mapping)
  }

  /// A sum in which any change of a single word shows: each step is one-to-one.
  private static func hash(_ cpuAddress: UInt64, _ byteCount: Int) -> UInt64 {
    guard
      let start = unsafe UnsafeRawPointer(bitPattern: UInt(truncatingIfNeeded: cpuAddress))
    else { return 0 }
    var sum = UInt64(byteCount)
    var offset = 0
    // SAFETY: the memory is mapped, so its owner keeps it; the offsets stay below its length.
    while offset + 8 <= byteCount {
      let word = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      sum = (sum ^ word) &* 0x9e37_79b9_7f4a_7c15
      sum ^= sum >> 32
      offset += 8
    }
    while offset < byteCount {
      let byte = unsafe start.load(fromByteOffset: offset, as: UInt8.self)
      sum = (sum ^ UInt64(byte)) &* 0x9e37_79b9_7f4a_7c15
      sum ^= sum >> 32
      offset += 1
    }
    return sum
  }
}
