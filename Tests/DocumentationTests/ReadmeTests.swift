import TestSupport
import Testing

/// What README.md quotes is what is there.
@Suite struct ReadmeTests {
  private func lines(_ file: String) throws -> [String] {
    let result = try #require(runProgram(["cat", "\(PackageRoot.path)/\(file)"]))
    try #require(result.status == 0)
    return result.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  @Test func `the output it quotes is what the demo prints`() throws {
    let readme = try lines("README.md")
    let start = try #require(readme.firstIndex { $0.hasPrefix("The first prints") })
    let quoted = readme[(start + 1)...].drop { $0.isEmpty }
      .prefix { $0.isEmpty || $0.hasPrefix("    ") }
      .filter { !$0.isEmpty }.map { String($0.dropFirst(4)) }
    #expect(quoted.count > 5)
    let demo = try #require(runProgram(["\(BuildFolder.path)/dmatool", "demo"]))
    #expect(demo.status == 0)
    let printed = Set(demo.output.split(separator: "\n").map(String.init))
    for line in quoted { #expect(printed.contains(line), "\(line)") }
  }

  @Test func `the driver it shows compiles`() throws {
    let readme = try lines("README.md")
    let start = try #require(readme.firstIndex(of: "```swift"))
    let program = readme[(start + 1)...].prefix { $0 != "```" }.joined(separator: "\n")
    #expect(program.contains("final class Receiver"))
    let file = try #require(
      runProgram(["mktemp", "--suffix=.swift"])?.output.split(separator: "\n").first)
    defer { _ = runProgram(["rm", "-f", String(file)]) }
    _ = runProgram(["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", program, String(file)])
    let result = try #require(
      runProgram([
        "swiftc", "-frontend", "-emit-sil", "-o", "/dev/null", "-swift-version", "6",
        "-module-name", "readme", "-I", "\(BuildFolder.path)/Modules",
        "-Xcc", "-fmodule-map-file=\(BuildFolder.path)/DMASupport.build/module.modulemap",
        "-I", "\(PackageRoot.path)/Sources/DMASupport/include", String(file),
      ]))
    #expect(result.status == 0, "\(result.output)")
  }
}
