import DMAChecker
import DMAPrograms
import Glibc
import TestSupport
import Testing

/// Legal programs, each made wrong in one place: the checker finds what the machine shows.
///
/// SWIFT_DMA_MUTANTS sets how many programs for each kind of change. The long run is
/// `swift run -c release checker-runs mutants`: 25 for each, which is more than 1,000.
@Suite struct MutantTests {
  static let rounds: Int = {
    // SAFETY: getenv's result is read before anything else could change the environment.
    unsafe getenv("SWIFT_DMA_MUTANTS").flatMap { unsafe Int(String(cString: $0)) } ?? 4
  }()

  @Test func `mutants are found, and by the rule that names them`() throws {
    var random = SeededGenerator()
    var tally = MutantTally()
    var lines: [String] = []
    try MutantRun.runAll(rounds: Self.rounds, seed: random.next()) { run in
      tally.add(run)
      if let line = MutantTally.line(run) { lines.append(line) }
    }
    print("count: \(tally.text)")
    for line in lines { print("  \(line)") }
    // Few programs allow no fine percentages: one that is missed is too many only among many.
    #expect(tally.missedCount <= 1 + tally.detectableCount / 100, "\(lines)")
    #expect(tally.wrongRuleCount <= 2 + tally.detectableCount / 20, "\(lines)")
    #expect(tally.equivalentCount <= 2 + tally.count / 20, "\(lines)")
    #expect(tally.count >= Self.rounds * Mutation.all.count * 9 / 10)
  }

  @Test func `there are changes for every family of rules, each with a rule and a reason`() {
    #expect(Mutation.all.count >= 20)
    #expect(Set(Mutation.all.map(\.name)).count == Mutation.all.count)
    let rules = Set(Mutation.all.flatMap(\.rules))
    let unreachable: Set<CheckRule> = [
      // Only a broken mapping or a broken unit makes these.
      .beyondMask, .deviceFault,
      // Needs eight mappings of one line.
      .tooManyOverlaps,
      // The API refuses such a list before it is mapped; see RuleTests.
      .segmentTooLong, .segmentAcrossBoundary,
    ]
    #expect(rules.union(unreachable) == Set(CheckRule.allCases))
  }
}
