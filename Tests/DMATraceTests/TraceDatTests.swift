import Testing

@testable import DMATrace

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct TraceDatTests {
  @Test(arguments: ["v6", "v7"])
  func `a binary trace holds what its text report holds`(_ version: String) throws {
    let root = try #require(SharedTraces.root) + "/formats"
    let binary = try TraceCheck.totals("\(root)/tracecmd-e1000.\(version).dat.xz")
    let text = try TraceCheck.totals("\(root)/tracecmd-report-e1000.txt.xz")
    #expect(binary == text)
  }

  @Test(arguments: ["v6", "v7"])
  func `a binary trace that is cut short is refused or read without a crash`(_ version: String)
    throws
  {
    let root = try #require(SharedTraces.root) + "/formats"
    let bytes = try SharedTraces.unpacked("\(root)/tracecmd-e1000.\(version).dat.xz")
    for length in [9, 10, 11, 17, 40, 300, 5000, bytes.count / 2] {
      #expect(throws: TraceInputError.self) {
        try TraceCheck.check(bytes: Array(bytes[..<length]))
      }
    }
  }
}
