import TestSupport
import Testing

/// Programs that must not compile: each says in comments what the compiler has to say to it.
///
/// They are compiled against the modules of this build, as a client in another package is. A
/// message that is missing, or one that was not expected, fails the test.
@Suite struct MisuseTests {
  static let programs = [
    "R102-R103-no-reverse-lookup", "R30-coherent-is-not-streaming",
    "R41-R73-no-default-direction", "R6-integer-for-bus", "R6-physical-for-bus",
    "R76-no-direction-none", "R79-coherent-has-no-direction",
    "R81-unmap-takes-no-other-direction", "bool-is-not-representable", "copy-mapping",
    "forgotten-error-case", "ignored-map-result", "loan-in-struct",
    "mapping-in-escaping-closure", "read-back-to-device", "span-kept-across-map",
    "synced-span-escapes", "unmap-twice", "use-after-unmap", "write-into-from-device",
    "write-while-lent", "write-while-mapped",
  ]

  @Test(arguments: programs) func `the compiler refuses`(program: String) throws {
    let text = try #require(readProgram(program))
    #expect(text.contains("expected-error") || text.contains("expected-warning"))
    let result = try #require(verify(program))
    #expect(result.status == 0, "\(result.output)")
  }

  @Test func `the compiler accepts right use`() throws {
    let result = try #require(verify("correct-use"))
    #expect(result.status == 0, "\(result.output)")
  }

  @Test func `a program without the misuse it announces fails`() throws {
    // The check itself is checked: without the second unmap the announced error is missing.
    let text = try #require(readProgram("unmap-twice"))
    let mended = text.split(separator: "\n", omittingEmptySubsequences: false)
      .filter { !$0.contains("consumed again here") }.joined(separator: "\n")
    #expect(mended != text)
    let result = try #require(verify(text: mended))
    #expect(result.status != 0)
  }

  @Test func `every program in the folder is in the list`() throws {
    let listed = try #require(runProgram(["ls", folder]))
    let found = listed.output.split(separator: "\n").map { String($0.dropLast(".swift".count)) }
    #expect(found.sorted() == (Self.programs + ["correct-use"]).sorted())
  }

  private var folder: String { PackageRoot.path + "/Tests/MisuseTests/Programs" }

  private func readProgram(_ program: String) -> String? {
    runProgram(["cat", "\(folder)/\(program).swift"]).flatMap { $0.status == 0 ? $0.output : nil }
  }

  private func verify(_ program: String) -> SubprocessResult? {
    compile("\(folder)/\(program).swift")
  }

  private func verify(text: String) -> SubprocessResult? {
    guard let file = runProgram(["mktemp", "--suffix=.swift"])?.output.split(separator: "\n").first
    else { return nil }
    defer { _ = runProgram(["rm", "-f", String(file)]) }
    _ = runProgram(["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", text, String(file)])
    return compile(String(file))
  }

  private func compile(_ path: String) -> SubprocessResult? {
    let root = PackageRoot.path
    let build = BuildFolder.path
    return runProgram([
      "swiftc", "-frontend", "-emit-sil", "-o", "/dev/null", "-verify",
      "-verify-ignore-unrelated", "-swift-version", "6", "-module-name", "misuse",
      "-I", "\(build)/Modules",
      "-Xcc", "-fmodule-map-file=\(build)/DMASupport.build/module.modulemap",
      "-I", "\(root)/Sources/DMASupport/include", path,
    ])
  }
}
