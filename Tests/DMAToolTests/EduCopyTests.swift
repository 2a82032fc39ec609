import TestSupport
import Testing

@Suite struct EduCopyTests {
  static let hasQEMU = runProgram(["qemu-system-x86_64", "--version"])?.status == 0

  private func dmatool(_ arguments: String...) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool"] + arguments))
  }

  private var file: String { "\(PackageRoot.path)/LICENSE" }

  @Test(arguments: ["simulated", "qemu"])
  func `a real file goes through the device and back`(machine: String) throws {
    guard machine != "qemu" || Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    for completion in [[], ["--interrupt"]] {
      let result = try #require(
        runProgram(
          ["\(BuildFolder.path)/dmatool", "edu", "copy", file, "--machine", machine] + completion))
      #expect(result.status == 0)
      #expect(result.output.contains("bytes through the device and back: identical"))
      #expect(result.output.contains(", 0 still mapped"))
    }
  }

  @Test(arguments: ["simulated", "qemu"])
  func `memory beyond 28 bits is refused with mask and address, exit code 1`(
    machine: String
  ) throws {
    guard machine != "qemu" || Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    let refused = try dmatool("edu", "copy", file, "--machine", machine, "--placement", "high")
    #expect(refused.status == 1)
    #expect(refused.output.contains("out of the device's reach: its mask is 0xfffffff (28 bits)"))
    let wide = try dmatool(
      "edu", "copy", file, "--machine", machine, "--placement", "high", "--mask", "40")
    #expect(wide.status == 0)
  }

  @Test(arguments: ["simulated", "qemu"], ["bounce", "iommu"])
  func `memory beyond 28 bits is reached through bounce buffers and an IOMMU`(
    machine: String, mapping: String
  ) throws {
    guard machine != "qemu" || Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    let common = [
      "edu", "copy", file, "--machine", machine, "--placement", "high", "--mapping", mapping,
    ]
    for completion in [[], ["--interrupt"]] {
      let result = try #require(
        runProgram(["\(BuildFolder.path)/dmatool"] + common + completion))
      #expect(result.status == 0, "\(result.output)")
      #expect(result.output.contains("11358 bytes through the device and back: identical"))
      #expect(result.output.contains(", 0 still mapped"))
      if mapping == "bounce" {
        // In for the device to read; in and out where it writes.
        #expect(result.output.contains("\n\(3 * 11358) bytes copied through bounce buffers"))
      } else {
        #expect(result.output.contains(" commands to the IOMMU, 0 translation entries left"))
        #expect(!result.output.contains("\n0 commands"))
      }
    }
  }

  @Test func `missing files, folders and empty files are bad input, exit code 2`() throws {
    let missing = try dmatool("edu", "copy", "/no/such/file")
    #expect(missing.status == 2 && missing.output.contains("cannot open /no/such/file"))
    let folder = try dmatool("edu", "copy", "/")
    #expect(folder.status == 2 && folder.output.contains("is a directory"))
    let empty = try dmatool("edu", "copy", "/dev/null")
    #expect(empty.status == 2 && empty.output.contains("is empty"))
  }

  @Test func `impossible options are bad input`() throws {
    #expect(try dmatool("edu", "copy", file, "--mask", "65").status != 0)
    let memory = try dmatool("edu", "copy", file, "--memory", "1K")
    #expect(memory.status == 2 && memory.output.contains("simulated machine"))
    let narrow = try dmatool("edu", "copy", file, "--mask", "20")
    #expect(narrow.status == 1 && narrow.output.contains("it needs at least 0xffffff (24 bits)"))
  }

  @Test func `JSON has the same figures on every run with one seed`() throws {
    let first = try dmatool("edu", "copy", file, "--format", "json", "--seed", "7")
    let second = try dmatool("edu", "copy", file, "--format", "json", "--seed", "7")
    #expect(first.status == 0 && first.output == second.output)
    #expect(
      first.output.hasPrefix(
        "{\"machine\":\"simulated\",\"mapping\":\"direct\",\"bytes\":11358,\"identical\":true,"))
  }

  @Test func `the demo runs to its end`() throws {
    let demo = try dmatool("demo")
    #expect(demo.status == 0)
    #expect(demo.output.contains("every byte is the same"))
    #expect(demo.output.contains("the memory held back was freed"))
    // A disk through each mapping: what each took.
    let rows = demo.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    for (name, bounced, hasEntries) in [
      (["direct"], "0", false), (["bounce"], "1048576", false), (["IOMMU,", "strict"], "0", true),
      (["IOMMU,", "deferred"], "0", true),
    ] {
      let row = try #require(rows.first { $0.starts(with: name) && $0.last == "us" })
      let fields = Array(row.dropFirst(name.count))
      #expect(fields.prefix(3) == ["16", "1048576", bounced])
      #expect((Int(fields[3]) ?? -1 > 128) == hasEntries)
    }
  }
}
