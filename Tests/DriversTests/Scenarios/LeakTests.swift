import DMA
import DMAChecker
import Drivers
import PCI
import SimulatedMachine
import Testing

/// A driver that forgets, as C drivers do: by the calls they have.
@Suite struct LeakTests {
  @Test(arguments: Setup.allCases)
  func `E9 R94 what a driver leaves behind is reported with its count and one sample`(
    setup: Setup
  ) throws {
    let machine = try setup.machine()
    let opened = try setup.open(machine, try machine.attach(NetworkCardModel()))
    let dma = opened.device.dma
    let findings = Findings()
    let checker = DMAChecker { findings.add($0) }
    checker.attach(to: dma)
    let pages = try machine.allocatePages(byteCount: 16 << 12, limit: DMAMask.bits32.rawValue)
    let sent = CallSite(#fileID, 100)
    let ring = CallSite(#fileID, 200)
    var handles: [DMAAddress] = []
    for index in 0..<10 {
      handles.append(
        try dma.mapSingle(
          cpuAddress: pages.address + UInt(index) << 12, byteCount: 1500, direction: .toDevice,
          site: sent))
    }
    // Both kinds: seven of ten packets are unmapped, the ring is not freed.
    let memory = try dma.allocateConsistent(byteCount: 4096, site: ring)
    for index in 0..<7 {
      try dma.unmapSingle(handles[index], byteCount: 1500, direction: .toDevice, site: sent)
    }
    #expect(findings.all.isEmpty)
    dma.remove()
    #expect(findings.all.map(\.rule) == [.leak, .leak])
    let packets = try #require(findings.all.first { $0.mapping?.family == .single })
    #expect(packets.leak?.count == 3 && packets.leak?.byteCount == 4500)
    #expect(packets.leak?.madeCount == 10)
    let sample = try #require(packets.mapping)
    #expect(handles[7...].contains { $0.rawValue == sample.address })
    #expect(sample.byteCount == 1500 && sample.site?.line == 100)
    let rings = try #require(findings.all.first { $0.mapping?.family == .coherent })
    #expect(rings.leak?.count == 1 && rings.mapping?.site?.line == 200)
    #expect(rings.mapping?.address == memory.address.rawValue)
    checker.finish()
    #expect(findings.all.count == 2)
    withExtendedLifetime(opened.kept) { withExtendedLifetime(pages) {} }
  }

  @Test(arguments: Setup.allCases)
  func `E9 R94 a driver that leaves nothing behind is not reported`(setup: Setup) throws {
    let machine = try setup.machine()
    let opened = try setup.open(machine, try machine.attach(NetworkCardModel()))
    let findings = Findings()
    let checker = DMAChecker { findings.add($0) }
    checker.attach(to: opened.device.dma)
    do {
      // Its rings, and its receive buffers, which are mapped all the time.
      let card = try NetworkCard(opened.device, options: NetworkCard.Options())
      withExtendedLifetime(card) {}
    }
    opened.device.dma.remove()
    checker.finish()
    #expect(findings.all.isEmpty)
    withExtendedLifetime(opened.kept) {}
  }
}
