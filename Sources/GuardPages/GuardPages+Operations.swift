internal import DMA

extension GuardPages {
  /// The table of a device's core.
  private static func table(_ core: UnsafeMutableRawPointer) -> UnsafePointer<Table> {
    // SAFETY: only devices of a guarded mapping come here; their operations are a table's start.
    unsafe UnsafeRawPointer(core.assumingMemoryBound(to: DMADeviceCore.self).pointee.operations)
      .assumingMemoryBound(to: Table.self)
  }

  private static func withPages(
    _ core: UnsafeMutableRawPointer, _ body: (inout PageTable) -> Void
  ) {
    let state = unsafe table(core).pointee.state
    unsafe state.pointee.lock.withLock { unsafe body(&state.pointee.pages) }
  }

  /// Lets a mapping's own code work on memory that may be closed, its own or a neighbour's.
  private static func lending(
    _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ byteCount: Int, _ body: () -> Int32
  ) -> Int32 {
    let (address, count) = (UInt64(cpuAddress), UInt64(max(0, byteCount)))
    unsafe withPages(core) { $0.lend(address, count, isBegun: true) }
    let status = body()
    unsafe withPages(core) { $0.lend(address, count, isBegun: false) }
    return status
  }

  private static func give(
    _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ byteCount: Int, _ dmaAddress: UInt64,
    _ traits: UInt32
  ) {
    let piece = GuardedPiece(
      address: UInt64(cpuAddress), byteCount: UInt64(max(0, byteCount)), dmaAddress: dmaAddress,
      core: UInt(bitPattern: core),
      isWritten: MappingTraits(rawValue: traits).direction.deviceWrites)
    unsafe withPages(core) { $0.give(piece) }
  }

  private static func takeBack(
    _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ byteCount: Int, _ traits: UInt32
  ) {
    unsafe withPages(core) {
      $0.takeBack(
        UInt64(cpuAddress), UInt64(max(0, byteCount)), core: UInt(bitPattern: core),
        isWritten: MappingTraits(rawValue: traits).direction.deviceWrites)
    }
  }

  private static func sync(
    _ core: UnsafeMutableRawPointer, _ cpuAddress: UInt, _ byteCount: Int, _ traits: UInt32
  ) {
    let isForCPU = MappingTraits(rawValue: traits).isForCPU
    unsafe withPages(core) {
      $0.sync(UInt64(cpuAddress), UInt64(max(0, byteCount)), isForCPU: isForCPU)
    }
  }

  private static func report(_ core: UnsafeMutableRawPointer) {
    unsafe table(core).pointee.owner._withUnsafeGuaranteedRef { $0.report() }
  }

  private static func forEach(
    _ entries: UnsafeMutableRawPointer, _ count: Int, _ body: (ScatterEntry) -> Void
  ) {
    let list = unsafe entries.assumingMemoryBound(to: ScatterEntry.self)
    // SAFETY: a list of this many entries, as its table's function was given it.
    for index in 0..<count { unsafe body(list[index]) }
  }

  private static func lendingList(
    _ core: UnsafeMutableRawPointer, _ entries: UnsafeMutableRawPointer, _ count: Int,
    _ body: () -> Int32
  ) -> Int32 {
    for isBegun in [true, false] {
      unsafe forEach(entries, count) { entry in
        unsafe withPages(core) {
          $0.lend(UInt64(entry.cpuAddress), UInt64(entry.byteCount), isBegun: isBegun)
        }
      }
      if isBegun, case let status = body(), status != 0 {
        unsafe forEach(entries, count) { entry in
          unsafe withPages(core) {
            $0.lend(UInt64(entry.cpuAddress), UInt64(entry.byteCount), isBegun: false)
          }
        }
        return status
      }
    }
    return 0
  }

  /// The functions around a mapping's own.
  static func operations(around inner: MappingOperations) -> MappingOperations {
    var result = inner
    unsafe result.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lending(core, cpuAddress, byteCount) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.map(
          core, cpuAddress, physicalAddress, byteCount, traits, numbers)
        if status == 0 {
          unsafe GuardPages.give(core, cpuAddress, byteCount, numbers[0], traits)
        }
        return status
      }
    }
    unsafe result.unmap = { core, address, cpuAddress, byteCount, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lending(core, cpuAddress, byteCount) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.unmap(
          core, address, cpuAddress, byteCount, traits, numbers)
        if status == 0 { unsafe GuardPages.takeBack(core, cpuAddress, byteCount, traits) }
        return status
      }
    }
    unsafe result.sync = { core, address, cpuAddress, byteCount, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lending(core, cpuAddress, byteCount) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.sync(
          core, address, cpuAddress, byteCount, traits, numbers)
        if status == 0 { unsafe GuardPages.sync(core, cpuAddress, byteCount, traits) }
        return status
      }
    }
    unsafe result.mapScatter = { core, entries, count, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lendingList(core, entries, count) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.mapScatter(
          core, entries, count, traits, numbers)
        guard status == 0 else { return status }
        // A checker knows a list by its first segment.
        let first = unsafe entries.assumingMemoryBound(to: ScatterEntry.self).pointee.dmaAddress
        unsafe GuardPages.forEach(entries, count) { entry in
          unsafe GuardPages.give(core, entry.cpuAddress, entry.byteCount, first, traits)
        }
        return status
      }
    }
    unsafe result.unmapScatter = { core, entries, count, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lendingList(core, entries, count) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.unmapScatter(
          core, entries, count, traits, numbers)
        guard status == 0 else { return status }
        unsafe GuardPages.forEach(entries, count) { entry in
          unsafe GuardPages.takeBack(core, entry.cpuAddress, entry.byteCount, traits)
        }
        return status
      }
    }
    unsafe result.syncScatter = { core, entries, count, traits, numbers in
      unsafe GuardPages.report(core)
      return unsafe GuardPages.lendingList(core, entries, count) {
        let status = unsafe GuardPages.table(core).pointee.inner.pointee.syncScatter(
          core, entries, count, traits, numbers)
        guard status == 0 else { return status }
        unsafe GuardPages.forEach(entries, count) { entry in
          unsafe GuardPages.sync(core, entry.cpuAddress, entry.byteCount, traits)
        }
        return status
      }
    }
    return result
  }
}
