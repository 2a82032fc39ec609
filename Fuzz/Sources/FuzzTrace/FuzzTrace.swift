import DMATrace
import Glibc

/// Gives changed traces to the readers: they may refuse, but not crash, and not hang.
///
///     FuzzTrace READER RUNS [SEED-FILE...]
///
/// The seed of the random numbers is printed, and SWIFT_DMA_SEED repeats a run. Each run has ten
/// seconds; a crash or an alarm ends the process, and what was printed last says where.
@main
struct FuzzTrace {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3, let runs = Int(arguments[2]),
      let reader = Reader(rawValue: arguments[1])
    else {
      fail("usage: FuzzTrace \(Reader.allCases.map(\.rawValue).joined(separator: "|")) RUNS")
    }
    var corpus = arguments.dropFirst(3).map(read)
    if corpus.isEmpty { corpus = reader.corpus }
    let given = getenv("SWIFT_DMA_SEED").flatMap { UInt64(String(cString: $0)) }
    let seed = given ?? UInt64(time(nil))
    say("\(reader.rawValue): SWIFT_DMA_SEED=\(seed)")
    var random = Generator(state: seed)
    var refused = 0
    var longest = 0.0
    let begun = seconds()
    for run in 0..<runs {
      // SIGALRM ends a run that hangs.
      if run & 63 == 0 { alarm(10) }
      let bytes = changed(corpus[Int(random.next() % UInt64(corpus.count))], &random)
      let start = seconds()
      if !reader.run(bytes, isFull: run & 63 == 0) { refused += 1 }
      longest = max(longest, seconds() - start)
      if run % 200_000 == 199_999 { say("  \(run + 1) runs") }
    }
    let rate = Int(Double(runs) / max(seconds() - begun, 0.001))
    say(
      "count: \(reader.rawValue): \(runs) runs, \(refused) refused, no crash; "
        + "\(rate) runs/s, the longest \(Int(longest * 1000)) ms")
  }

  static func seconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
  }

  /// A few changes: bytes, bits, stretches taken out, doubled or moved, numbers made extreme.
  static func changed(_ original: [UInt8], _ random: inout Generator) -> [UInt8] {
    var bytes = original
    for _ in 0...random.next() % 8 {
      guard bytes.count > 1 else { return bytes }
      let at = Int(random.next() % UInt64(bytes.count))
      let length = min(Int(random.next() % 24) + 1, bytes.count - at)
      switch random.next() % 7 {
      case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 1: bytes[at] ^= 1 << UInt8(random.next() % 8)
      case 2: bytes.removeSubrange(at..<(at + length))
      case 3: bytes.insert(contentsOf: Array(bytes[at..<(at + length)]), at: at)
      case 4: for index in at..<(at + length) { bytes[index] = random.next() & 1 == 0 ? 0xff : 0 }
      case 5: bytes.removeSubrange(at...)
      default:
        let from = Int(random.next() % UInt64(bytes.count))
        bytes.swapAt(at, from)
      }
    }
    return bytes
  }

  static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { fail("cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      bytes += buffer[..<count]
    }
    return bytes
  }

  /// Writes a line at once, so that it is there when a crash follows.
  static func say(_ text: String) {
    let line = text + "\n"
    _ = line.withCString { write(1, $0, strlen($0)) }
  }

  static func fail(_ text: String) -> Never {
    let line = text + "\n"
    _ = line.withCString { write(2, $0, strlen($0)) }
    exit(2)
  }
}

/// Random numbers from a seed (splitmix64).
struct Generator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
