import DMA
import DMAChecker
import TestSupport
import Testing

/// Each rule: programs that break it, with the line that does, and programs that just do not.
@Suite struct RuleTests {
  static let breakers =
    releaseBreakers + mapBreakers + limitBreakers + syncBreakers + deviceBreakers + poolBreakers
  static let misses =
    releaseMisses + mapMisses + limitMisses + syncMisses + deviceMisses + poolMisses

  @Test(arguments: breakers.indices)
  func `a broken rule is found, at its line`(index: Int) throws {
    let program = Self.breakers[index]
    let trial = try Trial(program.options)
    try program.run(trial)
    let findings = trial.findings
    #expect(
      findings.map(\.rule) == program.before + [program.rule],
      "\(program): \(findings.map { $0.text() })")
    let first = try #require(findings.last, "\(program)")
    // Where a device without any mapping breaks a rule, there is no line to name.
    #expect((first.site?.line ?? 0) == trial.badLine, "\(program): \(first.text())")
    if let site = first.site {
      #expect(site.description.hasPrefix("DMACheckerTests/"), "\(program): \(site)")
    }
    #expect(trial.checker.violationCount(of: program.rule) >= 1)
  }

  @Test(arguments: misses.indices)
  func `what just keeps a rule is not found`(index: Int) throws {
    let program = Self.misses[index]
    let trial = try Trial(program.options)
    try program.run(trial)
    let findings = trial.findings
    #expect(
      findings.map(\.rule) == program.before, "\(program): \(findings.map { $0.text() })")
    #expect(trial.checker.violationCount(of: program.rule) == 0)
    #expect(trial.checker.statistics.violationCount == 0 || !program.before.isEmpty)
  }

  @Test(arguments: CheckRule.allCases)
  func `every rule has two programs of each kind`(rule: CheckRule) {
    // What guard pages find needs a machine with such pages.
    if rule == .cpuTouchedMapped {
      #expect(GuardPagesTests.breakers.count >= 2 && GuardPagesTests.misses.count >= 2)
      return
    }
    #expect(Self.breakers.filter { $0.rule == rule }.count >= 2, "\(rule)")
    #expect(Self.misses.filter { $0.rule == rule }.count >= 2, "\(rule)")
  }

  @Test(arguments: [8, 9, 16])
  func `a line in more than seven mappings is told once more`(count: Int) throws {
    let trial = try Trial()
    try Self.overlap(trial, count)
    #expect(trial.findings.map(\.rule) == [.overlappingCacheLine, .tooManyOverlaps])
    #expect(trial.findings.last?.site?.line == trial.badLine)
    #expect(trial.checker.statistics.violationCount == UInt64(count - 1))
  }
}
