import DMA
import DMAMapping
import SimulatedMachine

#if canImport(Glibc)
  import Glibc
#endif

// Client loops             the names of the hot loops
// Client count LOOP N      runs one of them N times: for instruction counts
// Client time              prints nanoseconds a pair for each, the best and the median of 9 runs

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
      return directMapUnmapLoop(buffer, device, count: count)
    case "pool": return poolAllocateFreeLoop(pool, count: count)
    case "iommu":
      let buffer = try StreamingBuffer(byteCount: 1500, for: translated)
      return iommuMapUnmapLoop(buffer, translated, count: count)
    case "direct-called":
      // The same behind a call that is not inlined: what a driver's own function costs.
      var buffer = try StreamingBuffer(byteCount: 1500, for: device)
      for _ in 0..<count { buffer = directMapUnmap(buffer, device) }
      return UInt64(buffer.byteCount)
    default: return nil
    }
  }
}

let loops = ["direct", "direct-called", "pool", "iommu"]

func threadNanoseconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
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
  func text(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let digits = hundredths % 100
    return "\(hundredths / 100).\(digits < 10 ? "0" : "")\(digits)"
  }
  print("\(loop): \(text(samples[0])) ns a pair at best, median \(text(samples[4]))")
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
default:
  let bench = try Bench()
  for loop in loops { try measure(bench, loop) }
}
