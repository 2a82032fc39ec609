import DMA
import Testing

@testable import DMATrace

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct CleanTraceTests {
  static var drivers: [String] { SharedTraces.files(in: "", ending: ".txt.xz") }
  static var formats: [String] {
    SharedTraces.files(in: "/formats", ending: ".txt.xz").filter { !$0.hasSuffix("raw.txt.xz") }
  }

  @Test(arguments: drivers + formats)
  func `correct drivers give no finding in any form of trace`(_ path: String) throws {
    let (report, context) = try TraceCheck.check(path)
    let text = report.findings.map { "\($0.rule.rawValue) line \($0.line)" }
    #expect(report.findings.isEmpty, "\(text)")
    #expect(report.trace.events > 20)
    #expect(report.trace.badLines == 0, "\(report.trace.firstBadLines)")
    #expect(context.devices.count >= 1)
  }

  /// A trace of a whole life, with nothing released that it does not show.
  @Test(
    arguments: drivers.filter {
      !$0.contains("midlife") && !$0.contains("overrun")
        && !$0.contains("boot-")
    })
  func `complete lives give no finding when they are called complete`(_ path: String) throws {
    var options = CheckOptions()
    options.isComplete = true
    let facts = path.dropLast(".txt.xz".count) + ".facts.txt"
    options.limits.add(try SharedTraces.text(String(facts)))
    let (report, _) = try TraceCheck.check(path, options: options)
    let text = report.findings.map { "\($0.rule.rawValue) line \($0.line)" }
    #expect(report.findings.isEmpty, "\(text)")
    #expect(report.unknown.total == 0, "\(report.unknown)")
    #expect(report.devices.allSatisfy { $0.state.liveCount == 0 })
  }
}
