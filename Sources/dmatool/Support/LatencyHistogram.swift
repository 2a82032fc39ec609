/// Times in nanoseconds, counted in steps of at most 3 %: of any number of them, in 15 KiB.
struct LatencyHistogram: Sendable {
  /// 32 steps for each power of two.
  private static let stepBits = 5
  private var counts = [UInt64](repeating: 0, count: 60 << 5)
  private(set) var count: UInt64 = 0
  private var sum = 0.0
  private var squares = 0.0
  private(set) var largest: UInt64 = 0

  mutating func add(_ nanoseconds: UInt64) {
    counts[Self.step(nanoseconds)] += 1
    count += 1
    let value = Double(nanoseconds)
    sum += value
    squares += value * value
    largest = max(largest, nanoseconds)
  }

  mutating func add(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    sum += other.sum
    squares += other.squares
    largest = max(largest, other.largest)
  }

  /// 0 when there are none.
  var mean: Double { count == 0 ? 0 : sum / Double(count) }

  /// The standard deviation; 0 when there are none.
  var deviation: Double {
    count == 0 ? 0 : max(0, squares / Double(count) - mean * mean).squareRoot()
  }

  /// The lowest time that is not below `share` of all, as the upper end of its step; 0 when there
  /// are none.
  func percentile(_ share: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    let wanted = max(1, UInt64((Double(count) * share).rounded(.up)))
    var seen: UInt64 = 0
    for (step, number) in counts.enumerated() {
      seen += number
      if seen >= wanted { return min(Self.upperEnd(step), largest) }
    }
    return largest
  }

  private static func step(_ value: UInt64) -> Int {
    guard value >= 1 << stepBits else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - stepBits
    return (shift << stepBits) + Int(value >> UInt64(shift))
  }

  private static func upperEnd(_ step: Int) -> UInt64 {
    guard step >= 2 << stepBits else { return UInt64(step) }
    let shift = step >> stepBits - 1
    let first = UInt64(step - shift << stepBits) << UInt64(shift)
    return first + (1 << UInt64(shift) - 1)
  }
}
