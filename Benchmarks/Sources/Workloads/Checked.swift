import DMA
import DMAChecker
import DMAMapping

/// Mappings that stay while one after the other is ended and made again.
private let liveCount = 65536

/// A device with many live mappings, each of 256 bytes of its own.
///
/// They are ended and made again in the order of the driver's own ring, or in any order; where their
/// memory lies has nothing to do with the ring's. So what the checker looks up lies anywhere; in ring
/// order, the driver's own accesses are what they are without a checker.
private final class LiveMappings<Direction: TransferDirection> {
  let host = HostPlatform()
  let device: DMADevice
  let checker: DMAChecker?
  let mappings = UnsafeMutablePointer<StreamingMapping<Direction>>.allocate(capacity: liveCount)
  let order: UnsafeMutablePointer<UInt32>

  init(isChecked: Bool, inAnyOrder: Bool = false) throws {
    order = shuffled(liveCount, seed: 7)
    if !inAnyOrder { for index in 0..<liveCount { order[index] = UInt32(index) } }
    device = try host.device()
    if isChecked {
      // A finding would be a bug of the checker or of this file.
      // (What is live at the end is no leak here.)
      let checker = DMAChecker { if $0.rule != .leak { fail("a finding: \($0.rule)") } }
      checker.attach(to: device)
      self.checker = checker
    } else {
      checker = nil
    }
    let places = shuffled(liveCount, seed: 99)
    for index in 0..<liveCount {
      let buffer = try StreamingBuffer(byteCount: 256, for: device)
      guard case .mapped(let mapping) = buffer.map(Direction.self, for: device) else {
        fail("not mapped")
      }
      (mappings + Int(places[index])).initialize(to: mapping)
    }
  }

  @inline(never)
  func replace(_ count: Int) {
    for index in 0..<count {
      let place = mappings + Int(order[index & (liveCount - 1)])
      let buffer = place.move().unmap()
      guard case .mapped(let mapping) = buffer.map(Direction.self, for: device) else {
        fail("not mapped")
      }
      place.initialize(to: mapping)
    }
  }
}

@MainActor let checkedWorkloads: [Workload] = [
  Workload(name: "checker-off-64k") {
    try LiveMappings<ToDevice>(isChecked: false).replace
  },
  Workload(name: "checker-on-64k") {
    try LiveMappings<ToDevice>(isChecked: true).replace
  },
  Workload(name: "checker-off-64k-any-order") {
    try LiveMappings<ToDevice>(isChecked: false, inAnyOrder: true).replace
  },
  Workload(name: "checker-on-64k-any-order") {
    try LiveMappings<ToDevice>(isChecked: true, inAnyOrder: true).replace
  },
  // What devices write is looked at by cache lines too.
  Workload(name: "checker-on-64k-from-device") {
    try LiveMappings<FromDevice>(isChecked: true).replace
  },
]
