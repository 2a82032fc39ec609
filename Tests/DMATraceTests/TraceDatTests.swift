import Glibc
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
    let file = unsafe open("\(root)/tracecmd-e1000.\(version).dat.xz", O_RDONLY)
    try #require(file >= 0)
    defer { close(file) }
    let unpacker = try Unpacker(.xz, input: file)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = unsafe read(unpacker.output, &buffer, buffer.count), count > 0 {
      bytes += buffer[..<count]
    }
    _ = unpacker.finish()
    for length in [9, 10, 11, 17, 40, 300, 5000, bytes.count / 2] {
      #expect(throws: TraceInputError.self) {
        try TraceCheck.check(bytes: Array(bytes[..<length]))
      }
    }
  }
}
