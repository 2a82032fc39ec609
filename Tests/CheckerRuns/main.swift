import DMAChecker
import DMAPrograms
import Glibc
import SimulatedMachine

// checker-runs legal [STEPS [SEED]]     legal steps, shared out among all mappings and masks;
//                                       10,000,000 when not said
// checker-runs mutants [ROUNDS [SEED]]  each kind of change in as many programs; 25 when not said
// checker-runs fail-nth [RUNS]          each call of each scenario fails in turn, at most RUNS of
//                                       them; all when not said
//
// Ends with 1 when the checker's claims do not hold.

let arguments = CommandLine.arguments
let number = arguments.count > 2 ? Int(arguments[2]) : nil
let seed =
  arguments.count > 3 ? UInt64(arguments[3]) ?? 1 : UInt64.random(in: 0 ... .max)

func runLegal(_ count: Int) throws -> Bool {
  print("seed \(seed)")
  var random = ProgramRandom(seed: seed)
  var isClean = true
  var stepCount = 0
  for setup in ProgramSetup.all {
    let run = try LegalRun(setup, count: count / ProgramSetup.all.count, using: &random)
    stepCount += run.stepCount
    print(
      "\(setup): \(run.stepCount) steps, \(run.statistics.eventCount) events,"
        + " \(run.shortCount) short, \(run.statistics.violationCount) violations")
    if !run.isClean {
      isClean = false
      for text in run.findings.prefix(3) { print(text) }
      for text in run.refusals.prefix(3) { print("refused: \(text)") }
    }
  }
  print("\(stepCount) legal steps in all: \(isClean ? "no finding" : "FINDINGS")")
  return isClean
}

func runMutants(_ rounds: Int) throws -> Bool {
  print("seed \(seed)")
  var tally = MutantTally()
  try MutantRun.runAll(rounds: rounds, seed: seed) { run in
    tally.add(run)
    if let line = MutantTally.line(run) { print(line) }
  }
  print(tally.text)
  return tally.isGood
}

func runFailNth(_ runMax: Int) throws -> Bool {
  var runCount = 0
  var complaintCount = 0
  for points in [FaultPlan.Points.calls, FaultPlan.Points(.deviceAccess)] {
    for scenario in FaultScenario.all {
      let result = try FailNth(scenario, points: points, runMax: runMax)
      runCount += result.runCount
      complaintCount += result.complaints.count
      for text in result.complaints.prefix(5) { print("\(scenario): \(text)") }
    }
  }
  print("\(FaultScenario.all.count) scenarios, \(runCount) runs: \(complaintCount) complaints")
  return complaintCount == 0
}

switch arguments.dropFirst().first {
case "legal": exit(try runLegal(number ?? 10_000_000) ? 0 : 1)
case "mutants": exit(try runMutants(number ?? 25) ? 0 : 1)
case "fail-nth": exit(try runFailNth(number ?? .max) ? 0 : 1)
default:
  print("usage: checker-runs legal [STEPS [SEED]] | mutants [ROUNDS [SEED]] | fail-nth [RUNS]")
  exit(2)
}
