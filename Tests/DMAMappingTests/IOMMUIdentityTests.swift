import DMA
import DMAMapping
import TestSupport
import Testing

struct IOMMUIdentityTests {
  @Test(arguments: [IOMMUDomain.Invalidation.strict, .deferred()])
  func `pages mapped at their own address are nobody's mapping`(
    _ invalidation: IOMMUDomain.Invalidation
  ) throws {
    let bench = try IOMMUBench(invalidation)
    try bench.domain.mapIdentity(0x1004...0x2003, .fromDevice)
    #expect(bench.walk(0x1000) == 0x1000 | 2)
    #expect(bench.walk(0x2000) == 0x2000 | 2)
    #expect(bench.walk(0x3000) == 0)
    #expect(bench.domain.validEntryCount == 0)
    #expect(bench.probe.write(0x1ffe, [1, 2, 3, 4]))
    #expect(bench.probe.read(0x1ffe, 4) == nil)
    // Reads were not asked for, on either page.
    #expect(bench.faults().map(\.address) == [0x1000, 0x2000])
    // Twice, page 0, and what the unit reserves: nothing changes.
    for taken in [0x1000...0x1fff, 0x2000...0x3fff, 0...0xfff, 0xfee0_0000...0xfee0_0fff]
      as [ClosedRange<UInt64>]
    {
      let byteCount = taken.count
      #expect(
        throws: DMAError.outOfAddressSpace(byteCount: byteCount, limit: taken.upperBound)
      ) { try bench.domain.mapIdentity(taken) }
    }
    #expect(bench.walk(0x3000) == 0)
    let bound = 1 << 39
    #expect(throws: DMAError.outOfBounds(offset: bound, byteCount: 4096, limit: bound)) {
      try bench.domain.mapIdentity(UInt64(bound)...UInt64(bound) + 4095)
    }
    #expect(throws: DMAError.outOfBounds(offset: 4096, byteCount: .max, limit: bound)) {
      try bench.domain.mapIdentity(4096 ... .max)
    }
  }

  @Test func `addresses of live mappings are refused, those of ended ones are not`() throws {
    let bench = try IOMMUBench(.deferred(nanoseconds: .max))
    let mapping = try bench.buffer(4096).map(ToDevice.self, for: bench.device).get()
    let address = mapping.address.rawValue
    let entry = bench.walk(address)
    #expect(throws: DMAError.outOfAddressSpace(byteCount: 4096, limit: address + 4095)) {
      try bench.domain.mapIdentity(address...address + 4095)
    }
    #expect(bench.walk(address) == entry)
    _ = mapping.unmap()
    #expect(bench.domain.waitingRangeCount == 1)
    try bench.domain.mapIdentity(address...address + 4095)
    #expect(bench.walk(address) == address | 3)
    #expect(bench.domain.waitingRangeCount == 0)
    // The allocator does not give it out again.
    let next = try bench.buffer(4096).map(ToDevice.self, for: bench.device).get()
    check(next.address.rawValue != address)
    _ = next.unmap()
  }
}
