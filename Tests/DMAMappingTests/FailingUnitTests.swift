import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

/// A unit that says whether it forgot as a test tells it to.
@safe
final class ToldUnit {
  var forgets = true
  private let operations: UnsafeMutablePointer<IOMMUUnitOperations>

  init() {
    unsafe operations = .allocate(capacity: 1)
    unsafe operations.initialize(
      to: IOMMUUnitOperations(
        beginDomain: { _, _, _, numbers in
          unsafe numbers[0] = 1
          return 0
        },
        endDomain: { _, _ in 0 }, attach: { _, _, _, _ in 0 }, detach: { _, _, _, _ in 0 },
        invalidateRange: { context, _, _, _, _ in unsafe answer(context) },
        invalidateDomain: { context, _ in unsafe answer(context) }))
  }

  deinit { unsafe operations.deallocate() }

  var unit: IOMMUUnit {
    unsafe IOMMUUnit(
      operations: operations, context: Unmanaged.passUnretained(self).toOpaque(), owner: self,
      levels: 3, lastAddress: 0xffff, walksCoherently: true, cachesAbsentEntries: false)
  }
}

private func answer(_ context: UnsafeMutableRawPointer) -> Int32 {
  // SAFETY: the domain holds the unit.
  let unit = unsafe Unmanaged<ToldUnit>.fromOpaque(context).takeUnretainedValue()
  return (unit.forgets ? DMAStatus.success : .machine).rawValue
}

struct FailingUnitTests {
  @Test(arguments: [false, true])
  func `What a unit did not forget is never used again`(isDeferred: Bool) throws {
    let machine = try SimulatedMachine()
    let told = ToldUnit()
    var options = IOMMUDomain.Options()
    if isDeferred { options.invalidation = .deferred() }
    let domain = try IOMMUDomain(platform: machine.platform, unit: told.unit, options: options)
    let device = DMADevice(name: "unlucky", platform: machine.platform, mapping: domain.mapping)
    let first = try StreamingBuffer(byteCount: 4096, for: device).map(ToDevice.self, for: device)
      .get()
    let lost = first.address
    told.forgets = false
    _ = first.unmap()
    domain.flush()
    #expect(domain.abandonedPageCount == 1)
    told.forgets = true
    // Fifteen pages in all, one of them lost: fourteen can be had, and never that one.
    var held = InFlightTable<StreamingMapping<ToDevice>>(capacity: 16)
    for _ in 0..<14 {
      let mapping = try StreamingBuffer(byteCount: 1, for: device).map(ToDevice.self, for: device)
        .get()
      let address = mapping.address
      #expect(address != lost)
      _ = held.start(mapping)
    }
    switch try StreamingBuffer(byteCount: 1, for: device).map(ToDevice.self, for: device) {
    case .mapped: Issue.record("mapped a lost page")
    case .failed(_, let error):
      #expect(error == .outOfAddressSpace(byteCount: 1, limit: 0xffff_ffff))
    }
    for id in 0..<UInt16(16) {
      if let mapping = held.complete(id) { _ = mapping.unmap() }
    }
    // Coherent memory that a device may still reach is nobody else's.
    let ring = try CoherentBuffer<UInt64>(count: 1, for: device)
    told.forgets = false
    let before = machine.freeByteCount
    _ = consume ring
    #expect(machine.freeByteCount == before)
    #expect(domain.abandonedPageCount == 2)
    told.forgets = true
  }
}
