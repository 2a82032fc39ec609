import DMAPrograms
import SimulatedMachine
import TestSupport
import Testing

/// Whatever fails, nothing stays behind, and whoever called is told by a typed error.
///
/// Some of the places are tried here, spread over each scenario; all of them by
/// `swift run -c release checker-runs fail-nth`.
@Suite struct FailNthTests {
  @Test func `there are scenarios enough`() {
    #expect(FaultScenario.all.count >= 40)
    #expect(Set(FaultScenario.all.map(\.name)).count >= 10)
  }

  @Test(arguments: FaultScenario.all)
  func `a call that fails is an error, and leaves nothing`(scenario: FaultScenario) throws {
    let result = try FailNth(scenario, points: .calls, runMax: 5)
    #expect(result.complaints.isEmpty, "\(result.complaints.prefix(3))")
    #expect(result.pointCount > 0 && result.runCount > 0)
  }

  @Test(arguments: FaultScenario.all.filter { $0.isCoherent })
  func `a bus error of a device leaves nothing`(scenario: FaultScenario) throws {
    let result = try FailNth(scenario, points: .init(.deviceAccess), runMax: 3)
    #expect(result.complaints.isEmpty, "\(result.complaints.prefix(3))")
  }

  @Test(arguments: FaultScenario.all.filter { $0.isCoherent })
  func `failures by a seed leave nothing`(scenario: FaultScenario) throws {
    var random = SeededGenerator()
    for _ in 0..<2 {
      let (_, left) = try FailNth.runSeeded(scenario, seed: random.next(), oneIn: 9)
      #expect(left == Leftovers(), "seed \(random.seed): \(left)")
    }
  }

  @Test func `a plan counts, fails the one it names, and is the same each time`() {
    let nth = FaultPlan.nth(3, of: .init(.pages, .map))
    let answers = [
      nth.fails(.pages), nth.fails(.coherent), nth.fails(.map), nth.fails(.pages), nth.fails(.map),
    ]
    #expect(answers == [false, false, false, true, false])
    #expect(nth.count == 4 && nth.failureCount == 1)
    let one = FaultPlan.seeded(5, oneIn: 4)
    let two = FaultPlan.seeded(5, oneIn: 4)
    let first = (0..<200).map { _ in one.fails(.map) }
    #expect(first == (0..<200).map { _ in two.fails(.map) })
    #expect((20...90).contains(first.count { $0 }))
    one.isActive = false
    #expect(!(0..<50).contains { _ in one.fails(.map) } && one.count == 200)
  }
}
