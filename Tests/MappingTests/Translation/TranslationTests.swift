import DMA
import DMAMapping
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// What only a mapping with a unit of its own can do.
@Suite struct TranslationTests {
  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R78 a refused access is told to the device's observer: which device, where, how`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let (other, otherProbe) = try bench.anotherDevice()
    let mine = EventRecorder()
    let others = EventRecorder()
    mine.observe(bench.dma)
    others.observe(other.dma)
    let out = try StreamingBuffer(byteCount: 4096, for: bench.dma)
      .map(ToDevice.self, for: bench.dma).get()
    let address = out.address.rawValue
    #expect(!bench.probe.write(address + 8, [1]))
    #expect(otherProbe.read(0x7654_3000, byteCount: 4) == nil)
    // Whoever waits for anything has the units looked at.
    let start = bench.platform.nanoseconds
    while bench.platform.nanoseconds - start < 2_000_000 { bench.platform.relax() }
    let faults = mine.records.filter { $0.kind == .fault }
    #expect(faults.count == 1 && faults.first?.device == bench.dma.id)
    #expect(faults.first?.address == address && faults.first?.direction == .fromDevice)
    let strange = others.records.filter { $0.kind == .fault }
    #expect(strange.count == 1 && strange.first?.device == other.dma.id)
    #expect(strange.first?.address == 0x7654_3000 && strange.first?.direction == .toDevice)
    // And they are still there for who asks the unit itself, as text too.
    var log: [String] = []
    bench.unit?.takeFaults { log.append($0.description) }
    #expect(log.count == 2)
    #expect(log.first?.contains("write at 0x\(String(address, radix: 16)) refused") == true)
    bench.unit?.takeFaults { log.append($0.description) }
    #expect(log.count == 2, "each is taken once")
    _ = out.unmap()
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R47 R95 two buses have addresses of their own: one exhausted, the other unaffected`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let (other, otherProbe) = try bench.deviceOnAnotherBus()
    for device in [bench.dma, other.dma] { try device.setMask(DMAMask(bitCount: 20)) }
    let site = CallSite(#fileID, #line)
    let memory = try bench.machine.allocatePages(byteCount: 512 * 4096)
    func exhaust(_ device: DMADevice, from first: Int) -> [DMAAddress] {
      var held: [DMAAddress] = []
      while held.count < 256,
        let handle = try? device.mapSingle(
          cpuAddress: memory.address + UInt((first + held.count) * 4096), byteCount: 4096,
          direction: .bidirectional, site: site)
      { held.append(handle) }
      return held
    }
    let mine = exhaust(bench.dma, from: 0)
    let others = exhaust(other.dma, from: 256)
    // 256 pages less page 0, on each bus.
    #expect(mine.count == 255 && others.count == 255)
    try #require(Set(mine) == Set(others), "the same numbers")
    // The same number means different memory.
    let number = mine[100]
    let place = try #require(others.firstIndex(of: number))
    #expect(bench.probe.write(number.rawValue, [1]) && otherProbe.write(number.rawValue, [2]))
    try bench.dma.unmapSingle(
      number, byteCount: 4096, direction: .bidirectional, site: site)
    try other.dma.unmapSingle(
      number, byteCount: 4096, direction: .bidirectional, site: site)
    #expect(UInt8.volatileLoad(at: memory.address + 100 * 4096) == 1)
    #expect(UInt8.volatileLoad(at: memory.address + UInt(256 + place) * 4096) == 2)
    // Freed on the one bus, it is free there only.
    #expect(throws: DMAError.notMapped(number)) {
      try other.dma.unmapSingle(number, byteCount: 4096, direction: .bidirectional, site: site)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .iommuDeferred })
  func `R94 R99 a device that is removed or quiet reaches nothing that was unmapped`(setup: Setup)
    throws
  {
    for isRemoval in [true, false] {
      let bench = try setup.make()
      let mapping = try StreamingBuffer(byteCount: 4096, for: bench.dma)
        .map(FromDevice.self, for: bench.dma).get()
      let address = mapping.address.rawValue
      #expect(bench.probe.write(address, [1]))
      _ = mapping.unmap()
      // Inside of the window the access takes place, and the machine remembers it.
      #expect(bench.probe.write(address, [2]))
      #expect(bench.machine.takeIncidents().map(\.reason) == [.staleTranslation])
      if isRemoval { bench.dma.remove() } else { bench.dma.declareQuiet() }
      #expect(bench.domain?.waitingRangeCount == 0)
      #expect(!bench.probe.write(address, [3]))
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .iommuDeferred })
  func `R99 a missing invalidation is seen inside the window, and after the flush it faults`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let mapping = try StreamingBuffer(byteCount: 4096, for: bench.dma)
      .map(Bidirectional.self, for: bench.dma).get()
    let address = mapping.address.rawValue
    #expect(bench.probe.write(address, [1]))
    let back = mapping.unmap()
    #expect(bench.probe.write(address + 16, [7, 7]))
    #expect(bench.probe.read(address, byteCount: 1) != nil)
    let incidents = bench.machine.takeIncidents()
    #expect(incidents.map(\.reason) == [.staleTranslation, .staleTranslation])
    #expect(incidents.map(\.isWrite) == [true, false])
    #expect(incidents.first?.address == address + 16 && incidents.first?.byteCount == 2)
    // Nobody unmaps any more: whoever waits has the oldest range flushed when it is 10 ms old.
    let start = bench.platform.nanoseconds
    while bench.platform.nanoseconds - start < 12_000_000 { bench.platform.relax() }
    #expect(bench.domain?.waitingRangeCount == 0)
    #expect(!bench.probe.write(address, [8]))
    guard case .translationFault? = bench.machine.takeIncidents().last?.reason else {
      Issue.record("no fault after the flush")
      return
    }
    withExtendedLifetime(back) {}
  }
}
