import CTiming

#if canImport(Glibc)
  import Glibc
#endif

// Compare WORKLOADS PEERS [--samples N] [--row N]... [--no-instructions] [--json] [--no-missing]
//
// Runs each row's workload in turn with its peer and prints medians. Made to be called by
// `Benchmarks/run`. Exit status: 0, or 1 when a row could not be measured and --no-missing says
// that none may be.

var arguments = CommandLine.arguments.dropFirst()
@MainActor func value(_ name: String) -> Int {
  guard let text = arguments.popFirst(), let number = Int(text), number > 0 else {
    print("\(name) needs a number above 0")
    exit(2)
  }
  return number
}

var places: [String] = []
var sampleCount = 9
var chosen: Set<Int> = []
var countsInstructions = true
var printsJSON = false
var forbidsMissing = false
while let argument = arguments.popFirst() {
  switch argument {
  case "--samples": sampleCount = value(argument)
  case "--row": chosen.insert(value(argument))
  case "--no-instructions": countsInstructions = false
  case "--json": printsJSON = true
  case "--no-missing": forbidsMissing = true
  default: places.append(argument)
  }
}
guard places.count == 2 else {
  print(
    "usage: Compare WORKLOADS PEERS [--samples N] [--row N]... [--no-instructions] [--json]"
      + " [--no-missing]")
  exit(2)
}

let programs = Programs(workloads: places[0], peers: places[1])
var results: [Result] = []
timing_print_lines_at_once()
if !printsJSON { print(header) }
for row in rows where chosen.isEmpty || chosen.contains(row.number) {
  var result = Result(row: row)
  if case .instructions = row.goal {
    guard countsInstructions else { continue }
    result.instructions = instructions(row.ours, programs)
    if programs.exists(row.peer) { result.peerInstructions = instructions(row.peer, programs) }
    if result.instructions == nil { result.reason = "not counted (is valgrind installed?)" }
  } else {
    do throws(Unmeasured) {
      result.samples = try samples(row, programs, count: sampleCount)
    } catch {
      switch error {
      case .peerMissing: result.reason = "peer missing (Benchmarks/fetch-peers)"
      case .failed(let command): result.reason = "failed: \(command)"
      }
    }
  }
  results.append(result)
  if !printsJSON { print(line(result)) }
}
if printsJSON {
  print(json(results))
} else {
  let judged = results.compactMap(\.meetsGoal)
  print("\(judged.count { $0 }) of \(judged.count) rows with a goal meet it")
}
if forbidsMissing, results.contains(where: { $0.reason != nil }) { exit(1) }
