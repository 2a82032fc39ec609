import DMA
import DMAMapping
import PCI
import SimulatedMachine
import TestSupport
import Testing

@Suite struct CoherentTests {
  static let sizes = [1, 4095, 4096, 4097, 8192, 12288, 65535, 65536, 65537, 1 << 20]

  @Test(arguments: Setup.allCases)
  func `R32 R37 CPU and device see each other's stores without a call`(setup: Setup) throws {
    let bench = try setup.make()
    let mailbox = try CoherentBuffer<UInt32>(count: 2, for: bench.dma)
    for round in 0..<1000 as Range<UInt32> {
      mailbox[0] = round
      let seen = bench.probe.read(mailbox.address.rawValue, byteCount: 4)
      try #require(seen == littleEndian(round))
      try #require(bench.probe.write(mailbox.address(of: 1).rawValue, littleEndian(~round)))
      let answer = mailbox[1]
      try #require(answer == ~round)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R31 coherent memory is held across a million transfers`(setup: Setup) throws {
    let bench = try setup.make()
    let counter = try CoherentBuffer<UInt64>(count: 1, for: bench.dma)
    let address = counter.address
    for round in 0..<1_000_000 as Range<UInt64> { counter[0] = round }
    #expect(counter.address == address)
    #expect(bench.probe.read(address.rawValue, byteCount: 8) == littleEndian(999_999 as UInt64))
  }

  @Test(arguments: Setup.allCases)
  func `R43 R49 a size takes the smallest power of two of pages`(setup: Setup) throws {
    let bench = try setup.make()
    for byteCount in Self.sizes {
      let before = bench.freeByteCount
      do {
        let buffer = try CoherentBuffer<UInt8>(count: byteCount, for: bench.dma)
        let taken = Int(before - bench.freeByteCount)
        #expect(taken == naturalSize(byteCount), "\(byteCount) bytes")
        _ = consume buffer
      }
      #expect(bench.freeByteCount == before)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R44 R54 exhausted memory gives neither address, and comes back`(setup: Setup) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 64 << 20
    let bench = try setup.make(configuration)
    let before = bench.freeByteCount
    var held: [CoherentPage] = []
    var failure: DMAError?
    while failure == nil {
      do throws(DMAError) { held.append(try CoherentPage(bench.dma)) } catch { failure = error }
    }
    // Behind an IOMMU memory may lie anywhere.
    let limit: UInt64 = setup.hasIOMMU ? .max : 0xffff_ffff
    #expect(failure == .outOfMemory(byteCount: 4096, limit: limit))
    #expect(failure?.isTransient == true)
    #expect(held.count == bench.dma.liveCoherentCount)
    held.removeAll()
    #expect(bench.freeByteCount == before && bench.dma.liveCoherentCount == 0)
    _ = try CoherentPage(bench.dma)
  }

  @Test(arguments: Setup.allCases)
  func `R45 T20 no device at all means addresses below 16 MiB`(setup: Setup) throws {
    let bench = try setup.make()
    let legacy = bench.legacyDevice()
    for byteCount in Self.sizes {
      let buffer = try CoherentBuffer<UInt8>(count: byteCount, for: legacy)
      #expect(buffer.address.rawValue + UInt64(byteCount) - 1 <= 0xff_ffff)
    }
  }

  @Test(arguments: [Setup.direct])
  func `R45 T20 without memory below 16 MiB it gets none`(setup: Setup) throws {
    let without = try MaskTests.platform(has24BitZone: false, has32BitZone: true)
    let stranded = DMADevice.legacy(
      platform: without.platform, mapping: setup.directMapping(without.platform))
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: 0xff_ffff)) {
      _ = try CoherentPage(stranded)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R46 T8 allocation works in an interrupt and under a spin lock`(setup: Setup) throws {
    let bench = try setup.make()
    let lock = DMASpinLock()
    let inInterrupt = ExecutionContext.withInterrupt { try? CoherentPage(bench.dma) }
    let underLock = lock.withLock { try? CoherentPage(bench.dma) }
    #expect(inInterrupt != nil && underLock != nil)
  }

  @Test(arguments: [Setup.direct])
  func `R47 the same number means different memory on two buses`(setup: Setup) throws {
    let machine = try SimulatedMachine()
    // Two buses that see memory at different offsets.
    let shift: UInt64 = 16 << 20
    let first = DMADevice(
      name: "bus 0", platform: machine.platform,
      mapping: setup.directMapping(machine.platform))
    let second = DMADevice(
      name: "bus 1", platform: machine.platform,
      mapping: setup.directMapping(machine.platform, offset: shift))
    let here = try first.allocateConsistent(byteCount: 4096, site: CallSite(#fileID, #line))
    let there = try second.allocateConsistent(byteCount: 4096, site: CallSite(#fileID, #line))
    // The second bus reaches memory under other numbers than the first, which stand for something
    // else there.
    let base = machine.linearBase
    #expect(unsafe here.address.rawValue == UInt64(UInt(bitPattern: here.cpuAddress) - base))
    #expect(
      unsafe there.address.rawValue == UInt64(UInt(bitPattern: there.cpuAddress) - base) + shift)
    #expect(throws: DMAError.wrongDevice) {
      try unsafe second.freeConsistent(
        byteCount: 4096, cpuAddress: here.cpuAddress, address: here.address,
        site: CallSite(#fileID, #line))
    }
    #expect(first.liveCoherentCount == 1 && second.liveCoherentCount == 1)
    try unsafe first.freeConsistent(
      byteCount: 4096, cpuAddress: here.cpuAddress, address: here.address,
      site: CallSite(#fileID, #line))
    try unsafe second.freeConsistent(
      byteCount: 4096, cpuAddress: there.cpuAddress, address: there.address,
      site: CallSite(#fileID, #line))
  }

  @Test(arguments: Setup.allCases)
  func `R48 any length in bytes can be had, and all of it is zero`(setup: Setup) throws {
    let bench = try setup.make()
    for byteCount in Self.sizes {
      let buffer = try CoherentBuffer<UInt8>(count: byteCount, for: bench.dma)
      #expect(buffer.byteCount == byteCount)
      for index in 0..<byteCount where buffer[index] != 0 { Issue.record("byte \(index) is set") }
      for index in [0, byteCount / 2, byteCount - 1] { buffer[index] = 0xa5 }
      let last = bench.probe.read(buffer.address(of: byteCount - 1).rawValue, byteCount: 1)
      #expect(last == [0xa5])
    }
    // The pages that come back hold zeroes again (T21).
    let again = try CoherentBuffer<UInt8>(count: 4096, for: bench.dma)
    for index in 0..<4096 { #expect(again[index] == 0) }
  }

  @Test(arguments: Setup.allCases)
  func `R51 T9 both addresses are aligned to the size in pages`(setup: Setup) throws {
    let bench = try setup.make()
    for byteCount in Self.sizes + [3 << 12, 5 << 12, 200_000, 1 << 21] {
      let memory = try bench.dma.allocateConsistent(
        byteCount: byteCount, site: CallSite(#fileID, #line))
      let natural = UInt64(naturalSize(byteCount))
      #expect(memory.address.rawValue % natural == 0)
      unsafe #expect(UInt64(UInt(bitPattern: memory.cpuAddress)) % natural == 0)
      try unsafe bench.dma.freeConsistent(
        byteCount: byteCount, cpuAddress: memory.cpuAddress, address: memory.address,
        site: CallSite(#fileID, #line))
    }
  }

  @Test(arguments: Setup.allCases)
  func `R52 nothing up to 64 KiB crosses a 64 KiB boundary`(setup: Setup) throws {
    let bench = try setup.make()
    var random = SeededGenerator()
    var held: [SizedBuffer] = []
    for _ in 0..<2000 {
      let byteCount = Int.random(in: 1...65536, using: &random)
      let buffer = try SizedBuffer(bench.dma, byteCount)
      #expect(buffer.address >> 16 == (buffer.address + UInt64(byteCount) - 1) >> 16)
      held.append(buffer)
      if held.count > 100 { held.remove(at: Int.random(in: 0..<held.count, using: &random)) }
    }
  }

  @Test(arguments: Setup.allCases)
  func `R53 a wrong device, size, CPU address or handle frees nothing`(setup: Setup) throws {
    let bench = try setup.make()
    let (other, _) = try bench.anotherDevice()
    let site = CallSite(#fileID, #line)
    let memory = try bench.dma.allocateConsistent(byteCount: 5000, site: site)
    let before = bench.freeByteCount
    #expect(throws: DMAError.wrongDevice) {
      try unsafe other.dma.freeConsistent(
        byteCount: 5000, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    }
    #expect(throws: DMAError.wrongSize(expected: 5000, given: 5001)) {
      try unsafe bench.dma.freeConsistent(
        byteCount: 5001, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    }
    #expect(throws: DMAError.wrongCPUAddress) {
      try unsafe bench.dma.freeConsistent(
        byteCount: 5000, cpuAddress: memory.cpuAddress + 1, address: memory.address, site: site)
    }
    let wrong = memory.address.advanced(by: 64)
    #expect(throws: DMAError.notMapped(wrong)) {
      try unsafe bench.dma.freeConsistent(
        byteCount: 5000, cpuAddress: memory.cpuAddress, address: wrong, site: site)
    }
    #expect(bench.freeByteCount == before && bench.dma.liveCoherentCount == 1)
    try unsafe bench.dma.freeConsistent(
      byteCount: 5000, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    // Twice.
    #expect(throws: DMAError.notMapped(memory.address)) {
      try unsafe bench.dma.freeConsistent(
        byteCount: 5000, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    }
    #expect(bench.freeByteCount == before + 8192 && bench.dma.liveCoherentCount == 0)
  }

  @Test(arguments: Setup.allCases)
  func `T10 freeing in an interrupt is refused, a value that ends there is freed later`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let site = CallSite(#fileID, #line)
    let memory = try bench.dma.allocateConsistent(byteCount: 4096, site: site)
    _ = ExecutionContext.withInterrupt {
      #expect(throws: DMAError.forbiddenInInterrupt) {
        try unsafe bench.dma.freeConsistent(
          byteCount: 4096, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
      }
    }
    try unsafe bench.dma.freeConsistent(
      byteCount: 4096, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    var page: CoherentPage? = try CoherentPage(bench.dma)
    #expect(page != nil)
    ExecutionContext.withInterrupt { page = nil }
    #expect(bench.dma.liveCoherentCount == 1)
    let next = try CoherentPage(bench.dma)
    #expect(bench.dma.liveCoherentCount == 1)
    withExtendedLifetime(next) {}
  }

  @Test(arguments: Setup.allCases)
  func `empty, overflowing and enormous requests are typed errors`(setup: Setup) throws {
    let bench = try setup.make()
    func request(_ count: Int) -> DMAError? {
      do throws(DMAError) {
        _ = try CoherentBuffer<UInt64>(count: count, for: bench.dma)
        return nil
      } catch { return error }
    }
    #expect(request(0) == .emptyRequest)
    #expect(request(-1) == .emptyRequest)
    #expect(request(.max) == .sizeOverflow(count: .max, stride: 8))
    #expect(request(.max / 8)?.isTransient == false)
    #expect(bench.dma.liveCoherentCount == 0)
  }

  @Test(arguments: Setup.allCases)
  func `after removal nothing is allocated, and what is there can be freed`(setup: Setup) throws {
    let bench = try setup.make()
    let before = bench.freeByteCount
    let page = try CoherentPage(bench.dma)
    bench.device.remove()
    #expect(throws: DMAError.deviceRemoved) { _ = try CoherentPage(bench.dma) }
    #expect(bench.dma.liveCoherentCount == 1)
    withExtendedLifetime(page) {}
    _ = consume page
    #expect(bench.dma.liveCoherentCount == 0 && bench.freeByteCount == before)
  }

  @Test func `elements are filled before the device knows the address`() throws {
    let bench = try Setup.direct.make()
    let table = try CoherentBuffer<UInt16>(count: 3, for: bench.dma) { elements in
      for index in elements.indices { elements[index] = UInt16(index + 1) }
    }
    #expect(bench.probe.read(table.address.rawValue, byteCount: 6) == [1, 0, 2, 0, 3, 0])
  }

  @Test func `an index outside of the buffer traps`() async {
    await #expect(processExitsWith: .failure) {
      let bench = try Setup.direct.make()
      let buffer = try CoherentBuffer<UInt32>(count: 4, for: bench.dma)
      _ = buffer[4]
    }
  }
}

private func littleEndian<Word: FixedWidthInteger>(_ word: Word) -> [UInt8] {
  (0..<Word.bitWidth / 8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
}

/// 4096 times the smallest power of two that holds the bytes.
private func naturalSize(_ byteCount: Int) -> Int {
  var size = 4096
  while size < byteCount { size *= 2 }
  return size
}

private final class SizedBuffer {
  private let buffer: CoherentBuffer<UInt8>
  var address: UInt64 { buffer.address.rawValue }
  init(_ device: DMADevice, _ byteCount: Int) throws(DMAError) {
    buffer = try CoherentBuffer(count: byteCount, for: device)
  }
}
