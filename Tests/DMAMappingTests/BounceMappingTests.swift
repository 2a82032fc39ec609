import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

/// A machine and a device that bounces.
private struct BounceBench {
  let machine: SimulatedMachine
  let bounce: BounceMapping
  let device: DMADevice

  init(
    constraints: DMAConstraints = .pci, _ change: (inout BounceMapping.Options) -> Void = { _ in }
  ) throws {
    machine = try SimulatedMachine()
    var options = BounceMapping.Options()
    options.slotCount = 1024
    options.areaCount = 1
    change(&options)
    bounce = try BounceMapping(platform: machine.platform, options: options)
    device = DMADevice(
      name: "narrow", platform: machine.platform, mapping: bounce.mapping,
      constraints: constraints)
  }

  func high(_ byteCount: Int) throws(DMAError) -> StreamingBuffer {
    try StreamingBuffer(byteCount: byteCount, in: machine.platform, placement: .high)
  }
}

struct BounceMappingTests {
  @Test
  func `A pool gives its memory back when it ends`() throws {
    let machine = try SimulatedMachine()
    let before = machine.freeByteCount
    do {
      var options = BounceMapping.Options()
      options.slotCount = 4096
      let bounce = try BounceMapping(platform: machine.platform, options: options)
      #expect(machine.freeByteCount == before - 8 << 20)
      #expect(bounce.statistics.totalSlots == 4096)
    }
    #expect(machine.freeByteCount == before)
  }

  @Test
  func `What the device reaches passes straight through, unless forced`() throws {
    let bench = try BounceBench()
    let low = try StreamingBuffer(byteCount: 4096, for: bench.device)
      .map(ToDevice.self, for: bench.device).get()
    #expect(bench.bounce.statistics.usedSlots == 0)
    let high = try bench.high(4096).map(ToDevice.self, for: bench.device).get()
    #expect(bench.bounce.statistics.usedSlots == 2)
    #expect(high.address.rawValue <= 0xffff_ffff)
    _ = low.unmap()
    _ = high.unmap()
    #expect(bench.bounce.statistics.usedSlots == 0)
    let forced = try BounceBench { $0.isForced = true }
    let mapping = try StreamingBuffer(byteCount: 1, for: forced.device)
      .map(ToDevice.self, for: forced.device).get()
    #expect(forced.bounce.statistics.usedSlots == 1)
    _ = mapping.unmap()
  }

  @Test
  func `Copies go in always and come out by direction`() throws {
    let bench = try BounceBench()
    let toDevice = try bench.high(1000).map(ToDevice.self, for: bench.device).get()
    _ = toDevice.unmap()
    #expect(bench.bounce.statistics.bytesIn == 1000 && bench.bounce.statistics.bytesOut == 0)
    let fromDevice = try bench.high(1000).map(FromDevice.self, for: bench.device).get()
    _ = fromDevice.unmap()
    #expect(bench.bounce.statistics.bytesIn == 2000 && bench.bounce.statistics.bytesOut == 1000)
    let both = try bench.high(1000).map(Bidirectional.self, for: bench.device).get()
    _ = both.unmap()
    #expect(bench.bounce.statistics.bytesIn == 3000 && bench.bounce.statistics.bytesOut == 2000)
  }

  @Test
  func `A device that writes in part does not clobber the rest`() throws {
    let bench = try BounceBench()
    let memory = SlotMemory(bench.machine)
    var buffer = try bench.high(5000)
    fill(&buffer) { UInt8(truncatingIfNeeded: $0) }
    let mapping = try buffer.map(FromDevice.self, for: bench.device).get()
    memory[mapping.address.rawValue + 4000] = 0xee
    let back = mapping.unmap()
    let seen = bytes(back)
    #expect(
      seen == (0..<5000).map { $0 == 4000 ? 0xee : UInt8(truncatingIfNeeded: $0) })
  }

  @Test
  func `Any part can be synced, and only that part is copied`() throws {
    let bench = try BounceBench()
    let memory = SlotMemory(bench.machine)
    var mapping = try bench.high(9000).map(Bidirectional.self, for: bench.device).get()
    let address = mapping.address.rawValue
    for offset in [0, 100, 5000, 8999] { memory[address + UInt64(offset)] = 0x77 }
    // Nothing is seen before a sync, and then what it names.
    let part = mapping.withBytesSyncedForCPU(4990..<5010) { span in
      (0..<20).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
    #expect(part == (0..<20).map { $0 == 10 ? 0x77 : 0 })
    #expect(bench.bounce.statistics.bytesOut == 20)
    mapping.withMutableBytesSyncedForCPU(3000..<3001) { span in
      span.storeBytes(of: 0x55, toByteOffset: 0, as: UInt8.self)
    }
    #expect(memory[address + 3000] == 0x55)
    let back = mapping.unmap()
    let seen = bytes(back)
    #expect(seen[0] == 0x77 && seen[100] == 0x77 && seen[8999] == 0x77 && seen[3000] == 0x55)
  }

  @Test
  func `A sync or unmap that does not fit its mapping is refused with the numbers`() throws {
    let bench = try BounceBench()
    let mapping = try bench.high(3000).map(FromDevice.self, for: bench.device).get()
    let address = mapping.address.rawValue
    let traits = MappingTraits(.fromDevice)
    let tooLong = unsafe bench.device.call(\.sync, address + 2048, 953, traits.forCPU)
    let justRight = unsafe bench.device.call(\.sync, address + 2048, 952, traits.forCPU)
    let behind = unsafe bench.device.call(\.sync, address + 3000, 1, traits.forCPU)
    let wrongSize = unsafe bench.device.call(\.unmap, address, 2999, traits)
    let inside = unsafe bench.device.call(\.unmap, address + 1, 2999, traits)
    #expect(tooLong == .wrongSize(expected: 952, given: 953))
    #expect(justRight == nil)
    #expect(behind == .notMapped(DMAAddress(rawValue: address + 3000)))
    #expect(wrongSize == .wrongSize(expected: 3000, given: 2999))
    #expect(inside == .notMapped(DMAAddress(rawValue: address + 1)))
    #expect(bench.bounce.statistics.usedSlots == 2)
    _ = mapping.unmap()
    let twice = unsafe bench.device.call(\.unmap, address, 3000, traits)
    #expect(twice == .notMapped(DMAAddress(rawValue: address)))
    #expect(bench.bounce.statistics.usedSlots == 0)
  }

  @Test(arguments: [(0, 262_144), (511, 260_096), (4095, 258_048)])
  func `The longest mapping follows from the alignment kept`(mask: UInt64, most: Int) throws {
    let constraints = try DMAConstraints(minimumAlignmentMask: mask)
    let bench = try BounceBench(constraints: constraints)
    #expect(bench.device.maxMappingSize == most)
    let mapping = try bench.high(most).map(ToDevice.self, for: bench.device).get()
    _ = mapping.unmap()
    switch try bench.high(most + 1).map(ToDevice.self, for: bench.device) {
    case .mapped: Issue.record("mapped more than a set of slots")
    case .failed(_, let error): #expect(error == .tooLarge(byteCount: most + 1, limit: most))
    }
  }

  @Test
  func `Copies keep the address bits asked for, and pages start at pages`() throws {
    var random = SeededGenerator()
    for mask: UInt64 in [0, 511, 4095] {
      let constraints = try DMAConstraints(minimumAlignmentMask: mask)
      let bench = try BounceBench(constraints: constraints)
      for _ in 0..<100 {
        let start = Int.random(in: 0..<5000, using: &random)
        let count = Int.random(in: 1...9000, using: &random)
        let mapping = try bench.high(14000).map(
          ToDevice.self, bytes: start..<(start + count), for: bench.device
        ).get()
        let address = mapping.address.rawValue
        #expect(address & mask == UInt64(start) & mask)
        if mask == 0 && count >= 4096 { #expect(address % 4096 == 0) }
        #expect(address >> 18 == (address + UInt64(count - 1)) >> 18)
        _ = mapping.unmap()
      }
      #expect(bench.bounce.statistics.usedSlots == 0)
    }
  }

  @Test
  func `No copy crosses the device's segment boundary`() throws {
    let constraints = try DMAConstraints(segmentBoundaryMask: 0xfff)
    let bench = try BounceBench(constraints: constraints)
    #expect(bench.device.maxMappingSize == 4096)
    var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 64)
    for _ in 0..<64 {
      let mapping = try bench.high(2500).map(FromDevice.self, for: bench.device).get()
      let address = mapping.address.rawValue
      #expect(address >> 12 == (address + 2499) >> 12)
      _ = held.start(mapping)
    }
    unmapAll(&held)
    #expect(bench.bounce.statistics.usedSlots == 0)
  }

  @Test
  func `A full pool says how full, and the high-water mark stays`() throws {
    let bench = try BounceBench { $0.slotCount = 128 }
    var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 128)
    for _ in 0..<127 {
      _ = held.start(try bench.high(2048).map(FromDevice.self, for: bench.device).get())
    }
    switch try bench.high(4096).map(FromDevice.self, for: bench.device) {
    case .mapped: Issue.record("mapped two slots where one is free")
    case .failed(_, let error):
      #expect(error == .bouncePoolFull(byteCount: 4096, totalSlots: 128, usedSlots: 127))
      #expect(error.isTransient)
    }
    unmapAll(&held)
    let statistics = bench.bounce.statistics
    #expect(statistics.usedSlots == 0 && statistics.highWaterSlots == 127)
    bench.bounce.resetHighWater()
    #expect(bench.bounce.statistics.highWaterSlots == 0)
    let again = try bench.high(262_144).map(FromDevice.self, for: bench.device).get()
    _ = again.unmap()
    #expect(bench.bounce.statistics.highWaterSlots == 128)
  }

  @Test
  func `A pool that may grow does, up to its limit`() throws {
    let bench = try BounceBench {
      $0.slotCount = 128
      $0.slotCountMax = 128 + 2048
    }
    var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 64)
    for _ in 0..<17 {
      _ = held.start(try bench.high(262_144).map(FromDevice.self, for: bench.device).get())
    }
    #expect(bench.bounce.statistics.totalSlots == 128 + 2048)
    switch try bench.high(1).map(FromDevice.self, for: bench.device) {
    case .mapped: Issue.record("mapped beyond the limit")
    case .failed(_, let error):
      #expect(error == .bouncePoolFull(byteCount: 1, totalSlots: 2176, usedSlots: 2176))
    }
    unmapAll(&held)
    #expect(bench.bounce.statistics.usedSlots == 0)
  }

  @Test
  func `A slot out of the device's reach is refused`() throws {
    let bench = try BounceBench()
    try bench.device.setMask(.bits32)
    #expect(!bench.device.supports(.bits24))
    #expect(bench.device.supports(.bits32))
  }

  @Test
  func `Coherent memory is never copied`() throws {
    let bench = try BounceBench { $0.isForced = true }
    let ring = try CoherentBuffer<UInt64>(count: 512, for: bench.device)
    let memory = SlotMemory(bench.machine)
    ring[0] = 0x11
    let address = ring.address.rawValue
    #expect(memory[address] == 0x11)
    memory[address] = 0x22
    let seen = ring[0]
    #expect(seen == 0x22)
    #expect(bench.bounce.statistics.usedSlots == 0 && bench.bounce.statistics.bytesIn == 0)
  }

  @Test
  func `A list is bounced entry by entry, all or nothing`() throws {
    let bench = try BounceBench { $0.slotCount = 128 }
    let memory = SlotMemory(bench.machine)
    let pages = RawPages(bench.machine.platform, byteCount: 1 << 20, high: true)
    var fits = (0..<8).map { pages.entry($0 * 10000, 5000) }
    for offset in 0..<100_000 { pages[offset] = UInt8(truncatingIfNeeded: offset &* 3) }
    unsafe fits.withUnsafeMutableBufferPointer { list in
      guard case .success(8) = unsafe bench.device.mapScatter(list, .bidirectional) else {
        Issue.record("eight segments expected")
        return
      }
      for index in 0..<8 {
        let address = unsafe list[index].dmaAddress
        #expect(memory[address + 4999] == UInt8(truncatingIfNeeded: (index * 10000 + 4999) &* 3))
        memory[address] = UInt8(index)
      }
      #expect(
        unsafe bench.device.syncScatter(list, MappingTraits(.bidirectional).forCPU) == .success)
      #expect(pages[30000] == 3)
      #expect(unsafe bench.device.unmapScatter(list, .bidirectional) == .success)
    }
    #expect(bench.bounce.statistics.usedSlots == 0)
    var tooMany = (0..<8).map { pages.entry($0 * 100_000, 50000) }
    unsafe tooMany.withUnsafeMutableBufferPointer { list in
      guard case .failure(let error) = unsafe bench.device.mapScatter(list, .fromDevice) else {
        Issue.record("400000 bytes do not fit into 128 slots")
        return
      }
      // Four entries of 25 slots fit, each at a page: what remains is too short.
      #expect(error == .bouncePoolFull(byteCount: 50000, totalSlots: 128, usedSlots: 100))
      for index in list.indices {
        #expect(unsafe list[index].dmaAddress == .max && list[index].dmaByteCount == 0)
      }
    }
    #expect(bench.bounce.statistics.usedSlots == 0)
  }

  @Test
  func `Threads bounce at once without mixing their bytes`() throws {
    let bench = try BounceBench { $0.areaCount = 4 }
    let shared = SharedBench(machine: bench.machine, device: bench.device)
    let memory = SlotMemory(bench.machine)
    runThreads(4) { thread in
      var random = SeededGenerator(seed: UInt64(thread) + 7)
      for round in 0..<400 {
        let count = Int.random(in: 1...20000, using: &random)
        let value = UInt8(truncatingIfNeeded: thread * 64 + round % 64)
        do throws(DMAError) {
          var buffer = try StreamingBuffer(
            byteCount: count, in: shared.machine.platform, placement: .high)
          fill(&buffer) { _ in value }
          let mapping = try buffer.map(Bidirectional.self, for: shared.device).get()
          let address = mapping.address.rawValue
          if memory[address] != value || memory[address + UInt64(count - 1)] != value {
            Issue.record("somebody else's bytes")
          }
          memory[address] = value &+ 1
          let back = mapping.unmap()
          let first = unsafe back.bytes.unsafeLoad(as: UInt8.self)
          if first != value &+ 1 { Issue.record("somebody else's write") }
        } catch {
          Issue.record("\(error)")
        }
      }
    }
    #expect(bench.bounce.statistics.usedSlots == 0)
  }
}

private struct SharedBench: Sendable {
  let machine: SimulatedMachine
  let device: DMADevice
}

/// RAM by bus address, as a device on a machine without an IOMMU sees it.
struct SlotMemory: Sendable {
  private let base: UInt

  init(_ machine: SimulatedMachine) { base = machine.linearBase }

  subscript(_ address: UInt64) -> UInt8 {
    get { UInt8.volatileLoad(at: base + UInt(address)) }
    nonmutating set { UInt8.volatileStore(newValue, at: base + UInt(address)) }
  }
}

private func bytes(_ buffer: borrowing StreamingBuffer) -> [UInt8] {
  let span = buffer.bytes
  return (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
}
