import TestSupport
import Testing

/// Documentation/requirements.md against the tests it names.
@Suite struct RequirementsTests {
  private struct Row {
    var number: String
    var kind: String
    var proof: String
  }

  private func output(_ arguments: [String]) throws -> String {
    let result = try #require(runProgram(arguments))
    try #require(result.status == 0, "\(result.output)")
    return result.output
  }

  private func document() throws -> String {
    try output(["cat", PackageRoot.path + "/Documentation/requirements.md"])
  }

  private func rows() throws -> [Row] {
    try document().split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map(trimmed)
      guard cells.count == 6, let letter = cells[1].first, "RET".contains(letter),
        cells[1].dropFirst().first?.isNumber == true
      else { return nil }
      return Row(number: cells[1], kind: cells[3], proof: cells[4])
    }
  }

  private func trimmed(_ text: Substring) -> String {
    var text = text
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }

  /// All names in backticks behind `func`, programs of the checker's tests, and tests of the C library.
  private func testNames() throws -> Set<String> {
    let found = try output([
      "sh", "-c",
      "cd \"$1\" && grep -rhoE --include=*.swift 'func `[^`]*`' . | sort -u; "
        + "grep -rhoE --include=*.swift 'Program\\(\\.[a-zA-Z]+, \"[^\"]*\"' DMACheckerTests"
        + "; grep -hoE 'TEST\\(\"[^\"]*\"' ../CLibrary/tests/*.c",
      "sh", PackageRoot.path + "/Tests",
    ])
    var names: Set<String> = []
    for line in found.split(separator: "\n") {
      if line.hasPrefix("func `") {
        names.insert(String(line.dropFirst(6).dropLast()))
      } else if let quote = line.firstIndex(of: "\"") {
        let isC = line.hasPrefix("TEST(")
        names.insert((isC ? "" : "program: ") + line[line.index(after: quote)...].dropLast())
      }
    }
    return names
  }

  @Test func `every requirement, scenario and trap has a row`() throws {
    let numbers = try rows().map(\.number)
    #expect(Set(numbers).count == numbers.count)
    let expected =
      (1...104).map { "R\($0)" } + (1...9).map { "E\($0)" } + ["E1b", "E4b"]
      + (1...25).map { "T\($0)" } + ["T17b"]
    #expect(Set(numbers) == Set(expected))
  }

  @Test func `every test that the table names exists and carries the number`() throws {
    let names = try testNames()
    #expect(names.count > 100)
    let programs = Set(
      try output(["ls", PackageRoot.path + "/Tests/MisuseTests/Programs"])
        .split(separator: "\n").map { String($0.dropLast(".swift".count)) })
    var cited = 0
    for row in try rows() where row.kind == "tested" || row.kind == "by construction" {
      let quoted = row.proof.split(separator: "`", omittingEmptySubsequences: false)
        .enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      #expect(!quoted.isEmpty, "\(row.number) names no test")
      for name in quoted {
        let exists = row.kind == "tested" ? names.contains(name) : programs.contains(name)
        #expect(exists, "\(row.number): there is no test named \(name)")
        let words = name.split { !$0.isLetter && !$0.isNumber }.map(String.init)
        #expect(words.contains(row.number), "\(row.number) is not in the name \(name)")
        cited += 1
      }
    }
    #expect(cited >= 99)
  }

  @Test func `the counts at the top are the table's`() throws {
    let rows = try rows()
    let text = try document()
    let kinds = ["tested", "by construction", "documentation only", "not yet"]
    for kind in kinds {
      let count = rows.filter { $0.kind == kind }.count
      #expect(text.contains("\n- \(kind): \(count)"), "\(kind) is \(count) in the table")
    }
    #expect(rows.allSatisfy { kinds.contains($0.kind) })
    #expect(rows.filter { $0.kind == "not yet" }.allSatisfy { $0.proof == "-" })
  }
}
