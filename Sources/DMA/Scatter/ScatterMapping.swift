/// A list that a device owns: a live mapping together with its memory.
///
/// The way back is `unmap()`. Dropping it instead is a bug: observers hear of it, and mapping and
/// memory stay in quarantine until `DMADevice.declareQuiet()`.
@frozen
@safe
public struct ScatterMapping<Direction: TransferDirection>: ~Copyable {
  @usableFromInline let core: UnsafeMutablePointer<DMADeviceCore>
  @usableFromInline let storage: UnsafeMutablePointer<ScatterStorage>
  /// Whether each entry was mapped by itself.
  @usableFromInline let isEach: Bool
  /// How many segments the device is to use: never more than `entryCount` (R89).
  public let segmentCount: Int

  init(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ storage: UnsafeMutablePointer<ScatterStorage>,
    segmentCount: Int, isEach: Bool
  ) {
    unsafe self.core = core
    unsafe self.storage = storage
    self.segmentCount = segmentCount
    self.isEach = isEach
  }

  @inlinable
  deinit {
    // SAFETY: the core outlives the memory that this value holds.
    unsafe DMADeviceCore.quarantine(
      core, storage, segmentCount: segmentCount, isEach: isEach,
      traits: MappingTraits(Direction.value))
  }

  /// How many entries the list has (nents).
  public var entryCount: Int { unsafe storage.pointee.count }

  /// How many bytes are mapped: the list's, and those of all segments together.
  public var byteCount: Int { unsafe storage.pointee.byteCount }

  /// What goes into the device's registers and descriptors, in the order of the bytes (R88).
  ///
  /// - Parameter index: from 0; one that is not below `segmentCount` traps.
  @inlinable
  public func segment(at index: Int) -> DMASegment {
    precondition(index >= 0 && index < segmentCount, "the mapping has fewer segments")
    // SAFETY: the first `segmentCount` entries hold segments while this value lives.
    let entry = unsafe storage.pointee.entries[index]
    return DMASegment(
      address: DMAAddress(rawValue: entry.dmaAddress), byteCount: entry.dmaByteCount)
  }

  /// Ends the mapping and gives the memory back to the CPU, with what the device wrote (R92, R99).
  ///
  /// It takes no count that could be the wrong one (R93). Call it once the device is done with the
  /// memory. Any context; never waits.
  public consuming func unmap(
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> ScatterBuffer {
    let traits = MappingTraits(Direction.value)
    // SAFETY: as in deinit, which does not run.
    if isEach {
      unsafe DMADeviceCore.unmapEach(
        core, storage.pointee.list, traits: traits, site: CallSite(file, line))
    } else {
      unsafe DMADeviceCore.unmapScatter(
        core, storage.pointee.list, segmentCount: segmentCount, traits: traits,
        site: CallSite(file, line))
    }
    let storage = unsafe self.storage
    discard self
    return unsafe ScatterBuffer(storage)
  }
}

// SAFETY: the value owns its list and memory alone; the core may be used from any thread.
extension ScatterMapping: @unchecked Sendable {}

/// What mapping a list came to.
///
/// A thrown error could not carry the list back.
@frozen
public enum ScatterMapResult<Direction: TransferDirection>: ~Copyable {
  /// The device owns the memory.
  case mapped(ScatterMapping<Direction>)
  /// Nothing was mapped: the list as it was, and why.
  case failed(ScatterBuffer, DMAError)

  /// The mapping, or throws why there is none and frees the list.
  public consuming func get() throws(DMAError) -> ScatterMapping<Direction> {
    switch consume self {
    case .mapped(let mapping): return mapping
    case .failed(let buffer, let error):
      _ = consume buffer
      throw error
    }
  }
}

extension ScatterBuffer {
  /// Hands the whole list to the device (R87), all of it or nothing (T7).
  ///
  /// Entries may be merged into fewer segments, in order (R89), within the device's constraints.
  /// Any context; never waits.
  ///
  /// - Returns: the mapping, or the list and why not: `DMAError.emptyRequest` for an empty list
  ///   (T23), `.tooLarge` for an entry longer than a segment may be, `.tooManySegments`,
  ///   `.segmentAcrossBoundary`, `.outOfReach`, `.deviceRemoved` (a retry cannot help),
  ///   `.outOfAddressSpace`, `.bouncePoolFull` (it can).
  public consuming func map<Direction: TransferDirection>(
    _ direction: Direction.Type, for device: DMADevice, file: StaticString = #fileID,
    line: UInt32 = #line
  ) -> ScatterMapResult<Direction> {
    let core = unsafe device.core
    do throws(DMAError) {
      // SAFETY: the caller's device keeps the core; the list is this value's alone.
      let count = try unsafe DMADeviceCore.mapScatter(
        core, storage.pointee.list, traits: MappingTraits(Direction.value),
        site: CallSite(file, line))
      let storage = unsafe self.storage
      discard self
      return .mapped(
        unsafe ScatterMapping(core, storage, segmentCount: count, isEach: false))
    } catch {
      return .failed(self, error)
    }
  }

  /// Hands every entry to the device as a mapping of its own, in one call, all of them or none.
  ///
  /// For many unrelated buffers, such as the ones of a receive ring: `segments` then has exactly
  /// one segment an entry. Any context; never waits.
  ///
  /// - Returns: the mappings, or the list and why not, as `StreamingBuffer.map` fails.
  public consuming func mapEach<Direction: TransferDirection>(
    _ direction: Direction.Type, for device: DMADevice, file: StaticString = #fileID,
    line: UInt32 = #line
  ) -> ScatterMapResult<Direction> {
    let core = unsafe device.core
    do throws(DMAError) {
      // SAFETY: as above.
      try unsafe DMADeviceCore.mapEach(
        core, storage.pointee.list, traits: MappingTraits(Direction.value),
        site: CallSite(file, line))
      let storage = unsafe self.storage
      discard self
      return .mapped(
        unsafe ScatterMapping(
          core, storage, segmentCount: storage.pointee.count, isEach: true))
    } catch {
      return .failed(self, error)
    }
  }
}
