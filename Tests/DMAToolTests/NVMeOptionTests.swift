import TestSupport
import Testing

/// Every option of the verbs that run a driver does what it says.
@Suite struct NVMeOptionTests {
  private func nvme(_ arguments: [String]) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool", "nvme"] + arguments))
  }

  /// The number behind a key of a line of JSON.
  private func number(_ key: String, _ json: String) throws -> Double {
    let rest = try #require(json.split(separator: "\"\(key)\":").last)
    return try #require(Double(rest.prefix { $0 != "," && $0 != "}" }))
  }

  private func bench(_ arguments: String...) throws -> String {
    let result = try nvme(
      ["bench", "--count", "1000", "--disk", "16M", "--format", "json"] + arguments)
    #expect(result.status == 0, "\(result.output)")
    return result.output
  }

  private func copy(_ scratch: Scratch, _ arguments: String...) throws -> String {
    let file = try scratch.file("file", byteCount: 1 << 20, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 1 << 20)
    let result = try nvme(["copy", file, "--image", image, "--format", "json"] + arguments)
    #expect(result.status == 0, "\(result.output)")
    return result.output
  }

  @Test func `--iommu deferred gives the IOMMU fewer commands than strict`() throws {
    let scratch = try Scratch()
    let strict = try copy(scratch, "--mapping", "iommu", "--iommu", "strict")
    let deferred = try copy(scratch, "--mapping", "iommu", "--iommu", "deferred")
    #expect(
      try number("iommu_commands", strict) >= number("maps", strict),
      "one at least for each unmap")
    #expect(try number("iommu_commands", deferred) < number("iommu_commands", strict))
    #expect(try number("live", deferred) == 0 && number("live", strict) == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `--seed decides the machine's time, --depth how much runs at once`() throws {
    let first = try number("machine_ns", bench("--seed", "5"))
    #expect(try number("machine_ns", bench("--seed", "5")) == first)
    let deep = try bench("--depth", "64")
    #expect(try number("depth", deep) == 64)
    // A controller that works on one command at a time has them wait for each other.
    #expect(try number("machine_ns", bench("--depth", "1")) > 10 * number("machine_ns", deep))
  }

  @Test func `--memory and --mask decide what is in reach`() throws {
    let scratch = try Scratch()
    // All of 1 GiB is below 4 GiB: direct does with 32 bits.
    _ = try copy(scratch, "--mask", "32", "--memory", "1G")
    let file = "\(scratch.path)/file"
    let image = "\(scratch.path)/disk.img"
    let high = try nvme(["copy", file, "--image", image, "--mask", "32", "--memory", "6G"])
    #expect(high.status == 1 && high.output.contains("out of the device's reach"))
    let narrow = try nvme(["copy", file, "--image", image, "--mask", "20"])
    #expect(narrow.status == 1 && narrow.output.contains("it needs at least 0xffffff (24 bits)"))
    let tiny = try nvme(["copy", file, "--image", image, "--memory", "1K"])
    #expect(tiny.status == 2 && tiny.output.contains("the simulated machine: "))
    withExtendedLifetime(scratch) {}
  }

  @Test func `--interrupt waits for messages and moves the same bytes`() throws {
    let scratch = try Scratch()
    let json = try copy(scratch, "--interrupt", "--mapping", "iommu", "--mask", "32")
    #expect(json.contains("\"identical\":true"))
    withExtendedLifetime(scratch) {}
  }

  @Test func `words that options do not take are usage errors, exit code 64`() throws {
    for arguments in [
      ["--machine", "vax"], ["--mapping", "magic"], ["--iommu", "lazy"], ["--mask", "65"],
      ["--memory", "lots"], ["--seed", "-1"], ["--format", "xml"], ["--depth", "0"],
    ] {
      let result = try nvme(["bench"] + arguments)
      #expect(result.status == 64, "\(arguments): \(result.output)")
    }
  }

  @Test func `a progress bar shows on a terminal, and only there`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 4 << 20, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 4 << 20)
    let command = "\(BuildFolder.path)/dmatool nvme copy \(file) --image \(image)"
    let piped = try #require(runProgram(["sh", "-c", command]))
    #expect(piped.status == 0 && !piped.output.contains("[#"))
    guard runProgram(["script", "--version"])?.status == 0 else {
      print("skipped: script is not installed (package bsdutils)")
      return
    }
    let shown = try #require(runProgram(["script", "-qec", command, "/dev/null"]))
    #expect(shown.status == 0)
    #expect(shown.output.contains("\r[####################....................] 50 %"))
    #expect(shown.output.contains("[########################################] 100 %"))
    #expect(shown.output.contains("read back: identical"))
    withExtendedLifetime(scratch) {}
  }
}
