import TestSupport
import Testing

@Suite struct CheckTests {
  private func dmatool(_ arguments: String...) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool"] + arguments))
  }

  @Test func `demo --bugs finds every bug, at its line`() throws {
    let result = try dmatool("demo", "--bugs")
    #expect(result.status == 0)
    #expect(result.output.contains("12 bugs, 12 found."))
    #expect(!result.output.contains("NOT FOUND"))
    for rule in ["double-release", "leak", "device-use-after-unmap", "pool-double-free"] {
      #expect(result.output.contains(": \(rule): "), "\(rule)")
    }
    #expect(result.output.contains("dmatool/BugDemo.swift:"))
  }

  @Test(arguments: ["text", "json", "sarif"])
  func `a correct driver has no findings under --check`(format: String) throws {
    let result = try dmatool(
      "edu", "copy", "\(PackageRoot.path)/LICENSE", "--check", "--check-format", format)
    #expect(result.status == 0)
    #expect(result.output.contains("identical"))
    if format == "text" { #expect(result.output.contains("check: no rule broken")) }
    if format == "sarif" { #expect(result.output.contains("\"results\":[]")) }
  }
}
