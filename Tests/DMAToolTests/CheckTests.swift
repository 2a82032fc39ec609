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

  @Test func `demo --check finds the mapping that the demo forgets, and nothing else`() throws {
    let result = try dmatool("demo", "--check")
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.contains("mapping-dropped"))
    // The teaching device, and a disk through each of four mappings.
    #expect(result.output.ranges(of: "check: ").count == 5)
    #expect(result.output.ranges(of: "check: no rule broken").count == 4)
  }

  /// Verbs that run a driver, with what they need besides an image or a file of random bytes.
  static let verbs: [[String]] = [
    ["edu", "copy", "FILE"], ["edu", "copy", "FILE", "--interrupt", "--mapping", "bounce"],
    ["nvme", "identify", "--image", "DISK"], ["nvme", "read", "--image", "DISK", "--size", "64K"],
    ["nvme", "write", "FILE", "--image", "DISK"],
    ["nvme", "copy", "FILE", "--image", "DISK", "--mapping", "iommu", "--mask", "32"],
    ["nvme", "bench", "--disk", "16M", "--count", "300"],
    ["net", "demo", "--count", "30"], ["net", "demo", "--count", "30", "--mapping", "bounce"],
  ]

  @Test(arguments: verbs)
  func `every verb that runs a driver can be checked, and its driver is right`(
    verb: [String]
  ) throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 40_000, isRandom: true)
    let disk = try scratch.file("disk", byteCount: 1 << 20)
    var arguments = verb.map { $0 == "FILE" ? file : $0 == "DISK" ? disk : $0 }
    if verb.starts(with: ["nvme", "read"]) { arguments.insert("\(scratch.path)/out", at: 2) }
    let result = try #require(
      runProgram(["\(BuildFolder.path)/dmatool"] + arguments + ["--check"]))
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.contains("check: no rule broken"), "\(result.output)")
    #expect(!result.output.contains("incomplete"), "\(result.output)")
  }
}
