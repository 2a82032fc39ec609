import DMA
import DMAChecker
import TestSupport
import Testing

/// Each rule: programs that break it, with the line that does, and programs that just do not.
@Suite struct RuleTests {
  static let breakers = releaseBreakers + mapBreakers + syncBreakers + deviceBreakers + poolBreakers
  static let misses = releaseMisses + mapMisses + syncMisses + deviceMisses + poolMisses

  @Test(arguments: breakers.indices)
  func `a broken rule is found, at its line`(index: Int) throws {
    let program = Self.breakers[index]
    let trial = try Trial(program.options)
    try program.run(trial)
    let findings = trial.findings
    #expect(findings.map(\.rule) == [program.rule], "\(program): \(findings.map { $0.text() })")
    let first = try #require(findings.first, "\(program)")
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
    #expect(findings.isEmpty, "\(program): \(findings.map { $0.text() })")
    #expect(trial.checker.statistics.violationCount == 0)
  }

  /// Rules whose programs are in tests of their own: below, and in GuardPagesTests.
  static let elsewhere: [CheckRule] = [.tooManyOverlaps, .beyondMask, .cpuTouchedMapped]

  @Test(arguments: CheckRule.allCases)
  func `every rule has two programs of each kind`(rule: CheckRule) {
    guard !Self.elsewhere.contains(rule) else { return }
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

  @Test(arguments: [2, 7])
  func `a line in at most seven mappings is told as shared only`(count: Int) throws {
    let trial = try Trial()
    try Self.overlap(trial, count)
    #expect(trial.findings.map(\.rule) == [.overlappingCacheLine])
  }

  @Test(arguments: [DMAEvent.Kind.map, .allocate])
  func `an address beyond the mask is found whatever mapping gave it`(kind: DMAEvent.Kind) throws {
    // No mapping of ours gives such an address: what a broken one would tell is told here.
    for (last, isBeyond) in [(0xffff_ffff as UInt64, false), (0x1_0000_0000, true)] {
      for byteCount in [1, 64] as [UInt64] {
        let trial = try Trial()
        let site = trial.bad()
        var event = DMAEvent(kind, family: kind == .map ? .single : .coherent, device: trial.a.id)
        event.dmaAddress = last - (byteCount - 1)
        event.byteCount = byteCount
        event.known = [.dmaAddress, .byteCount]
        event.direction = kind == .map ? .toDevice : nil
        event.origin = .callSite(site)
        trial.a.tell(event)
        #expect(trial.findings.map(\.rule) == (isBeyond ? [.beyondMask] : []))
        if isBeyond { #expect(trial.findings.first?.site?.line == trial.badLine) }
      }
    }
  }
}
