import TestSupport
import Testing

/// `dmatool net ping` and `dmatool usb list`, as a user runs them on QEMU's devices.
@Suite struct QEMUDeviceTests {
  static let hasQEMU: Bool = {
    let isThere = runProgram(["qemu-system-x86_64", "--version"])?.status == 0
    if !isThere {
      print("skipped: dmatool on QEMU's devices: qemu-system-x86_64 is not installed")
    }
    return isThere
  }()

  private func dmatool(_ arguments: [String]) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool"] + arguments))
  }

  @Test(.enabled(if: hasQEMU), arguments: ["direct", "iommu"])
  func `a card gets an address and pings its gateway, none lost`(_ mapping: String) throws {
    let result = try dmatool([
      "net", "ping", "--machine", "qemu", "--mapping", mapping, "--format", "json",
      "--check",
    ])
    #expect(result.status == 0, "\(result.output)")
    for part in [
      #""address":"10.0.2.15","gateway":"10.0.2.2","sent":100,"received":100,"lost":0,"damaged":0"#,
      #""copied":100,"passed":0"#, #""mapping":"\#(mapping)""#,
    ] { #expect(result.output.contains(part), "\(result.output)") }
    let long = try dmatool([
      "net", "ping", "--machine", "qemu", "--mapping", mapping, "--count", "3", "--size", "1400",
    ])
    #expect(long.status == 0)
    #expect(long.output.contains("3 pings of 1400 bytes: 3 answers, 0 lost, 0 damaged"))
    #expect(long.output.contains("answers: 0 copied, 3 passed on in their buffer"))
  }

  @Test(.enabled(if: hasQEMU))
  func `what is plugged into a controller is listed with its descriptors`() throws {
    let result = try dmatool([
      "usb", "list", "--machine", "qemu", "--plug", "usb-kbd", "--plug", "usb-tablet",
      "--mapping", "iommu", "--check",
    ])
    #expect(result.status == 0, "\(result.output)")
    for part in [
      "0627:0001 QEMU, QEMU USB Keyboard, 12 Mbit/s", "0627:0001 QEMU, QEMU USB Tablet",
      "device         12 01", "configuration  09 02", "2 devices;",
    ] { #expect(result.output.contains(part), "\(result.output)") }
    let json = try dmatool(["usb", "list", "--machine", "qemu", "--format", "json"])
    #expect(json.output.contains(#""product_name":"QEMU USB Mouse""#), "\(json.output)")
  }

  @Test(.enabled(if: hasQEMU))
  func `64 MiB reach QEMU's disk through the IOMMU byte for byte, and no rule is broken`() throws {
    let scratch = try Scratch()
    let byteCount = 64 << 20
    let file = try scratch.file("file", byteCount: byteCount, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: byteCount)
    let result = try dmatool([
      "nvme", "copy", file, "--image", image, "--machine", "qemu", "--mapping", "iommu", "--check",
    ])
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.contains("\(byteCount) bytes onto the disk, read back: identical"))
    #expect(result.output.contains("check: "))
    #expect(runProgram(["cmp", file, image])?.status == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `machines without such a device say so`() throws {
    let net = try dmatool(["net", "ping"])
    #expect(net.status == 2)
    #expect(net.output.contains("the simulated machine has no e1000 card: take --machine qemu"))
    let usb = try dmatool(["usb", "list"])
    #expect(usb.status == 2)
    #expect(usb.output.contains("the simulated machine has no USB: take --machine qemu"))
  }
}
