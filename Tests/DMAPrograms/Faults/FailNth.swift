import DMA
import Drivers
import PCI
public import SimulatedMachine

/// Lets each call of a scenario fail in turn, and sees what is left.
public struct FailNth: Sendable {
  public let scenario: FaultScenario
  /// How often something could fail when nothing did.
  public private(set) var pointCount = 0
  public private(set) var runCount = 0
  /// What was not as it should be.
  public private(set) var complaints: [String] = []

  /// - Parameters:
  ///   - points: what may fail. A failed call must become a typed error; what a device does wrong
  ///     need not, as devices do not always say so.
  ///   - runMax: at most this many of the points, spread over all of them.
  public init(_ scenario: FaultScenario, points: FaultPlan.Points, runMax: Int = .max) throws {
    self.scenario = scenario
    let counting = FaultPlan.counting(points)
    let (error, left) = try Self.run(scenario, counting)
    pointCount = counting.count
    if let error { complaints.append("fails although nothing does: \(error)") }
    if left != Leftovers() { complaints.append("leaves \(left) although nothing fails") }
    // Rounded up, without adding to what may be the largest number there is.
    let step = max(1, pointCount / max(1, runMax) + (pointCount % max(1, runMax) == 0 ? 0 : 1))
    for nth in stride(from: 1, through: pointCount, by: step) {
      let plan = FaultPlan.nth(nth, of: points)
      let (error, left) = try Self.run(scenario, plan)
      runCount += 1
      if plan.failureCount != 1 { complaints.append("\(nth): nothing failed") }
      if let error {
        if !Self.isTyped(error) { complaints.append("\(nth): an error of no type: \(error)") }
      } else if points.isSubset(of: .calls) {
        complaints.append("\(nth): no error")
      }
      if left != Leftovers() {
        complaints.append("\(nth): leaves \(left) after \(error.map { "\($0)" } ?? "no error")")
      }
    }
  }

  /// Runs a scenario with failures drawn by a seed; returns what it left.
  public static func runSeeded(
    _ scenario: FaultScenario, seed: UInt64, oneIn: UInt64
  ) throws -> (error: (any Error)?, left: Leftovers) {
    try run(scenario, FaultPlan.seeded(seed, oneIn: oneIn))
  }

  private static func run(
    _ scenario: FaultScenario, _ plan: FaultPlan
  ) throws -> (error: (any Error)?, left: Leftovers) {
    let bench = try FaultBench(
      scenario.kind, isCoherent: scenario.isCoherent, scenario.makeModel(), plan)
    plan.isActive = true
    var caught: (any Error)?
    do { try scenario.run(bench) } catch { caught = error }
    return (caught, bench.leftovers())
  }

  private static func isTyped(_ error: any Error) -> Bool {
    error is DMAError || error is PCIError || error is EduError || error is NVMeError
      || error is NetworkCardError || error is FrameLost
  }
}
