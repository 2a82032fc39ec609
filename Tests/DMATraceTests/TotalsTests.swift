import Testing

@testable import DMATrace

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct TotalsTests {
  static var counted: [String] { SharedTraces.files(in: "", ending: ".counts.txt") }

  @Test(arguments: counted)
  func `totals equal the independent counts beside the trace`(_ counts: String) throws {
    let trace = counts.dropLast(".counts.txt".count) + ".txt.xz"
    let context = TraceContext()
    let totals = TraceTotals(context: context)
    try TraceReader(context: context).read(String(trace), into: totals)
    let expected = try SharedTraces.text(counts).split(separator: "\n")
    let found = totals.text().split(separator: "\n")
    for line in expected { #expect(found.contains(line), "\(counts)") }
    #expect(found.count == expected.count)
  }
}
