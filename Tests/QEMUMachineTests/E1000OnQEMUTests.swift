import DMA
import DMAChecker
import DMAMapping
import Drivers
import NetworkTools
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  /// The E1000 driver on QEMU's `e1000`, on QEMU's user network: 10.0.2.0/24 with its gateway,
  /// DHCP server included, at 10.0.2.2.
  @Suite(.needsQEMU)
  struct E1000OnQEMUTests {
    static var configuration: QEMUMachine.Configuration {
      var configuration = QEMUMachine.Configuration(devices: [
        .other("e1000,netdev=net0,mac=52:54:00:12:34:56,romfile=")
      ])
      configuration.arguments = ["-netdev", "user,id=net0,restrict=on"]
      // Some of it beyond what 32 bits reach.
      configuration.memoryByteCount = 3 << 30
      return configuration
    }

    @Test(arguments: QEMUMapping.allCases)
    func `R100 R101 a lease, the gateway's address and 100 pings, 0 lost`(
      _ mapping: QEMUMapping
    ) throws {
      let bench = try CheckedDevice(mapping, Self.configuration)
      try drive(bench)
      #expect(bench.finish().map(\.rule) == [])
      if let domain = bench.domain {
        domain.flush()
        #expect(domain.validEntryCount == 0)
      }
      let hasLostFaults = bench.unit?.takeFaults { Issue.record("\($0)") }
      #expect(hasLostFaults != true)
      bench.machine.stop()
    }

    private func drive(_ bench: CheckedDevice) throws {
      // Few descriptors, so that the rings wrap around many times.
      var options = E1000.Options()
      options.ringCount = 16
      let card = try E1000(bench.device, options: options)
      let probe = NetworkProbe(card)
      #expect(probe.hardware.description == "52:54:00:12:34:56")
      let lease = try probe.requestLease()
      #expect(card.isLinkUp)
      #expect(lease.address == IPv4Address(10, 0, 2, 15))
      #expect(lease.router == IPv4Address(10, 0, 2, 2))
      #expect(lease.server == IPv4Address(10, 0, 2, 2))
      #expect(lease.subnetMask == IPv4Address(255, 255, 255, 0))
      #expect(lease.seconds > 0)
      // QEMU makes up the gateway's address from the network's.
      let gateway = try probe.resolve(lease.router)
      #expect(gateway.description == "52:55:0a:00:02:02")
      let small = card.counters
      let short = try probe.ping(lease.router, at: gateway, count: 100)
      #expect(short.sent == 100 && short.lost == 0 && short.damaged == 0)
      // 98 bytes are short: copied, their buffers never left the card.
      #expect(card.counters.copied - small.copied >= 100)
      #expect(card.counters.passed == small.passed)
      let large = card.counters
      let long = try probe.ping(lease.router, at: gateway, count: 20, payloadByteCount: 1400)
      #expect(long.sent == 20 && long.lost == 0 && long.damaged == 0)
      #expect(card.counters.passed - large.passed == 20)
      #expect(card.counters.refused == 0)
      try card.wait(milliseconds: 1000) {
        card.reap()
        return card.sendingCount == 0
      }
    }

    @Test func `a frame that is not wanted leaves its buffer with the card`() throws {
      let bench = try CheckedDevice(.direct, Self.configuration)
      do {
        let card = try E1000(bench.device)
        let probe = NetworkProbe(card)
        let lease = try probe.requestLease()
        let gateway = try probe.resolve(lease.router)
        let question: [UInt8] =
          [255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6]
          + [0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15]
          + [0, 0, 0, 0, 0, 0, 10, 0, 2, 2]
        let before = card.counters
        for _ in 0..<3 {
          let frame = try StreamingBuffer(
            copying: unsafe question.span.bytes, in: bench.machine.platform)
          guard case .accepted = card.send(frame) else {
            Issue.record("the frame was refused")
            return
          }
        }
        var answers = 0
        try card.wait(milliseconds: 2000) {
          answers += card.receive(isWanted: { header in
            #expect(header.byteCount == 64)
            return false
          }) { _ in Issue.record("an unwanted frame was passed on") }
          return answers == 3
        }
        #expect(card.counters.refused - before.refused == 3)
        #expect(card.counters.copied == before.copied)
        // The buffers that stayed are filled again.
        #expect(try probe.resolve(lease.router) == gateway)
      }
      #expect(bench.finish().map(\.rule) == [])
    }

    @Test func `frames that are too short or too long are refused, and their buffer comes back`()
      throws
    {
      let bench = try CheckedDevice(.direct, Self.configuration)
      do {
        let card = try E1000(bench.device)
        for byteCount in [13, 1519] {
          let buffer = try StreamingBuffer(byteCount: byteCount, in: bench.machine.platform)
          switch card.send(buffer) {
          case .accepted: Issue.record("a frame of \(byteCount) bytes was sent")
          case .refused(let buffer, let error):
            #expect(error == .frameLength(byteCount: byteCount, limit: 1518))
            #expect(buffer.byteCount == byteCount)
          }
        }
      }
      #expect(bench.finish().map(\.rule) == [])
    }

    @Test func `another device is not taken for the card`() throws {
      let bench = try CheckedDevice(.direct, QEMUMachine.Configuration(devices: [.edu()]))
      #expect(throws: E1000Error.notE1000(vendorID: 0x1234, deviceID: 0x11e8)) {
        _ = try E1000(bench.device)
      }
    }
  }
}
