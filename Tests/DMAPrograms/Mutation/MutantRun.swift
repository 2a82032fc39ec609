import DMA
public import DMAChecker
import Synchronization

/// What became of one mutant.
public struct MutantRun: Sendable {
  public enum Verdict: Sendable, Equatable {
    /// No harm, and no rule broken: not a bug.
    case equivalent
    /// A bug that the checker found, by the rule that names it or by another.
    case found(isRightRule: Bool)
    case missed
  }

  public var mutation: String
  public var setup: ProgramSetup
  public var seed: UInt64
  public var verdict: Verdict
  /// Why it counts as a bug.
  public var harm: [String]
  public var findings: [CheckRule]
  public var reason: String

  /// Runs programs of these seeds, each changed in every way.
  ///
  /// - Parameters:
  ///   - rounds: how many programs for each kind of change.
  ///   - body: gets every run as it ends.
  public static func runAll(
    rounds: Int, seed: UInt64, _ body: (MutantRun) -> Void
  ) throws {
    for (number, mutation) in Mutation.all.enumerated() {
      for round in 0..<rounds {
        let runSeed = seed &+ UInt64(number) &* 1_000_003 &+ UInt64(round)
        let fitting = ProgramSetup.all.filter { mutation.accepts($0) }
        let setup = fitting[(round &* 7 &+ number) % fitting.count]
        if let run = try MutantRun(mutation, setup, seed: runSeed) { body(run) }
      }
    }
  }

  /// Nil when the program of this seed has no place for the change.
  init?(_ mutation: Mutation, _ setup: ProgramSetup, seed: UInt64) throws {
    var generator = ProgramRandom(seed: seed)
    let original = LegalGenerator.program(count: 120, using: &generator)
    var mutant = original
    var any: any RandomNumberGenerator = generator
    guard mutation.change(&mutant, &any) else { return nil }
    // First without a checker: what the machine shows.
    let before = try Self.truth(original, setup)
    let after = try Self.truth(mutant, setup)
    var harm = after.harm(against: before)
    if mutation.isContract { harm.append("a rule of the document") }
    let findings = try Self.findings(mutant, setup, isGuarded: mutation.isGuarded)
    self.mutation = mutation.name
    self.setup = setup
    self.seed = seed
    self.harm = harm
    self.findings = findings
    reason = mutation.equivalence
    if harm.isEmpty {
      verdict = .equivalent
    } else if findings.isEmpty {
      verdict = .missed
    } else {
      verdict = .found(isRightRule: findings.contains { mutation.rules.contains($0) })
    }
  }

  private static func truth(_ program: [Op], _ setup: ProgramSetup) throws -> GroundTruth {
    let world = try World(setup, isTruthWanted: true)
    for op in program { world.perform(op) }
    world.finish()
    return world.truth
  }

  private static func findings(
    _ program: [Op], _ setup: ProgramSetup, isGuarded: Bool
  ) throws -> [CheckRule] {
    let found = Mutex<[CheckRule]>([])
    var options = DMAChecker.Options()
    options.hashesContent = true
    let checker = DMAChecker(options) { finding in found.withLock { $0.append(finding.rule) } }
    let world = try World(setup, isTruthWanted: false, guardian: isGuarded ? checker : nil)
    world.keepsEnded = true
    world.watch(with: checker)
    for op in program { world.perform(op) }
    world.finish()
    return found.withLock { $0 }
  }
}

/// SplitMix64: the same seed gives the same program everywhere.
public struct ProgramRandom: RandomNumberGenerator {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
