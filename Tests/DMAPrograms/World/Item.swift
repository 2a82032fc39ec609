import DMA

/// The entries of a list, which stay where they are.
@safe
final class EntryList {
  let entries: UnsafeMutableBufferPointer<ScatterEntry>

  init(_ entries: [ScatterEntry]) {
    unsafe self.entries = .allocate(capacity: entries.count)
    _ = unsafe self.entries.initialize(from: entries)
  }

  deinit { unsafe entries.deallocate() }
}

/// A mapping that is a value, of whatever direction.
enum ValueMapping: ~Copyable {
  case none
  case toDevice(StreamingMapping<ToDevice>)
  case fromDevice(StreamingMapping<FromDevice>)
  case bidirectional(StreamingMapping<Bidirectional>)
}

final class ValueBox {
  var mapping: ValueMapping

  init(_ mapping: consuming ValueMapping) { self.mapping = mapping }

  func take() -> ValueMapping {
    var taken = ValueMapping.none
    swap(&taken, &mapping)
    return taken
  }
}

/// What a program has, live or ended: a device may use it either way.
struct Item {
  struct Segment {
    var address: UInt64
    var byteCount: Int
  }

  enum Kind { case region, list, coherent, block, value }

  var kind: Kind
  var device: Int
  var direction: DMADirection
  /// Where the device finds it.
  var segments: [Segment]
  var cpuAddress: UInt
  var byteCount: Int
  var list: EntryList?
  var memory: CoherentMemory?
  var pool = 0
  var value: ValueBox?
  var isLive = true
  /// Between a sync for the CPU and one for the device.
  var isCPUOwned = false

  func permits(isWrite: Bool) -> Bool {
    if kind == .coherent || kind == .block { return true }
    return (isWrite ? direction.deviceWrites : direction.deviceReads)
      && (!isCPUOwned || direction == .fromDevice)
  }
}
