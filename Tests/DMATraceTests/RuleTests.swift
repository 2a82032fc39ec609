import DMAChecker
import Testing

@testable import DMATrace

struct RuleTests {
  /// Rules that only a trace's checker has.
  static let own: Set<Rule> = [.neverSynced]

  @Test(arguments: Rule.allCases)
  func `a rule has the name and the kernel's words it has in the live checker`(_ rule: Rule) {
    let live = CheckRule.allCases.first { "\($0.name)" == rule.rawValue }
    guard let live else {
      #expect(Self.own.contains(rule), "\(rule.rawValue) is unknown to the live checker")
      return
    }
    // Of a sync that begins inside and ends outside, the kernel says either, as its list stands.
    if rule == .syncOutside { return }
    #expect(live.kernelWording.map { "\($0)" } == rule.kernelWording, "\(rule.rawValue)")
  }
}
