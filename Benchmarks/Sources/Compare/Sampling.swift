#if canImport(Glibc)
  import Glibc
#endif

/// Where the programs are.
struct Programs {
  let workloads: String
  let peers: String

  private func path(_ measured: Measured) -> String {
    guard let program = measured.program else { return workloads }
    if !measured.isBuiltHere { return peers + "/bin/" + program }
    return workloads.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/") + "/" + program
  }

  func command(_ measured: Measured, operations: Int? = nil) -> String {
    let program = path(measured)
    let environment = measured.preloaded.map { "LD_PRELOAD=\($0) " } ?? ""
    return "\(environment)'\(program)' \(measured.workload) \(operations ?? measured.operations)"
  }

  func exists(_ measured: Measured) -> Bool {
    access(path(measured), X_OK) == 0
  }
}

/// Runs a command and returns what it printed, or nil when it failed.
func output(_ command: String) -> String? {
  guard let stream = popen(command, "r") else { return nil }
  var bytes: [UInt8] = []
  while case let byte = getc(stream), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
  guard pclose(stream) == 0 else { return nil }
  return String(decoding: bytes, as: UTF8.self)
}

/// Nanoseconds of one sample.
func sample(_ measured: Measured, _ programs: Programs) -> Double? {
  guard let text = output(programs.command(measured) + " 2>/dev/null") else { return nil }
  return Double(text.prefix { $0 != "\n" })
}

/// Samples of both, taken in turn.
struct Samples {
  var ours: [Double] = []
  var peer: [Double] = []

  static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
  static func best(_ values: [Double]) -> Double { values.min() ?? .nan }

  var ratioOfMedians: Double { Self.median(ours) / Self.median(peer) }
  var ratioOfBests: Double { Self.best(ours) / Self.best(peer) }
}

/// Why a row has no figures.
enum Unmeasured: Error {
  case peerMissing
  /// The program failed: a busy machine (two threads never ran at once), or something broken.
  case failed(String)
}

func samples(_ row: Row, _ programs: Programs, count: Int) throws(Unmeasured) -> Samples {
  guard programs.exists(row.peer), programs.exists(row.ours) else { throw .peerMissing }
  var samples = Samples()
  for _ in 0..<count {
    guard let ours = sample(row.ours, programs) else {
      throw .failed(programs.command(row.ours))
    }
    guard let peer = sample(row.peer, programs) else {
      throw .failed(programs.command(row.peer))
    }
    samples.ours.append(ours)
    samples.peer.append(peer)
  }
  return samples
}

/// Instructions of one operation: callgrind at two counts, the difference.
func instructions(_ measured: Measured, _ programs: Programs) -> Double? {
  // A multiple of every unit (Peers/peer.h).
  let few = 65536
  let many = 3 * 65536
  func total(_ operations: Int) -> Double? {
    let command =
      "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
      + programs.command(measured, operations: operations) + " 2>&1 >/dev/null"
    guard let text = output(command), let found = text.firstRange(of: "Collected : ") else {
      return nil
    }
    return Double(text[found.upperBound...].prefix { $0.isNumber })
  }
  guard let less = total(few), let more = total(many) else { return nil }
  return (more - less) / Double(many - few)
}
