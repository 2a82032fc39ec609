import TestSupport
import Testing

/// That every numbered test of this suite is shown to fail: on a broken mapping or a flawed pool.
///
/// The tests in this folder call the suite's tests over what is broken, and fail when nothing is
/// found (`expectCaught`). Here is made sure that none is left out.
@Suite struct CompletenessTests {
  /// Numbered tests that no mapping and no pool could make fail, and why.
  private static let exempt: [String: String] = [
    "R10 R12 R13 memory that may not be used is refused with its kind, and nothing is mapped":
      "the machine refuses, before any mapping is asked",
    "T6 bus address 0 is an address like any other": "arithmetic of the direct mapping alone",
    "T10 freeing in an interrupt is refused, a value that ends there is freed later":
      "the device refuses, before any mapping is asked",
    "T23 an empty list is refused and comes back":
      "the device refuses, before any mapping is asked",
  ]

  /// Requirements that are values or words: no mapping is involved.
  private static let values = ["R72", "R80"]

  private func output(_ command: String) throws -> [String] {
    let result = try #require(
      runProgram(["sh", "-c", "cd \"$1\" && " + command, "sh", PackageRoot.path]))
    try #require(result.status == 0, "\(result.output)")
    return result.output.split(separator: "\n").map(String.init)
  }

  /// Names in backticks that a pattern finds, below `Tests/MappingTests`.
  private func names(_ pattern: String, _ folder: String) throws -> Set<String> {
    let lines = try output("grep -rhoE --include=*.swift '\(pattern)' Tests/MappingTests\(folder)")
    return Set(
      lines.compactMap { line in
        line.split(separator: "`", omittingEmptySubsequences: false).dropFirst().first
          .map(String.init)
      })
  }

  private func numbers(_ name: String) -> [String] {
    name.split { !$0.isLetter && !$0.isNumber }.map(String.init).prefix { word in
      "RET".contains(word.prefix(1)) && word.dropFirst().first?.isNumber == true
    }
  }

  private func numberedTests() throws -> Set<String> {
    let proofs = try names("func `[RET][0-9][^`]*`", "/Broken")
    let all = try names("func `[RET][0-9][^`]*`", "")
    return all.subtracting(proofs)
  }

  @Test func `every numbered test fails on something that is broken on purpose`() throws {
    let tests = try numberedTests()
    #expect(tests.count > 60)
    let proven = try names("\\.`[RET][0-9][^`]*`", "/Broken")
    for test in tests.sorted() where Self.exempt[test] == nil {
      #expect(proven.contains(test), "nothing broken makes this test fail: \(test)")
    }
    for name in proven { #expect(tests.contains(name), "there is no such test: \(name)") }
    for name in Self.exempt.keys {
      #expect(tests.contains(name) && !proven.contains(name), "needs no exemption: \(name)")
    }
  }

  /// The count that the project promises: requirements whose own test, as the table cites it, is shown
  /// to fail on a mapping, a pool or a machine that is broken on purpose.
  @Test func `at least 60 requirements have a broken thing that makes their cited test fail`()
    throws
  {
    let proven = Set(try names("\\.`[RET][0-9][^`]*`", "/Broken"))
    let rows = try output("grep -E '^\\| [RET][0-9]+b? ' Documentation/requirements.md")
    var shown: [String] = []
    for row in rows {
      let cells = row.split(separator: "|")
      let cited = cells[3].split(separator: "`", omittingEmptySubsequences: false)
        .enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      if cited.contains(where: proven.contains) {
        shown.append(String(cells[0].filter { $0 != " " }))
      }
    }
    print("shown to fail on something broken: \(shown.count): \(shown.joined(separator: " "))")
    #expect(rows.count == 141)
    #expect(shown.filter { $0.hasPrefix("R") }.count >= 60)
  }

  @Test func `R30 to R41 and R55 to R101 each have a test, a program, or are words`() throws {
    let tested = Set(try numberedTests().flatMap(numbers))
    let rows = try output("grep -E '^\\| R[0-9]+ ' Documentation/requirements.md")
    for number in Array(30...41) + Array(55...101) {
      let name = "R\(number)"
      let row = try #require(rows.first { $0.hasPrefix("| \(name) |") })
      let isWords = row.contains("| documentation only |") || row.contains("| by construction |")
      #expect(
        tested.contains(name) || isWords || Self.values.contains(name),
        "\(name) has no test over the mappings")
    }
  }

  @Test func `every flaw and every defect is found by some test`() throws {
    let proofs = try output("cat Tests/MappingTests/Broken/Broken*.swift").joined(separator: "\n")
    for flaw in PoolFlaw.allCases {
      #expect(proofs.contains(".\(flaw)"), "nothing finds \(flaw)")
    }
    let defects = try output("grep -rhoE 'static let [a-zA-Z]+ = Defect' Tests/MappingTests/Broken")
    #expect(defects.count > 25)
    // Not wrong at all: what a test of pools needs to look inside of an allocation.
    for line in defects where !line.contains("freesMeanwhile") {
      let name = line.split(separator: " ")[2]
      #expect(proofs.contains(".\(name)"), "nothing finds \(name)")
    }
  }
}
