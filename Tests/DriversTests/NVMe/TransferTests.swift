import DMA
import Drivers
import SimulatedMachine
import TestSupport
import Testing

@Suite struct TransferTests {
  @Test func `a controller says what it is, and a namespace how large it is`() throws {
    let bench = try Bench { $0.transferByteCountMax = 256 << 10 }
    let nvme = try bench.open { $0.queueCount = 3 }
    #expect(nvme.identity.vendorID == 0x1b36)
    #expect(nvme.identity.model == "Simulated NVMe Controller")
    #expect(nvme.identity.serialNumber == "SIM0000000000001")
    #expect(nvme.identity.transferByteCountMax == 256 << 10)
    #expect(nvme.identity.version == 0x0001_0400)
    #expect(nvme.queues.map(\.id) == [1, 2, 3])
    #expect(try nvme.activeNamespaces() == [1])
    let namespace = try nvme.namespace()
    #expect(namespace.blockCount == 131072)
    #expect(namespace.blockByteCount == 512)
    #expect(!namespace.isReadOnly)
    #expect(throws: NVMeError.noNamespace(2)) { try nvme.namespace(2) }
    try nvme.shutDown()
    #expect(bench.controller.takeViolations() == [])
    #expect(bench.machine.incidentCount == 0)
  }

  @Test(arguments: Setup.allCases)
  func `what is written is read back, at any length and offset`(setup: Setup) throws {
    let bench = try Bench(setup)
    let nvme = try bench.open { $0.queueCapacity = 8 }
    let namespace = try nvme.namespace()
    let queue = nvme.queues[0]
    var random = SeededGenerator()
    let lengths = [512, 4096, 4608, 8192, 12288, 131072, 524288, 524800, 3 << 20]
    for byteCount in lengths {
      // PRP entries begin at multiples of 4.
      let offset = Int.random(in: 0..<1024, using: &random) * 4
      let first = UInt64.random(in: 0..<100_000, using: &random)
      var source = try bench.buffer(byteCount + offset, seed: 3)
      var destination = try StreamingBuffer(byteCount: byteCount + 4096, in: bench.platform)
      try queue.write(
        from: &source, bytes: offset..<offset + byteCount, toBlock: first, of: namespace)
      try queue.read(
        into: &destination, bytes: 2048..<2048 + byteCount, fromBlock: first, of: namespace)
      let got = destination.array
      #expect(
        got[2048..<2048 + byteCount] == source.array[offset...],
        "\(byteCount) bytes from offset \(offset) at block \(first)")
      // Nothing before and behind was touched.
      #expect(got[..<2048].allSatisfy { $0 == 0 })
      #expect(got[(2048 + byteCount)...].allSatisfy { $0 == 0 })
    }
    #expect(bench.controller.takeViolations() == [])
    #expect(bench.machine.incidentCount == 0)
    try nvme.shutDown()
  }
}
