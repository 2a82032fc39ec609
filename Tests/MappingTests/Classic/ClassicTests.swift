import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

/// Single regions by CPU address and handle, as the document's own calls have them.
@Suite struct ClassicTests {
  /// Memory of the page allocator, and the calls on parts of it.
  private struct Region: ~Copyable {
    let bench: Bench
    let memory: SimulatedMemory
    let site = CallSite(#fileID, #line)

    init(_ bench: Bench, byteCount: Int) throws {
      self.bench = bench
      memory = try bench.machine.allocatePages(byteCount: byteCount, limit: 0xffff_ffff)
    }

    /// A byte as the CPU has it.
    subscript(offset: Int) -> UInt8 {
      get { UInt8.volatileLoad(at: memory.address + UInt(offset)) }
      nonmutating set { UInt8.volatileStore(newValue, at: memory.address + UInt(offset)) }
    }

    func map(_ bytes: Range<Int>, _ direction: DMADirection) throws(DMAError) -> DMAAddress {
      try bench.dma.mapSingle(
        cpuAddress: memory.address + UInt(bytes.lowerBound), byteCount: bytes.count,
        direction: direction, site: site)
    }

    func unmap(_ handle: DMAAddress, _ byteCount: Int, _ direction: DMADirection) throws(DMAError) {
      try bench.dma.unmapSingle(handle, byteCount: byteCount, direction: direction, site: site)
    }

    func sync(
      _ handle: DMAAddress, _ byteCount: Int, _ direction: DMADirection, forCPU: Bool
    ) throws(DMAError) {
      try bench.dma.syncSingle(
        handle, byteCount: byteCount, direction: direction, forCPU: forCPU, site: site)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R83 R84 R85 a region is mapped by its address and unmapped by its handle`(setup: Setup)
    throws
  {
    let bench = try setup.make()
    let region = try Region(bench, byteCount: 8192)
    for offset in 0..<100 { region[1000 + offset] = UInt8(offset) }
    let handle = try region.map(1000..<1100, .bidirectional)
    #expect(bench.probe.read(handle.rawValue, byteCount: 100) == (0..<100).map { UInt8($0) })
    #expect(bench.probe.write(handle.rawValue + 99, [0xee]))
    // By anything but handle, size and direction as they were, nothing is unmapped.
    let wrong = handle.advanced(by: 4096)
    #expect(throws: DMAError.notMapped(wrong)) { try region.unmap(wrong, 100, .bidirectional) }
    #expect(throws: DMAError.wrongSize(expected: 100, given: 99)) {
      try region.unmap(handle, 99, .bidirectional)
    }
    #expect(throws: DMAError.wrongDirection(expected: .bidirectional, given: .toDevice)) {
      try region.unmap(handle, 100, .toDevice)
    }
    try region.unmap(handle, 100, .bidirectional)
    #expect(region[1098] == 98 && region[1099] == 0xee)
    #expect(throws: DMAError.notMapped(handle)) { try region.unmap(handle, 100, .bidirectional) }
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
  }

  @Test(arguments: Setup.allCases)
  func `R10 R12 R13 memory that may not be used is refused with its kind, and nothing is mapped`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let machine = bench.machine
    let area = try machine.allocateVirtual(byteCount: 8192)
    let image = try machine.loadImage(byteCount: 4096)
    let stack = try machine.allocateStack()
    let user = try machine.allocateUser(byteCount: 4096)
    let refused: [(UInt, MemoryKind)] = [
      (area.address, .vmalloc), (area.address + 4096, .vmalloc), (image.address, .image),
      (stack.address + 64, .stack), (user.address, .user),
      (machine.registerAddresses.lowerBound, .mmio), (64, .unknown),
    ]
    for (address, kind) in refused {
      do throws(DMAError) {
        _ = try bench.dma.mapSingle(
          cpuAddress: address, byteCount: 16, direction: .toDevice, site: CallSite(#fileID, #line))
        Issue.record("\(kind) memory was mapped")
      } catch {
        #expect(error == .notDMAable(kind))
        #expect(error.description == "\(kind) memory may not be used for DMA")
        #expect(!error.isTransient)
      }
    }
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
    #expect(bench.dma.liveClassicCount == 0)
    withExtendedLifetime((area.address, image.address, stack.address, user.address)) {}
  }

  @Test(arguments: Setup.allCases)
  func `R38 R86 a mapping a transfer, ended in its completion interrupt, may go on for ever`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    if setup.hasIOMMU { try bench.dma.setMask(DMAMask(bitCount: 23)) }
    let region = try Region(bench, byteCount: 4096)
    for round in 0..<2500 {
      let handle = try region.map(128..<192, .fromDevice)
      let value = UInt8(truncatingIfNeeded: round | 1)
      try #require(bench.probe.write(handle.rawValue + 63, [value]))
      // The transfer is done: its interrupt unmaps, and the CPU has the bytes without a sync.
      let result = ExecutionContext.withInterrupt { () -> DMAError? in
        do throws(DMAError) { try region.unmap(handle, 64, .fromDevice) } catch { return error }
        return nil
      }
      try #require(result == nil)
      let seen = region[191]
      try #require(seen == value)
    }
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .iommuStrict })
  func `R86 a transfer that is still under way after the unmap is refused and told`(setup: Setup)
    throws
  {
    let bench = try setup.make()
    let recorder = EventRecorder()
    recorder.observe(bench.dma)
    let region = try Region(bench, byteCount: 4096)
    region[0] = 5
    let handle = try region.map(0..<512, .fromDevice)
    #expect(bench.probe.write(handle.rawValue + 256, [1]))
    try region.unmap(handle, 512, .fromDevice)
    // The second half of the transfer comes too late: the memory is the CPU's.
    #expect(!bench.probe.write(handle.rawValue, [9]))
    #expect(region[0] == 5)
    bench.unit?.reportFaults()
    let fault = try #require(recorder.records.last)
    #expect(fault.kind == .fault && fault.device == bench.dma.id)
    #expect(fault.address == handle.rawValue & ~4095 && fault.direction == .fromDevice)
  }

  @Test(arguments: Setup.allCases.filter { $0.kind == .bounce || !$0.isCoherent })
  func `R39 what the device writes need not be seen before a sync or unmap, and is after`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let region = try Region(bench, byteCount: 4096)
    region[0] = 1
    let handle = try region.map(0..<64, .fromDevice)
    #expect(bench.probe.write(handle.rawValue, [2]))
    #expect(region[0] == 1, "outside of the coherency domain")
    try region.sync(handle, 64, .fromDevice, forCPU: true)
    #expect(region[0] == 2)
    #expect(bench.probe.write(handle.rawValue, [3]))
    #expect(region[0] == 2)
    try region.unmap(handle, 64, .fromDevice)
    #expect(region[0] == 3)
  }

  @Test(arguments: Setup.allCases)
  func `R97 T5 a sync by handle, of all or a part, goes the way its direction says`(setup: Setup)
    throws
  {
    let bench = try setup.make()
    let region = try Region(bench, byteCount: 4096)
    let into = try region.map(0..<1024, .fromDevice)
    let both = try region.map(1024..<2048, .bidirectional)
    let out = try region.map(2048..<3072, .toDevice)
    for round in 1..<20 as Range<UInt8> {
      #expect(bench.probe.write(into.rawValue + 500, [round]))
      try region.sync(into.advanced(by: 480), 64, .fromDevice, forCPU: true)
      #expect(region[500] == round)
      try region.sync(into.advanced(by: 480), 64, .fromDevice, forCPU: false)
      // Bidirectional: what the device wrote comes out, what the CPU then writes goes in.
      #expect(bench.probe.write(both.rawValue + 1000, [round]))
      try region.sync(both, 1024, .bidirectional, forCPU: true)
      #expect(region[2024] == round)
      region[1030] = ~round
      try region.sync(both, 1024, .bidirectional, forCPU: false)
      #expect(bench.probe.read(both.rawValue + 6, byteCount: 1) == [~round])
      try region.sync(out, 1024, .toDevice, forCPU: true)
      region[2049] = round
      try region.sync(out, 1024, .toDevice, forCPU: false)
      #expect(bench.probe.read(out.rawValue + 1, byteCount: 1) == [round])
    }
    #expect(
      throws: DMAError.outOfBounds(offset: 1000, byteCount: 25, limit: 1024)
    ) { try region.sync(into.advanced(by: 1000), 25, .fromDevice, forCPU: true) }
    try region.unmap(into, 1024, .fromDevice)
    try region.unmap(both, 1024, .bidirectional)
    try region.unmap(out, 1024, .toDevice)
  }

  @Test(arguments: Setup.allCases)
  func `R99 R100 nothing is synced between map and unmap, and the bytes are there`(setup: Setup)
    throws
  {
    let bench = try setup.make()
    let recorder = EventRecorder()
    recorder.observe(bench.dma)
    let region = try Region(bench, byteCount: 65536)
    var random = SeededGenerator()
    for round in 0..<50 {
      let start = Int.random(in: 0..<60_000, using: &random)
      let count = Int.random(in: 1...5000, using: &random)
      let bytes = pattern(count, seed: UInt8(round))
      let handle = try region.map(start..<start + count, .fromDevice)
      try #require(bench.probe.write(handle.rawValue, bytes))
      try region.unmap(handle, count, .fromDevice)
      for offset in [0, count / 2, count - 1] {
        let seen = region[start + offset]
        try #require(seen == bytes[offset])
      }
    }
    #expect(!recorder.kinds().contains { $0 == .syncForCPU || $0 == .syncForDevice })
  }

  @Test(arguments: Setup.allCases)
  func `T4 what the CPU changed in a buffer it was lent reaches the device`(setup: Setup) throws {
    let bench = try setup.make()
    let region = try Region(bench, byteCount: 4096)
    region[7] = 1
    let handle = try region.map(0..<64, .bidirectional)
    #expect(bench.probe.read(handle.rawValue + 7, byteCount: 1) == [1])
    try region.sync(handle, 64, .bidirectional, forCPU: true)
    region[7] = 2
    // The hand-back that the 2.4 interface had no call for.
    try region.sync(handle, 64, .bidirectional, forCPU: false)
    #expect(bench.probe.read(handle.rawValue + 7, byteCount: 1) == [2])
    try region.unmap(handle, 64, .bidirectional)
  }

  @Test(arguments: Setup.allCases.filter(\.isCoherent))
  func `T6 a map that fails is an error that says which limit, and never an address`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    var held: [DMAAddress] = []
    let region: Region
    switch setup.kind {
    case .direct:
      try bench.dma.setMask(.bits24)
      region = try Region(bench, byteCount: 4096)
    case .bounce: region = try Region(bench, byteCount: 4 << 20)
    case .iommuStrict, .iommuDeferred:
      try bench.dma.setMask(DMAMask(bitCount: 20))
      region = try Region(bench, byteCount: 4 << 20)
    }
    var failure: DMAError?
    while failure == nil, held.count < 1000 {
      let start = held.count * 4096
      do throws(DMAError) {
        held.append(try region.map(start..<start + 4096, .toDevice))
      } catch { failure = error }
    }
    switch failure {
    case .outOfReach(_, let last, let mask):
      #expect(setup.kind == .direct && mask == .bits24 && last.rawValue > 0xff_ffff)
    case .bouncePoolFull(let byteCount, let total, let used):
      #expect(setup.kind == .bounce && byteCount == 4096 && total == 1024 && used > 0)
    case .outOfAddressSpace(let byteCount, let limit):
      #expect(setup.hasIOMMU && byteCount == 4096 && limit == 0xf_ffff)
    default: Issue.record("\(String(describing: failure))")
    }
    // Nothing of the failed call is left, and an unmap helps where one can.
    #expect(bench.dma.liveClassicCount == held.count)
    for handle in held { try region.unmap(handle, 4096, .toDevice) }
    guard setup.kind != .direct else { return }
    let again = try region.map(0..<4096, .toDevice)
    try region.unmap(again, 4096, .toDevice)
  }

  @Test func `T6 bus address 0 is an address like any other`() throws {
    let machine = try SimulatedMachine()
    let memory = try machine.allocatePages(byteCount: 4096)
    let physical = try DMADevice.legacy(
      platform: machine.platform, mapping: DirectMapping.make(for: machine.platform)
    ).scatterEntry(cpuAddress: memory.address, byteCount: 1).physicalAddress
    let device = DMADevice(
      name: "zero", platform: machine.platform,
      mapping: DirectMapping.make(for: machine.platform, offset: 0 &- physical))
    try device.setMask(.bits64)
    let site = CallSite(#fileID, #line)
    let handle = try device.mapSingle(
      cpuAddress: memory.address, byteCount: 64, direction: .toDevice, site: site)
    #expect(handle.rawValue == 0)
    try device.unmapSingle(handle, byteCount: 64, direction: .toDevice, site: site)
  }

  @Test(arguments: Setup.allCases)
  func `R82 all six streaming calls work in interrupts and under a spin lock`(setup: Setup) throws {
    let bench = try setup.make()
    let region = try Region(bench, byteCount: 8192)
    let list = try ClassicList(bench, pieces: [(0, 4096), (4096, 100)], region.memory.address)
    func all() -> DMAError? {
      do throws(DMAError) {
        let handle = try region.map(4200..<8192, .bidirectional)
        try region.sync(handle, 100, .bidirectional, forCPU: true)
        try region.sync(handle, 100, .bidirectional, forCPU: false)
        try region.unmap(handle, 8192 - 4200, .bidirectional)
        _ = try list.map(.bidirectional)
        try list.sync(.bidirectional, forCPU: true)
        try list.sync(.bidirectional, forCPU: false)
        try list.unmap(.bidirectional)
        return nil
      } catch { return error }
    }
    let lock = DMASpinLock()
    for _ in 0..<3 {
      #expect(ExecutionContext.withInterrupt { all() } == nil)
      #expect(lock.withLock { all() } == nil)
    }
  }
}
