/// Counts what became of mutants.
public struct MutantTally: Sendable {
  public private(set) var count = 0
  public private(set) var equivalentCount = 0
  public private(set) var foundCount = 0
  public private(set) var rightRuleCount = 0
  public private(set) var mutations: Set<String> = []

  public init() {}

  public mutating func add(_ run: MutantRun) {
    count += 1
    mutations.insert(run.mutation)
    switch run.verdict {
    case .equivalent: equivalentCount += 1
    case .missed: break
    case .found(let isRightRule):
      foundCount += 1
      if isRightRule { rightRuleCount += 1 }
    }
  }

  public var missedCount: Int { detectableCount - foundCount }
  public var wrongRuleCount: Int { detectableCount - rightRuleCount }
  public var detectableCount: Int { count - equivalentCount }

  /// At most one mutant in 20 is no bug, at least 99 of 100 bugs are found, and 95 of 100 by the
  /// rule that names them.
  public var isGood: Bool {
    equivalentCount * 20 <= count && foundCount * 100 >= detectableCount * 99
      && rightRuleCount * 100 >= detectableCount * 95
  }

  public var text: String {
    "\(count) mutants of \(mutations.count) kinds: \(equivalentCount) equivalent,"
      + " \(foundCount) of \(detectableCount) found, \(rightRuleCount) by the right rule"
  }

  /// A line for a run that is not as it should be; nil for one that was found by its rule.
  public static func line(_ run: MutantRun) -> String? {
    let place = "\(run.mutation) (\(run.setup), seed \(run.seed))"
    switch run.verdict {
    case .found(true): return nil
    case .found(false): return "other rule: \(place): \(run.findings); \(run.harm)"
    case .missed: return "missed: \(place): \(run.harm)"
    case .equivalent:
      return "equivalent: \(place): \(run.reason.isEmpty ? "NO REASON" : run.reason)"
    }
  }
}
