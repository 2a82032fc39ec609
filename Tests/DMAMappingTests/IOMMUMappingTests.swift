import DMA
import DMAMapping
import PCI
import SimulatedMachine
import TestSupport
import Testing

struct IOMMUMappingTests {
  @Test(arguments: [(39, 3, true), (48, 3, true), (48, 4, true), (39, 3, false), (48, 4, false)])
  func `R1 R2 memory above 4 GiB is reached through addresses below`(
    width: Int, levels: Int, usesQueue: Bool
  ) throws {
    let bench = try IOMMUBench(addressWidth: width, levels: levels, usesQueue: usesQueue)
    #expect(bench.domain.tableLevels == levels)
    var buffer = try bench.buffer(10000, .high)
    fill(&buffer) { UInt8(truncatingIfNeeded: $0 * 7) }
    let mapping = try buffer.map(ToDevice.self, for: bench.device).get()
    let address = mapping.address.rawValue
    #expect(address <= 0xffff_ffff)
    let physical = bench.walk(address) & 0x000f_ffff_ffff_f000
    #expect(physical >= 1 << 32 && physical != address)
    let seen = bench.probe.read(address, 10000)
    #expect(seen == (0..<10000).map { UInt8(truncatingIfNeeded: $0 * 7) })
    _ = mapping.unmap()
    #expect(bench.faults().isEmpty)
  }

  @Test
  func `R3 entries exist only for live mappings`() throws {
    let bench = try IOMMUBench()
    #expect(bench.domain.validEntryCount == 0)
    let first = try bench.buffer(3 * 4096).map(FromDevice.self, for: bench.device).get()
    let second = try bench.buffer(1).map(ToDevice.self, for: bench.device).get()
    let ring = try CoherentBuffer<UInt64>(count: 1024, for: bench.device)
    #expect(bench.domain.validEntryCount == 3 + 1 + 2)
    _ = first.unmap()
    #expect(bench.domain.validEntryCount == 1 + 2)
    _ = second.unmap()
    _ = consume ring
    #expect(bench.domain.validEntryCount == 0)
  }

  @Test
  func `R4 an access after unmap is refused and says who, where and how`() throws {
    let bench = try IOMMUBench()
    let mapping = try bench.buffer(4096).map(Bidirectional.self, for: bench.device).get()
    let address = mapping.address.rawValue
    #expect(bench.probe.write(address, [1, 2, 3]))
    let buffer = mapping.unmap()
    let kept = unsafe buffer.bytes.unsafeLoad(as: UInt8.self)
    #expect(kept == 1)
    #expect(!bench.probe.write(address, [9]))
    #expect(bench.probe.read(address, 4) == nil)
    let faults = bench.faults()
    #expect(
      faults == [
        IOMMUFault(requester: bench.requester, address: address, isWrite: true, code: 5),
        IOMMUFault(requester: bench.requester, address: address, isWrite: false, code: 6),
      ])
    #expect(faults.map(\.reason) == [.writeNotPermitted, .readNotPermitted])
    let after = unsafe buffer.bytes.unsafeLoad(as: UInt8.self)
    #expect(after == 1)
    #expect(bench.faults().isEmpty)
  }

  @Test
  func `permissions follow the direction, and coherent memory has both`() throws {
    let bench = try IOMMUBench()
    let out = try bench.buffer(4096).map(ToDevice.self, for: bench.device).get()
    let into = try bench.buffer(4096).map(FromDevice.self, for: bench.device).get()
    let both = try bench.buffer(4096).map(Bidirectional.self, for: bench.device).get()
    let ring = try CoherentBuffer<UInt64>(count: 512, for: bench.device)
    #expect(bench.walk(out.address.rawValue) & 3 == 1)
    #expect(bench.walk(into.address.rawValue) & 3 == 2)
    #expect(bench.walk(both.address.rawValue) & 3 == 3)
    #expect(bench.walk(ring.address.rawValue) & 3 == 3)
    #expect(bench.probe.read(out.address.rawValue, 8) != nil)
    #expect(!bench.probe.write(out.address.rawValue, [1]))
    #expect(bench.probe.write(into.address.rawValue, [1]))
    #expect(bench.probe.read(into.address.rawValue, 8) == nil)
    #expect(bench.probe.write(both.address.rawValue, [1]))
    #expect(bench.probe.read(both.address.rawValue, 1) == [1])
    #expect(bench.faults().map(\.isWrite) == [true, false])
    _ = out.unmap()
    _ = into.unmap()
    _ = both.unmap()
  }

  @Test
  func `exhaustion is a clean error, and an unmap helps`() throws {
    let bench = try IOMMUBench(lastAddress: 0xfffff)
    var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 256)
    let failure = mapUntilRefused(bench, bench.device, &held)
    #expect(failure == .outOfAddressSpace(byteCount: 1, limit: 0xffff_ffff))
    #expect(bench.domain.validEntryCount == 255)
    unmapAll(&held)
    #expect(bench.domain.validEntryCount == 0)
    let again = try bench.buffer(16 * 4096).map(FromDevice.self, for: bench.device).get()
    _ = again.unmap()
    let tooLarge = try bench.buffer(1 << 21)
    switch tooLarge.map(FromDevice.self, for: bench.device) {
    case .mapped: Issue.record("mapped more than there are addresses")
    case .failed(_, let error):
      #expect(error == .outOfAddressSpace(byteCount: 1 << 21, limit: 0xffff_ffff))
    }
  }

  @Test
  func `domains have addresses of their own`() throws {
    let bench = try IOMMUBench(lastAddress: 0xffff)
    var options = IOMMUDomain.Options()
    options.lastAddress = 0xffff
    let other = try IOMMUDomain(
      platform: bench.platform, unit: bench.unit.unit, options: options)
    let prober = Prober()
    let address = try bench.machine.attach(prober)
    try other.attach(requester: UInt16(address.packed))
    let device = DMADevice(name: "other", platform: bench.platform, mapping: other.mapping)
    var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 16)
    #expect(mapUntilRefused(bench, bench.device, &held) != nil)
    let mapping = try bench.buffer(4096).map(FromDevice.self, for: device).get()
    #expect(mapping.address.rawValue == 0xf000)
    #expect(bench.domain.validEntryCount == 15 && other.validEntryCount == 1)
    #expect(bench.domain.id != other.id)
    _ = mapping.unmap()
    unmapAll(&held)
  }

  @Test
  func `Deferred mode leaves a window, and a flush closes it`() throws {
    let bench = try IOMMUBench(.deferred())
    let before = bench.domain.invalidationCounts
    let mapping = try bench.buffer(4096).map(FromDevice.self, for: bench.device).get()
    let address = mapping.address.rawValue
    #expect(bench.probe.write(address, [1]))
    let buffer = mapping.unmap()
    #expect(bench.domain.validEntryCount == 0)
    // The unit still has the translation: the device reaches memory that is the CPU's again.
    #expect(bench.probe.write(address, [7]))
    let stale = unsafe buffer.bytes.unsafeLoad(as: UInt8.self)
    #expect(stale == 7)
    #expect(bench.domain.waitingRangeCount == 1)
    // The address is not given out before the flush.
    let next = try bench.buffer(4096).map(FromDevice.self, for: bench.device).get()
    #expect(next.address.rawValue != address)
    bench.domain.flush()
    #expect(bench.domain.waitingRangeCount == 0)
    #expect(!bench.probe.write(address, [8]))
    #expect(bench.domain.invalidationCounts.domains == before.domains + 1)
    #expect(bench.domain.invalidationCounts.ranges == before.ranges)
    _ = next.unmap()
  }

  @Test
  func `Deferred mode flushes after 10 ms and after 256 unmaps`() throws {
    let bench = try IOMMUBench(.deferred())
    let mapping = try bench.buffer(4096).map(FromDevice.self, for: bench.device).get()
    _ = mapping.unmap()
    bench.domain.flushIfDue()
    #expect(bench.domain.waitingRangeCount == 1)
    let start = bench.platform.nanoseconds
    while bench.platform.nanoseconds - start < 10_000_000 { bench.platform.relax() }
    bench.domain.flushIfDue()
    #expect(bench.domain.waitingRangeCount == 0)
    let before = bench.domain.invalidationCounts.domains
    for _ in 0..<1024 {
      let mapping = try bench.small().map(FromDevice.self, for: bench.device).get()
      _ = mapping.unmap()
    }
    let flushes = bench.domain.invalidationCounts.domains - before
    #expect(flushes >= 3 && flushes <= 5)
    #expect(bench.domain.waitingRangeCount <= 256)
    #expect(bench.domain.invalidationCounts.ranges == 0)
  }

  @Test
  func `Strict mode asks once for each unmap`() throws {
    let bench = try IOMMUBench(.strict)
    let before = bench.domain.invalidationCounts.ranges
    for pages in [1, 2, 3, 16, 100, 600] {
      let mapping = try bench.buffer(pages * 4096).map(ToDevice.self, for: bench.device).get()
      let address = mapping.address.rawValue
      #expect(bench.probe.read(address + UInt64(pages * 4096 - 1), 1) != nil)
      _ = mapping.unmap()
      #expect(bench.probe.read(address, 1) == nil)
      #expect(bench.probe.read(address + UInt64(pages * 4096 - 1), 1) == nil)
      _ = bench.faults()
    }
    #expect(bench.domain.invalidationCounts.ranges - before == 6)
    #expect(bench.domain.invalidationCounts.domains == 0)
  }

  @Test
  func `Tables that one unmap clears are taken back and used again`() throws {
    let bench = try IOMMUBench()
    for round in 0..<3 {
      let mapping = try bench.buffer(16 << 20).map(Bidirectional.self, for: bench.device).get()
      let address = mapping.address.rawValue
      #expect(bench.probe.write(address + 5 << 20, [UInt8(round)]))
      #expect(bench.domain.validEntryCount == 4096)
      _ = mapping.unmap()
      #expect(bench.domain.validEntryCount == 0)
      #expect(!bench.probe.write(address + 5 << 20, [1]))
      _ = bench.faults()
    }
    // Root, one middle table, leaves in use or spare.
    #expect(bench.domain.tablePageCount <= 2 + 1 + 16)
  }

  @Test
  func `Addresses beyond 4 GiB come after those below, with a notice`() throws {
    final class Heard { var kinds: [MappingNotice] = [] }
    let heard = Heard()
    let bench = try IOMMUBench()
    var options = IOMMUDomain.Options()
    options.lastAddress = 0x1_0000_ffff
    options.cachesAddresses = false
    // SAFETY: the domain holds the owner.
    options.notices = unsafe MappingNoticeReceiver(
      receive: { context, notice in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Heard>.fromOpaque(context).takeUnretainedValue().kinds
          .append(notice.assumingMemoryBound(to: MappingNotice.self).pointee)
      }, context: Unmanaged.passUnretained(heard).toOpaque(), owner: heard)
    let domain = try IOMMUDomain(
      platform: bench.platform, unit: bench.unit.unit, options: options)
    domain.reserve(0x2000...0xffff_ffff)
    let device = DMADevice(name: "wide", platform: bench.platform, mapping: domain.mapping)
    try device.setMask(.bits64)
    let low = try bench.buffer(1).map(ToDevice.self, for: device).get()
    #expect(low.address.rawValue == 0x1000)
    #expect(!domain.usesWideAddresses && heard.kinds.isEmpty)
    let high = try bench.buffer(1).map(ToDevice.self, for: device).get()
    #expect(high.address.rawValue == 0x1_0000_f000)
    #expect(domain.usesWideAddresses)
    #expect(heard.kinds.map(\.kind) == [.wideAddresses])
    #expect(heard.kinds.first?.description == "Using 33-bit DMA addresses")
    // The whole domain has switched, also after addresses below came back.
    _ = low.unmap()
    let next = try bench.buffer(1).map(ToDevice.self, for: device).get()
    #expect(next.address.rawValue == 0x1_0000_e000)
    _ = high.unmap()
    _ = next.unmap()
  }

  @Test
  func `A domain gives all its memory back when it ends`() throws {
    let bench = try IOMMUBench()
    let before = bench.machine.freeByteCount
    do {
      let domain = try IOMMUDomain(platform: bench.platform, unit: bench.unit.unit)
      #expect(bench.machine.freeByteCount < before)
      try domain.attach(requester: 0x18)
      try domain.detach(requester: 0x18)
    }
    #expect(bench.machine.freeByteCount == before)
  }
}

extension IOMMUBench {
  func small() throws(DMAError) -> StreamingBuffer {
    try StreamingBuffer(byteCount: 1, in: platform)
  }
}

/// Maps single bytes until that fails, and says why.
func mapUntilRefused(
  _ bench: IOMMUBench, _ device: DMADevice,
  _ held: inout InFlightTable<StreamingMapping<FromDevice>>
) -> DMAError? {
  while true {
    do throws(DMAError) {
      let mapping = try bench.small().map(FromDevice.self, for: device).get()
      _ = held.start(mapping)
    } catch {
      return error
    }
  }
}

func unmapAll(_ held: inout InFlightTable<StreamingMapping<FromDevice>>) {
  for id in 0..<UInt16(held.capacity) {
    if let mapping = held.complete(id) { _ = mapping.unmap() }
  }
}

func fill(_ buffer: inout StreamingBuffer, _ value: (Int) -> UInt8) {
  var bytes = buffer.mutableBytes
  for index in 0..<bytes.byteCount {
    bytes.storeBytes(of: value(index), toByteOffset: index, as: UInt8.self)
  }
}
