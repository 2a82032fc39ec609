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

  @Test(arguments: [0, 1, 63, (1 << 20) + 1, .max] as [UInt32])
  func `a binary trace whose pages have no sensible size is refused, not read for ever`(
    _ pageSize: UInt32
  ) throws {
    let root = try #require(SharedTraces.root) + "/formats"
    var bytes = try SharedTraces.unpacked("\(root)/tracecmd-e1000.v7.dat.xz")
    // The buffer's option: its clock's name, then the size of its pages, which were 4096.
    let before = Array("\0local\0".utf8)
    let sizes = bytes.indices.dropLast(before.count + 4).filter { start in
      bytes[start..<start + before.count].elementsEqual(before)
        && bytes[(start + before.count)...].prefix(4).elementsEqual([0, 0x10, 0, 0])
    }
    let place = try #require(sizes.first) + before.count
    #expect(sizes.count == 1)
    for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: pageSize >> (8 * index)) }
    #expect(throws: TraceInputError.self) { try TraceCheck.check(bytes: bytes) }
  }
}
