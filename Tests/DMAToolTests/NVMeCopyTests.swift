import Glibc
import TestSupport
import Testing

/// `dmatool nvme`, as a user runs it, on image files of its own.
@Suite struct NVMeCopyTests {
  static let hasQEMU = runProgram(["qemu-system-x86_64", "--version"])?.status == 0

  private func dmatool(_ arguments: [String]) throws -> SubprocessResult {
    try #require(runProgram(["\(BuildFolder.path)/dmatool", "nvme"] + arguments))
  }

  private func isSame(_ file: String, _ image: String, byteCount: Int) -> Bool {
    runProgram(["cmp", "-n", "\(byteCount)", file, image])?.status == 0
  }

  @Test(arguments: ["simulated", "qemu"], ["bounce", "iommu"])
  func `buffers above 4 GiB reach a disk that drives 32 bits, byte for byte`(
    machine: String, mapping: String
  ) throws {
    guard machine != "qemu" || Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    let scratch = try Scratch()
    // Not whole blocks: the last one is completed from the disk.
    let byteCount = 5 << 20 | 777
    let file = try scratch.file("file", byteCount: byteCount, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 8 << 20)
    let result = try dmatool([
      "copy", file, "--image", image, "--machine", machine, "--mapping", mapping, "--memory", "6G",
      "--mask", "32",
    ])
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.contains("\(byteCount) bytes onto the disk, read back: identical"))
    #expect(result.output.contains(", 0 still mapped, mapping \(mapping)"))
    if mapping == "bounce" {
      #expect(result.output.contains("bytes copied through bounce buffers"))
      #expect(!result.output.contains("\n0 bytes copied"))
    }
    #expect(isSame(file, image, byteCount: byteCount))
    withExtendedLifetime(scratch) {}
  }

  @Test(arguments: ["simulated", "qemu"])
  func `direct refuses buffers above 4 GiB for 32 bits, and works with 64`(
    machine: String
  ) throws {
    guard machine != "qemu" || Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 1 << 20, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 1 << 20)
    let common = ["copy", file, "--image", image, "--machine", machine]
    let refused = try dmatool(common + ["--mask", "32"])
    #expect(refused.status == 1)
    #expect(refused.output.contains("out of the device's reach: its mask is 0xffffffff (32 bits)"))
    #expect(!isSame(file, image, byteCount: 1 << 20))
    let wide = try dmatool(common)
    #expect(wide.status == 0)
    #expect(isSame(file, image, byteCount: 1 << 20))
    // Low buffers are in reach.
    #expect(try dmatool(common + ["--mask", "32", "--placement", "low"]).status == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `bytes behind the file's end stay as they are`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 1000, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 4096, isRandom: true)
    let before = try scratch.file("before.img", byteCount: 0)
    _ = runProgram(["cp", image, before])
    #expect(try dmatool(["copy", file, "--image", image]).status == 0)
    #expect(isSame(file, image, byteCount: 1000))
    #expect(runProgram(["cmp", "-i", "1000", before, image])?.status == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `write and read are each other's reverse`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 3 << 20 | 512, isRandom: true)
    let image = try scratch.file("disk.img", byteCount: 8 << 20)
    let back = "\(scratch.path)/back"
    #expect(try dmatool(["write", file, "--image", image, "--offset", "4096"]).status == 0)
    let read = try dmatool([
      "read", back, "--image", image, "--offset", "4096", "--size", "\(3 << 20 | 512)",
      "--format", "json",
    ])
    #expect(read.status == 0 && read.output == "{\"bytes\":3146240,\"offset\":4096}\n")
    #expect(runProgram(["cmp", file, back])?.status == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `images that are missing, short, in the way or read-only are clear errors`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 8192, isRandom: true)
    let missing = try dmatool(["copy", file, "--image", "\(scratch.path)/none.img"])
    #expect(missing.status == 2 && missing.output.contains("no such image file"))
    let none = try dmatool(["copy", file])
    #expect(none.status == 2 && none.output.contains("--image is missing"))
    let folder = try dmatool(["copy", file, "--image", scratch.path])
    #expect(folder.status == 2 && folder.output.contains("not a file"))
    let odd = try scratch.file("odd.img", byteCount: 700)
    let partial = try dmatool(["copy", file, "--image", odd])
    #expect(partial.status == 2 && partial.output.contains("whole blocks of 512"))
    let small = try scratch.file("small.img", byteCount: 4096)
    let short = try dmatool(["copy", file, "--image", small])
    #expect(short.status == 2 && short.output.contains("has 8192 bytes, the disk only 4096"))
    let large = try scratch.file("large.img", byteCount: 16384)
    let protected = try dmatool(["copy", file, "--image", large, "--read-only"])
    #expect(protected.status == 1 && protected.output.contains("namespace 1 is read-only"))
    let noFile = try dmatool(["copy", "\(scratch.path)/none", "--image", large])
    #expect(noFile.status == 2 && noFile.output.contains("cannot open"))
    #expect(runProgram(["cmp", "-n", "16384", large, "/dev/zero"])?.status == 0)
    withExtendedLifetime(scratch) {}
  }

  @Test func `an image that may not be read is a clear error`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 8192)
    let image = try scratch.file("disk.img", byteCount: 8192)
    _ = runProgram(["chmod", "755", scratch.path])
    _ = runProgram(["chmod", "000", image])
    var command = ["\(BuildFolder.path)/dmatool", "nvme", "copy", file, "--image", image]
    if geteuid() == 0 {
      // Root may read everything: as somebody else, where that user can run the program.
      command = ["setpriv", "--reuid", "65534", "--clear-groups"] + command
      guard let trial = runProgram(Array(command.prefix(5)) + ["identify"]), trial.status == 0
      else {
        print("skipped: root cannot run the program as another user here")
        return
      }
    }
    let result = try #require(runProgram(command))
    #expect(result.status == 2 && result.output.contains("permissions do not allow it"))
    withExtendedLifetime(scratch) {}
  }

  @Test func `a full file system ends the copy with the disk's own error`() throws {
    let scratch = try Scratch()
    let file = try scratch.file("file", byteCount: 48 << 20)
    let image = try scratch.file("disk.img", byteCount: 64 << 20)
    // The host lets no file grow beyond 40 MiB: what a full file system looks like. The machine's
    // own memory is a file too.
    let limited =
      "trap '' XFSZ; ulimit -f 81920; exec \(BuildFolder.path)/dmatool nvme copy \(file)"
      + " --image \(image) --memory 32M"
    let result = try #require(runProgram(["sh", "-c", limited]))
    #expect(result.status == 1)
    #expect(result.output.contains("capacity exceeded: the disk's medium is full"))
    withExtendedLifetime(scratch) {}
  }

  @Test func `identify and bench answer in JSON too`() throws {
    let identity = try dmatool(["identify", "--format", "json"])
    #expect(identity.status == 0)
    #expect(identity.output.contains("\"model\":\"Simulated NVMe Controller\""))
    #expect(identity.output.contains("\"blocks\":131072,\"block_bytes\":512"))
    let bench = try dmatool(["bench", "--count", "2000", "--format", "json", "--disk", "16M"])
    #expect(bench.status == 0)
    #expect(bench.output.contains("\"reads\":2000") && bench.output.contains("\"iops\":"))
  }

  @Test func `QEMU is told of at most 3 things for 32 reads`() throws {
    guard Self.hasQEMU else {
      print("skipped: qemu-system-x86_64 is not installed (package qemu-system-x86)")
      return
    }
    let scratch = try Scratch()
    let image = try scratch.file("disk.img", byteCount: 16 << 20)
    let result = try dmatool([
      "bench", "--machine", "qemu", "--image", image, "--count", "4000", "--format", "json",
    ])
    #expect(result.status == 0, "\(result.output)")
    let field = try #require(result.output.split(separator: "\"messages_per_32\":").last)
    let messages = try #require(Double(field.prefix { $0 != "}" && $0 != "," }))
    #expect(messages > 0 && messages <= 3)
    let waited = try #require(result.output.split(separator: "\"round_trips_per_32\":").last)
    let roundTrips = try #require(Double(waited.prefix { $0 != "}" && $0 != "," }))
    #expect(roundTrips <= messages && roundTrips <= 3)
    withExtendedLifetime(scratch) {}
  }
}
