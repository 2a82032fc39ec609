import TestSupport
import Testing

@Suite struct NetDemoTests {
  private func dmatool(_ arguments: [String]) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool", "net", "demo"] + arguments))
  }

  @Test(arguments: [
    ["--mapping", "direct"], ["--mapping", "bounce", "--placement", "high"],
    ["--mapping", "iommu", "--placement", "high"],
    ["--mapping", "iommu", "--iommu", "deferred", "--interrupt"],
  ])
  func `the network card sends and receives through every mapping`(
    arguments: [String]
  ) throws {
    let result = try dmatool(["--count", "300"] + arguments)
    #expect(result.status == 0, "\(result.output)")
    #expect(
      result.output.contains("300 frames of 1 to 1514 bytes at odd offsets: every byte is the same")
    )
    #expect(result.output.contains("300 maps, 300 unmaps, 0 syncs"))
    #expect(result.output.contains("300 frames of 14 to 256 bytes: every byte is the same"))
    // Short frames are copied out: nothing is mapped for them.
    #expect(result.output.contains("0 maps, 0 unmaps, "))
    #expect(
      result.output.contains(
        "300 frames of 257 to 1514 bytes, 100 of them bad: every byte is the same"))
    #expect(result.output.contains("200 maps, 200 unmaps, "))
    if arguments.contains("bounce") {
      #expect(result.output.contains(" bytes copied through bounce buffers"))
      #expect(!result.output.contains("\n0 bytes copied"))
    }
  }

  @Test func `its JSON is the same on every run with one seed, and not with another`() throws {
    let first = try dmatool(["--count", "50", "--format", "json", "--seed", "3"])
    #expect(first.status == 0)
    #expect(
      first.output == (try dmatool(["--count", "50", "--format", "json", "--seed", "3"])).output)
    #expect(first.output.contains("\"frames\":50,\"wrong\":0,\"sent\":50,\"copied\":50"))
  }

  @Test func `memory out of reach and machines without the card are clear errors`() throws {
    let high = try dmatool(["--placement", "high"])
    #expect(high.status == 1 && high.output.contains("out of the device's reach"))
    let qemu = try dmatool(["--machine", "qemu"])
    #expect(qemu.status == 2 && qemu.output.contains("QEMU has no card like the document's"))
    #expect(try dmatool(["--count", "0"]).status == 64)
  }
}
