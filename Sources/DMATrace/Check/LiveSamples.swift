import DMA

/// Live mappings and bytes of each device over the trace, at a bounded number of points.
struct LiveSamples {
  struct Point {
    var time: UInt64
    var device: UInt32
    var count: Int
    var byteCount: UInt64
    var mappedBytes: (UInt64, UInt64, UInt64)
  }
  private(set) var points: [Point] = []
  private var stride = 64
  private var untilNext = 64
  private static let limit = 8192

  @inline(__always)
  mutating func isDue() -> Bool {
    untilNext &-= 1
    return untilNext == 0
  }

  /// Keeps every second point when there are too many, and samples half as often from then on.
  mutating func take(
    _ states: UnsafeMutablePointer<DeviceState>, count devices: Int, at now: UInt64
  ) {
    untilNext = stride
    guard devices > 0 else { return }
    for device in 1...devices {
      let state = unsafe states[device]
      guard state.isSeen else { continue }
      points.append(
        Point(
          time: now, device: UInt32(device), count: state.liveCount,
          byteCount: state.liveBytes, mappedBytes: (state.bytes.0, state.bytes.1, state.bytes.2)))
    }
    if points.count > Self.limit {
      var kept: [UInt32: Bool] = [:]
      points.removeAll { point in
        kept[point.device] = !(kept[point.device] ?? true)
        return kept[point.device] ?? false
      }
      stride *= 2
    }
  }
}
