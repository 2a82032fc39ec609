import Synchronization
import TestSupport
import Testing

extension VFIOUserMachineTests {
  /// `dmatool --machine vfio-user:PATH`, as a user runs it.
  @Suite(.serialized)
  struct CommandTests {
    private func dmatool(_ arguments: [String]) throws -> SubprocessResult {
      try #require(runProgram(["\(BuildFolder.path)/dmatool"] + arguments))
    }

    @Test(arguments: ["direct", "bounce"])
    func `a file goes through a device that another program serves`(_ mapping: String) throws {
      let box = EduServer.RecordBox()
      let listener = try Listener { socket in EduServer(socket, .init(), box).run() }
      let result = try dmatool([
        "edu", "copy", "\(PackageRoot.path)/Package.swift", "--machine",
        "vfio-user:\(listener.path)", "--mapping", mapping, "--interrupt", "--check",
      ])
      listener.join()
      #expect(result.status == 0, "\(result.output)")
      #expect(result.output.contains("bytes through the device and back: identical"))
      #expect(box.value.withLock { $0.complaints } == [])
      #expect(box.value.withLock { $0.mapsWithDescriptor } == 1)
    }

    @Test func `another device than the verb's, a missing server and a missing IOMMU are said`()
      throws
    {
      let box = EduServer.RecordBox()
      let listener = try Listener { socket in EduServer(socket, .init(), box).run() }
      let wrong = try dmatool(["nvme", "identify", "--machine", "vfio-user:\(listener.path)"])
      listener.join()
      #expect(wrong.status == 1, "\(wrong.output)")
      let missing = try dmatool(["nvme", "identify", "--machine", "vfio-user:/nonexistent"])
      #expect(missing.status == 2)
      #expect(missing.output.contains("cannot connect to /nonexistent (errno 2)"))
      let iommu = try dmatool([
        "edu", "copy", "/dev/null", "--machine", "vfio-user:/x", "--mapping", "iommu",
      ])
      #expect(iommu.status != 0)
      #expect(iommu.output.contains("has no IOMMU"))
    }
  }
}
