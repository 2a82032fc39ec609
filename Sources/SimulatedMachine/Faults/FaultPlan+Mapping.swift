public import DMA

extension FaultPlan {
  /// A table of functions with the plan and the mapping's own behind it.
  @safe
  private struct Table {
    var operations: MappingOperations
    let inner: UnsafePointer<MappingOperations>
    let plan: Unmanaged<FaultPlan>
  }

  @safe
  private final class TableOwner {
    let table: UnsafeMutablePointer<Table>
    private let mapping: DMAMapping
    private let plan: FaultPlan

    init(_ mapping: DMAMapping, _ plan: FaultPlan) {
      self.mapping = mapping
      self.plan = plan
      unsafe table = .allocate(capacity: 1)
      // SAFETY: freshly allocated for one table; mapping and plan live as long as this object.
      unsafe table.initialize(
        to: Table(
          operations: FaultPlan.operations(around: mapping.operations.pointee),
          inner: mapping.operations, plan: Unmanaged.passUnretained(plan)))
    }

    deinit {
      unsafe table.deinitialize(count: 1)
      unsafe table.deallocate()
    }
  }

  /// A mapping that fails when the plan says so, with the error of one that ran out.
  ///
  /// Every map then goes through the mapping's table, the direct one's too.
  public func failing(_ mapping: DMAMapping) -> DMAMapping {
    let owner = TableOwner(mapping, self)
    // SAFETY: the table's first field is the operations table; the owner keeps it.
    return unsafe DMAMapping(
      name: "failing",
      operations: UnsafeRawPointer(owner.table).assumingMemoryBound(to: MappingOperations.self),
      context: mapping.context, owner: owner)
  }

  private static func table(_ core: UnsafeMutableRawPointer) -> UnsafePointer<Table> {
    // SAFETY: only devices of a failing mapping come here; their operations are a table's start.
    unsafe UnsafeRawPointer(core.assumingMemoryBound(to: DMADeviceCore.self).pointee.operations)
      .assumingMemoryBound(to: Table.self)
  }

  private static func fails(_ core: UnsafeMutableRawPointer, _ point: Point) -> Bool {
    unsafe table(core).pointee.plan._withUnsafeGuaranteedRef { $0.fails(point) }
  }

  private static func operations(around inner: MappingOperations) -> MappingOperations {
    var result = inner
    unsafe result.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      if unsafe FaultPlan.fails(core, .map) {
        unsafe numbers[0] = UInt64(byteCount)
        unsafe numbers[1] = 0
        return DMAStatus.outOfAddressSpace.rawValue
      }
      return unsafe FaultPlan.table(core).pointee.inner.pointee.map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
    }
    unsafe result.mapScatter = { core, entries, count, traits, numbers in
      if unsafe FaultPlan.fails(core, .mapList) {
        unsafe numbers[0] = 0
        unsafe numbers[1] = 0
        return DMAStatus.outOfAddressSpace.rawValue
      }
      return unsafe FaultPlan.table(core).pointee.inner.pointee.mapScatter(
        core, entries, count, traits, numbers)
    }
    unsafe result.allocateCoherent = { core, byteCount, numbers in
      if unsafe FaultPlan.fails(core, .coherent) {
        unsafe numbers[0] = UInt64(byteCount)
        unsafe numbers[1] = 0
        return DMAStatus.outOfMemory.rawValue
      }
      return unsafe FaultPlan.table(core).pointee.inner.pointee.allocateCoherent(
        core, byteCount, numbers)
    }
    return result
  }
}
