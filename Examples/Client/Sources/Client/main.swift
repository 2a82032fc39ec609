import DMA
import DMAChecker
import DMAMapping
import SimulatedMachine

#if canImport(Glibc)
  import Glibc
#endif

// Client loops             the names of the hot loops
// Client count LOOP N      runs one of them N times: for instruction counts
// Client time              prints nanoseconds a pair for each, the best and the median of 9 runs
// Client checker           prints what a checker adds to a pair with 64 K live mappings

/// Everything a hot loop needs.
struct Bench {
  let machine: SimulatedMachine
  let device: DMADevice
  /// Behind a VT-d unit, deferred: what an unmap costs without waiting for an invalidation.
  let translated: DMADevice
  let pool: DMAPool

  init() throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.iommu = .vtd()
    machine = try SimulatedMachine(configuration)
    guard let registers = machine.iommuRegisters else { throw DMAError.deviceRemoved }
    let unit = try VTDUnit(registers: registers, platform: machine.platform)
    var options = IOMMUDomain.Options()
    options.invalidation = .deferred()
    let domain = try IOMMUDomain(platform: machine.platform, unit: unit.unit, options: options)
    translated = DMADevice(
      name: "translated", platform: machine.platform, mapping: domain.mapping)
    device = DMADevice(
      name: "client", platform: machine.platform,
      mapping: DirectMapping.make(for: machine.platform))
    pool = try DMAPool(name: "client", blockSize: 64, alignment: 64, for: device)
  }

  /// Runs a hot loop; nil when there is none of this name.
  func run(_ loop: String, count: Int) throws -> UInt64? {
    switch loop {
    case "direct":
      let buffer = try StreamingBuffer(byteCount: 1500, for: device)
      return mapUnmapLoop(buffer, device, count: count)
    case "pool": return poolAllocateFreeLoop(pool, count: count)
    case "iommu":
      let buffer = try StreamingBuffer(byteCount: 1500, for: translated)
      return mapUnmapLoop(buffer, translated, count: count)
    case "direct-called":
      // The same behind a call that is not inlined: what a driver's own function costs.
      var buffer = try StreamingBuffer(byteCount: 1500, for: device)
      for _ in 0..<count { buffer = directMapUnmap(buffer, device) }
      return UInt64(buffer.byteCount)
    case "live-64k": return try replaceLoop(FromDevice.self, isChecked: false, count: count)
    case "live-64k-checked":
      return try replaceLoop(FromDevice.self, isChecked: true, count: count)
    case "live-64k-read-checked":
      return try replaceLoop(ToDevice.self, isChecked: true, count: count)
    default: return nil
    }
  }

  /// Replaces mappings of a device that has 64 K of them.
  private func replaceLoop<Direction: TransferDirection>(
    _ direction: Direction.Type, isChecked: Bool, count: Int
  ) throws -> UInt64 {
    let live = try LiveMappings<Direction>(machine.platform, isChecked: isChecked, isRandom: true)
    let sum = live.replace(count: count)
    guard live.findingCount == 0 else { return .max }
    return sum
  }
}

/// Loops by name: without and with a checker, one after the other.
let loops = [
  "direct", "direct-called", "pool", "iommu", "live-64k", "live-64k-checked",
  "live-64k-read-checked",
]

func threadNanoseconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

func hundredths(_ value: Double) -> String {
  let hundredths = Int((value * 100).rounded())
  let digits = hundredths % 100
  return "\(hundredths / 100).\(digits < 10 ? "0" : "")\(digits)"
}

func measure(_ bench: Bench, _ loop: String) throws {
  let count = 5_000_000
  var samples: [Double] = []
  for _ in 0..<9 {
    let begun = threadNanoseconds()
    guard let sum = try bench.run(loop, count: count), sum != .max else {
      print("\(loop): a mapping failed")
      exit(1)
    }
    samples.append((threadNanoseconds() - begun) / Double(count))
  }
  samples.sort()
  print("\(loop): \(hundredths(samples[0])) ns a pair at best, median \(hundredths(samples[4]))")
}

/// What a checker adds to a map and an unmap while 64 K mappings are live: both ways alternately in
/// one process, so that other work on the machine falls on both.
func measureChecker<Direction: TransferDirection>(
  _ bench: Bench, _ direction: Direction.Type, _ name: String, isRandom: Bool
) throws {
  let count = 200_000
  let off = try LiveMappings<Direction>(
    bench.machine.platform, isChecked: false, isRandom: isRandom)
  let on = try LiveMappings<Direction>(bench.machine.platform, isChecked: true, isRandom: isRandom)
  var without: [Double] = []
  var with: [Double] = []
  for _ in 0..<15 {
    for live in [off, on] {
      let begun = threadNanoseconds()
      let sum = live.replace(count: count)
      let taken = (threadNanoseconds() - begun) / Double(count)
      guard sum != .max, live.findingCount == 0 else {
        print("\(name): a mapping failed, or the checker found something")
        exit(1)
      }
      if live === off { without.append(taken) } else { with.append(taken) }
    }
  }
  without.sort()
  with.sort()
  let best = with[0] - without[0]
  let median = with[7] - without[7]
  print(
    "checker, 64 K live, \(name): adds \(hundredths(best)) ns a pair at best, median"
      + " \(hundredths(median)) (with \(hundredths(with[7])), without \(hundredths(without[7])))")
}

let arguments = CommandLine.arguments
switch arguments.dropFirst().first {
case "loops":
  for loop in loops { print(loop) }
case "count" where arguments.count == 4:
  guard let count = Int(arguments[3]), let sum = try Bench().run(arguments[2], count: count),
    sum != .max
  else {
    print("usage: Client count LOOP N")
    exit(2)
  }
  print(sum)
case "checker":
  let bench = try Bench()
  for isRandom in [false, true] {
    let order = isRandom ? "random" : "ring"
    try measureChecker(bench, FromDevice.self, "device writes, \(order)", isRandom: isRandom)
    try measureChecker(bench, ToDevice.self, "device reads, \(order)", isRandom: isRandom)
  }
default:
  let bench = try Bench()
  for loop in loops where !loop.hasPrefix("live") { try measure(bench, loop) }
}
