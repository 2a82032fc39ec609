import DMA

/// Scatter lists and raw calls through a device's operations table.
extension DMADevice {
  /// Maps a list as the core does; the count of segments, or why not.
  func mapScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, _ direction: DMADirection
  ) -> Result<Int, DMAError> {
    var numbers = DMAStatusNumbers()
    let core = unsafe unsafeCore
    guard let list = entries.baseAddress else { return .failure(.emptyRequest) }
    // SAFETY: the list has as many entries as are said.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.mapScatter(
        UnsafeMutableRawPointer(core), UnsafeMutableRawPointer(list), entries.count,
        MappingTraits(direction).rawValue, pointer)
    }
    guard status == .success else {
      return .failure(DMAError(status: status, numbers: numbers))
    }
    return .success(Int(numbers.first))
  }

  func unmapScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, _ direction: DMADirection
  ) -> DMAStatus {
    var numbers = DMAStatusNumbers()
    let core = unsafe unsafeCore
    guard let list = entries.baseAddress else { return .emptyRequest }
    // SAFETY: as above.
    return unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.unmapScatter(
        UnsafeMutableRawPointer(core), UnsafeMutableRawPointer(list), entries.count,
        MappingTraits(direction).rawValue, pointer)
    }
  }

  func syncScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, _ traits: MappingTraits
  ) -> DMAStatus {
    var numbers = DMAStatusNumbers()
    let core = unsafe unsafeCore
    guard let list = entries.baseAddress else { return .emptyRequest }
    // SAFETY: as above.
    return unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.syncScatter(
        UnsafeMutableRawPointer(core), UnsafeMutableRawPointer(list), entries.count,
        traits.rawValue, pointer)
    }
  }

  /// A raw call of the table's `unmap` or `sync`.
  func call(
    _ function: WritableKeyPath<MappingOperations, MappingOperations.Unmap>, _ address: UInt64,
    _ byteCount: Int, _ traits: MappingTraits
  ) -> DMAError? {
    var numbers = DMAStatusNumbers()
    let core = unsafe unsafeCore
    let operations = unsafe core.pointee.operations.pointee
    // SAFETY: the table's functions with the device's own core.
    let status = unsafe numbers.withWords { pointer in
      unsafe operations[keyPath: function](
        UnsafeMutableRawPointer(core), address, 0, byteCount, traits.rawValue, pointer)
    }
    return status == .success ? nil : DMAError(status: status, numbers: numbers)
  }
}

/// Pages of a machine, for scatter lists that need physical addresses.
final class RawPages {
  let cpuAddress: UInt
  let physicalAddress: UInt64
  private let byteCount: Int
  private let platform: Platform

  init(_ platform: Platform, byteCount: Int, high: Bool = false) {
    var numbers = DMAStatusNumbers()
    let core = unsafe platform.unsafeCore
    let options: PageOptions = high ? .high : []
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.allocatePages(
        core.pointee.context, byteCount, 4096, .max, options.rawValue, pointer)
    }
    precondition(status == .success, "the machine has memory")
    cpuAddress = UInt(numbers.first)
    physicalAddress = numbers.second
    self.byteCount = byteCount
    self.platform = platform
  }

  deinit {
    let core = unsafe platform.unsafeCore
    unsafe core.pointee.operations.freePages(
      core.pointee.context, cpuAddress, physicalAddress, byteCount, 0)
  }

  /// An entry of some of the bytes.
  func entry(_ offset: Int, _ byteCount: Int) -> ScatterEntry {
    ScatterEntry(
      cpuAddress: cpuAddress + UInt(offset), physicalAddress: physicalAddress + UInt64(offset),
      byteCount: byteCount)
  }

  subscript(_ offset: Int) -> UInt8 {
    get { UInt8.volatileLoad(at: cpuAddress + UInt(offset)) }
    set { UInt8.volatileStore(newValue, at: cpuAddress + UInt(offset)) }
  }
}
