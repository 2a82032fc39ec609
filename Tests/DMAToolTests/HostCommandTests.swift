import TestSupport
import Testing

/// `dmatool doctor`, `devices`, and verbs on a device that this host does not have.
@Suite struct HostCommandTests {
  private func dmatool(_ arguments: String...) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool"] + arguments))
  }

  @Test func `doctor reports on whatever host it runs, and ends with 0`() throws {
    let result = try dmatool("doctor")
    #expect(result.status == 0, "\(result.output)")
    for topic in ["IOMMU", "VFIO driver", "locked memory", "huge pages", "trace events"] {
      #expect(result.output.contains(topic))
    }
    // What is not as it should be comes with what is needed and what helps.
    let lines = result.output.split(separator: "\n")
    let wanting = lines.count {
      $0.hasPrefix("blocked") || $0.hasPrefix("limited") || $0.hasPrefix("unknown")
    }
    #expect(lines.count { $0.contains("need: ") } == wanting)
    #expect(lines.count { $0.contains("fix:  ") } == wanting)
  }

  @Test func `doctor on a tree without an IOMMU says what is blocked; --strict ends with 1`() throws
  {
    let nothing = "/nothing/is/here"
    let result = try dmatool("doctor", "0000:00:02.0", "--root", nothing)
    #expect(result.status == 0)
    #expect(result.output.contains("blocked  IOMMU"))
    #expect(result.output.contains("no such PCI function"))
    #expect(try dmatool("doctor", "--strict", "--root", nothing).status == 1)
    let json = try dmatool("doctor", "--format", "json", "--root", nothing)
    #expect(json.status == 0 && json.output.contains("\"topic\":\"IOMMU\",\"state\":\"blocked\""))
    #expect(try dmatool("doctor", "not-an-address").status == 2)
  }

  @Test func `devices lists this host's functions, or says that there are none`() throws {
    let result = try dmatool("devices")
    #expect(result.status == 0 && !result.output.isEmpty)
    let none = try dmatool("devices", "--root", "/nothing/is/here")
    #expect(none.status == 0 && none.output.contains("no PCI devices"))
    #expect(try dmatool("devices", "--format", "json").output.hasPrefix("["))
  }

  @Test func `a device that is not there is refused with have, need and fix`() throws {
    let file = "\(PackageRoot.path)/LICENSE"
    let result = try dmatool("edu", "copy", file, "--machine", "vfio:7f:1f.7")
    #expect(result.status == 2)
    for word in ["have: no PCI function 0000:7f:1f.7", "need: ", "fix:  dmatool devices"] {
      #expect(result.output.contains(word), "\(result.output)")
    }
    #expect(try dmatool("edu", "copy", file, "--machine", "vfio:nonsense").status != 0)
    #expect(
      try dmatool("edu", "copy", file, "--machine", "simulated", "--mapping", "arena").status != 0)
    #expect(
      try dmatool("edu", "copy", file, "--machine", "vfio:7f:1f.7", "--mapping", "bounce").status
        != 0)
  }
}
