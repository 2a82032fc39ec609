import DMA
import DMAChecker
import DMAMapping

/// A device with 64 K live mappings of a page each, which are ended and made anew one at a time, the
/// oldest first as in a ring, or any.
final class LiveMappings<Direction: TransferDirection> {
  static var count: Int { 1 << 16 }

  private let device: DMADevice
  private let checker: DMAChecker?
  private let mappings: UnsafeMutablePointer<StreamingMapping<Direction>>
  private let isRandom: Bool
  private var state: UInt64 = 1
  private var next = 0

  init(_ platform: Platform, isChecked: Bool, isRandom: Bool) throws {
    self.isRandom = isRandom
    device = DMADevice(
      name: "card", platform: platform, mapping: DirectMapping.make(for: platform))
    checker = isChecked ? DMAChecker { print($0.text()) } : nil
    checker?.attach(to: device)
    mappings = .allocate(capacity: Self.count)
    for index in 0..<Self.count {
      let buffer = try StreamingBuffer(byteCount: 4096, for: device)
      (mappings + index).initialize(to: try buffer.map(Direction.self, for: device).get())
    }
  }

  deinit {
    for index in 0..<Self.count { _ = (mappings + index).move().unmap() }
    mappings.deallocate()
  }

  /// What the checker found: nothing, or the figures are not of correct calls.
  var findingCount: UInt64 { checker?.statistics.findingCount ?? 0 }

  /// Ends a mapping and makes one of the same buffer, again and again; all ones when that failed.
  @inline(never)
  func replace(count: Int) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      next = isRandom ? Int(truncatingIfNeeded: state &>> 48) : (next &+ 1) & (Self.count &- 1)
      let place = mappings + next
      switch place.move().unmap().map(Direction.self, for: device) {
      case .mapped(let mapping):
        sum &+= mapping.address.rawValue
        place.initialize(to: mapping)
      case .failed(_, _): return .max
      }
    }
    return sum
  }
}
