/// When each CPU was heard of last.
@safe
struct CPUClocks {
  private struct Clock {
    var time: UInt64 = 0
    /// When it last wrote an event of a device, and how many it wrote.
    var callTime: UInt64 = 0
    var calls = 0
  }
  // SAFETY: owned; all `capacity` are initialized.
  private var clocks: UnsafeMutablePointer<Clock>
  private var capacity = 16
  private var count = 0
  /// Linux has no more (CONFIG_NR_CPUS); larger numbers are damage.
  private static let limit = 1 << 13

  init() {
    unsafe clocks = .allocate(capacity: capacity)
    unsafe clocks.initialize(repeating: Clock(), count: capacity)
  }

  func deallocate() { unsafe clocks.deallocate() }

  @inline(__always)
  mutating func note(_ cpu: UInt32, _ time: UInt64, isCall: Bool) {
    let cpu = Int(cpu)
    if cpu >= count, !grow(cpu) { return }
    unsafe clocks[cpu].time = time
    if isCall {
      unsafe clocks[cpu].callTime = time
      unsafe clocks[cpu].calls &+= 1
    }
  }

  private mutating func grow(_ cpu: Int) -> Bool {
    guard cpu < Self.limit else { return false }
    if cpu >= capacity {
      let larger = UnsafeMutablePointer<Clock>.allocate(capacity: cpu * 2)
      unsafe larger.moveInitialize(from: clocks, count: capacity)
      unsafe (larger + capacity).initialize(repeating: Clock(), count: cpu * 2 - capacity)
      unsafe clocks.deallocate()
      unsafe clocks = unsafe larger
      capacity = cpu * 2
    }
    count = cpu + 1
    return true
  }

  /// When a CPU was heard last; 0 for never.
  func lastTime(of cpu: UInt32) -> UInt64 { unsafe Int(cpu) < count ? clocks[Int(cpu)].time : 0 }

  /// When the CPU that is silent for longest was heard last.
  var earliest: UInt64 {
    var result = UInt64.max
    for cpu in 0..<count { result = unsafe min(result, clocks[cpu].time) }
    return count == 0 ? 0 : result
  }

  var seenCount: Int {
    var result = 0
    for cpu in 0..<count where unsafe clocks[cpu].time != 0 { result += 1 }
    return result
  }

  /// When the first CPU fell silent, of those that wrote so many events of devices.
  func earliestSilence(atLeast calls: Int) -> UInt64 {
    var result = UInt64.max
    for cpu in 0..<count where unsafe clocks[cpu].calls >= calls {
      result = unsafe min(result, clocks[cpu].callTime)
    }
    return result
  }
}
