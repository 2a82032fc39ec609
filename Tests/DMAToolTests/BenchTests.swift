import TestSupport
import Testing

@testable import dmatool

@Suite struct BenchTests {
  private func bench(_ arguments: String...) throws -> SubprocessResult {
    try #require(
      runProgram(["\(BuildFolder.path)/dmatool", "bench", "--seconds", "0.05"] + arguments))
  }

  private func number(_ key: String, _ json: String) throws -> Double {
    let parts = json.split(separator: "\"\(key)\":")
    try #require(parts.count > 1)
    return try #require(Double(parts[1].prefix { $0 != "," && $0 != "}" }))
  }

  @Test(arguments: ["direct", "bounce", "iommu"])
  func `bench times pairs on two threads over each mapping`(mapping: String) throws {
    let result = try bench(
      "--mapping", mapping, "--threads", "2", "--granule", "3", "--mask", "32", "--format", "json")
    #expect(result.status == 0, "\(result.output)")
    #expect(try number("pairs", result.output) > 10)
    #expect(try number("bytes", result.output) == 12288)
    #expect(try number("p50", result.output) <= number("p99", result.output))
    #expect(try number("p99", result.output) <= number("max", result.output))
    let table = try bench("--mapping", mapping, "--direction", "from-device")
    #expect(table.status == 0 && table.output.contains("99.9 %"), "\(table.output)")
  }

  @Test func `bench waits between map and unmap as asked`() throws {
    let result = try bench("--delay", "5000000", "--format", "json")
    #expect(try number("pairs", result.output) <= 10, "5 ms each in 50 ms")
  }

  @Test func `bench refuses numbers out of range by naming the range`() throws {
    for (option, value) in [
      ("--threads", "0"), ("--granule", "2000"), ("--delay", "9000000000"),
    ] {
      let result = try bench(option, value)
      #expect(result.status == 64 || result.status == 2)
      #expect(result.output.contains("\(option) takes"), "\(result.output)")
    }
  }

  @Test func `percentiles of a histogram are at most 3 % too high`() {
    var histogram = LatencyHistogram()
    for value in 1...100_000 as ClosedRange<UInt64> { histogram.add(value) }
    #expect(histogram.count == 100_000 && histogram.largest == 100_000)
    #expect(histogram.mean == 50000.5)
    for share in [0.001, 0.1, 0.5, 0.9, 0.99, 1.0] {
      let exact = share * 100_000
      let found = Double(histogram.percentile(share))
      #expect(found >= exact && found <= exact * 1.032, "\(share): \(found)")
    }
    histogram.add(.max)
    #expect(histogram.percentile(1) == .max)
    #expect(LatencyHistogram().percentile(0.5) == 0)
  }
}
