@testable import DMA
@testable import DMAMapping

/// Something wrong with a mapping: single functions of the real one's table are replaced.
///
/// A test that passes with a defect it names proves nothing; see BrokenMappingTests.
struct Defect: Sendable {
  private let changeMapping: @Sendable (inout MappingOperations) -> Void
  private let changeUnit: @Sendable (inout IOMMUUnitOperations) -> Void
  /// Devices on different buses get addresses from one space.
  let sharesBuses: Bool

  init(
    sharesBuses: Bool = false,
    unit changeUnit: @escaping @Sendable (inout IOMMUUnitOperations) -> Void = { _ in },
    mapping changeMapping: @escaping @Sendable (inout MappingOperations) -> Void = { _ in }
  ) {
    self.sharesBuses = sharesBuses
    self.changeMapping = changeMapping
    self.changeUnit = changeUnit
  }

  /// A mapping with this defect, which works on the real one's state.
  func breaking(_ mapping: DMAMapping) -> DMAMapping {
    let owner = unsafe TableOwner(mapping.operations.pointee, keeping: mapping.owner)
    unsafe changeMapping(&owner.table[0])
    return unsafe DMAMapping(
      name: "broken", operations: UnsafePointer(owner.table), context: mapping.context,
      owner: owner)
  }

  /// A unit with this defect.
  func breaking(_ unit: IOMMUUnit) -> IOMMUUnit {
    let owner = unsafe TableOwner(unit.operations.pointee, keeping: unit.owner)
    unsafe changeUnit(&owner.table[0])
    return unsafe IOMMUUnit(
      operations: UnsafePointer(owner.table), context: unit.context, owner: owner,
      levels: unit.levels, lastAddress: unit.lastAddress,
      walksCoherently: unit.walksCoherently, cachesAbsentEntries: unit.cachesAbsentEntries,
      reserved: unit.reserved)
  }
}

/// The real functions behind a broken mapping's device.
func real(_ core: UnsafeMutableRawPointer) -> MappingOperations {
  // SAFETY: a broken mapping's table lies right before the real one (TableOwner).
  unsafe core.assumingMemoryBound(to: DMADeviceCore.self).pointee.operations[1]
}

/// Keeps a table to be changed, and behind it the real one.
@safe
private final class TableOwner<Table> {
  let table: UnsafeMutablePointer<Table>
  private let kept: AnyObject?

  init(_ real: Table, keeping kept: AnyObject?) {
    unsafe table = .allocate(capacity: 2)
    unsafe table.initialize(repeating: real, count: 2)
    self.kept = kept
  }

  deinit {
    // SAFETY: two tables were initialized; whoever used them is gone with the last reference.
    unsafe table.deinitialize(count: 2)
    unsafe table.deallocate()
  }
}
