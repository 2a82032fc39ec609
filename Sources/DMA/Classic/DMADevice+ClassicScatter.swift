/// Scatter lists by their entries, as `pci_map_sg` had them (R87-R93, R98): for the C interface.
extension DMADevice {
  /// An entry for bytes of DMA-able memory at a CPU address.
  ///
  /// - Throws: `DMAError.emptyRequest`, `.notDMAable`; a retry cannot help.
  package func scatterEntry(
    cpuAddress: UInt, byteCount: Int
  ) throws(DMAError) -> ScatterEntry {
    guard byteCount > 0 else { throw .emptyRequest }
    var numbers = DMAStatusNumbers()
    let platform = unsafe core.pointee.platform
    // SAFETY: the platform's own function with its own context; room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe platform.pointee.operations.resolve(
        platform.pointee.context, cpuAddress, byteCount, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    return ScatterEntry(
      cpuAddress: cpuAddress, physicalAddress: numbers.first, byteCount: byteCount)
  }

  /// Maps a list; the entries' device fields are set for as many as the result says (R88).
  ///
  /// - Throws: `DMAError.emptyRequest` for no entries (T23) and empty ones, `.tooLarge`,
  ///   `.tooManySegments`, `.segmentAcrossBoundary` for what the device cannot take, else what the
  ///   mapping fails with; every entry is then as it was (T7).
  package func mapScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, direction: DMADirection, site: CallSite
  ) throws(DMAError) -> Int {
    guard let start = entries.baseAddress, entries.count > 0 else { throw .emptyRequest }
    let traits = MappingTraits(direction)
    // SAFETY: the caller's entries.
    let segmentCount = try unsafe DMADeviceCore.mapScatter(
      core, entries, traits: traits, site: site)
    let record = unsafe ClassicRecord(
      address: start.pointee.dmaAddress, byteCount: UInt64(start.pointee.dmaByteCount),
      cpuAddress: UInt(bitPattern: start), traits: traits.rawValue,
      entryCount: UInt32(clamping: entries.count))
    unsafe core.pointee.books.pointee.lock.withLock {
      _ = unsafe core.pointee.books.pointee.classic.insert(record)
    }
    return segmentCount
  }

  /// Ends the mapping of a list; `count` is what it was mapped with, not the segments (R93).
  ///
  /// - Throws: `DMAError.notMapped`, `.wrongDevice`, `.wrongFunction`, `.wrongEntryCount`,
  ///   `.wrongDirection`: the mapping is as it was.
  package func unmapScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, count: Int, direction: DMADirection,
    site: CallSite
  ) throws(DMAError) {
    let traits = MappingTraits(direction)
    let mapped: ClassicRecord
    do throws(DMAError) {
      mapped = try unsafe scatterRecord(entries, count: count, traits, isEnd: true)
    } catch {
      unsafe reportScatter(.unmapScatter, entries, entries.count, count, traits, .refused, site)
      throw error
    }
    unsafe reportScatter(.unmapScatter, entries, entries.count, count, traits, .success, site)
    unsafe callTable(mapped, traits) { unsafe $0.pointee.unmapScatter }
  }

  /// Hands a whole list to the CPU or back to the device (R98).
  ///
  /// - Throws: as `unmapScatter`.
  package func syncScatter(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, count: Int, direction: DMADirection,
    forCPU: Bool, site: CallSite
  ) throws(DMAError) {
    let kind = forCPU ? DMAEvent.Kind.syncScatterForCPU : .syncScatterForDevice
    let traits = forCPU ? MappingTraits(direction).forCPU : MappingTraits(direction)
    let mapped: ClassicRecord
    do throws(DMAError) {
      mapped = try unsafe scatterRecord(entries, count: count, traits, isEnd: false)
    } catch {
      unsafe reportScatter(kind, entries, entries.count, count, traits, .refused, site)
      throw error
    }
    unsafe callTable(mapped, traits) { unsafe $0.pointee.syncScatter }
    unsafe reportScatter(kind, entries, entries.count, count, traits, .success, site)
  }

  private func callTable(
    _ mapped: ClassicRecord, _ traits: MappingTraits,
    _ function: (UnsafePointer<MappingOperations>) -> MappingOperations.MapScatter
  ) {
    guard let entries = unsafe UnsafeMutableRawPointer(bitPattern: mapped.cpuAddress) else {
      return
    }
    var numbers = DMAStatusNumbers()
    // SAFETY: the entries were mapped with this count and are still where they were.
    let status = unsafe numbers.withWords { pointer in
      unsafe function(core.pointee.operations)(
        UnsafeMutableRawPointer(core), entries, Int(mapped.entryCount), traits.rawValue, pointer)
    }
    precondition(status == .success, "a mapping takes back exactly the list it mapped")
  }

  /// The mapping of a list, checked against what a call says about it.
  private func scatterRecord(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, count: Int, _ traits: MappingTraits,
    isEnd: Bool
  ) throws(DMAError) -> ClassicRecord {
    guard let start = entries.baseAddress, entries.count > 0 else { throw .emptyRequest }
    // SAFETY: the caller's entries; the books live as long as the core.
    let address = unsafe start.pointee.dmaAddress
    let byteCount = unsafe UInt64(truncatingIfNeeded: start.pointee.dmaByteCount)
    return try unsafe core.pointee.books.pointee.lock.withLock {
      () throws(DMAError) -> ClassicRecord in
      let books = unsafe core.pointee.books
      guard address != .max,
        let index = unsafe books.pointee.classicIndex(
          address, .scatter, byteCount: byteCount, direction: traits.direction)
      else {
        throw unsafe DMADeviceCore.misplaced(core, DMAAddress(rawValue: address), as: .scatter)
      }
      let record = unsafe books.pointee.classic[index]
      guard record.family == .scatter, record.cpuAddress == UInt(bitPattern: start) else {
        throw .wrongFunction(made: record.family, given: .scatter)
      }
      guard Int(record.entryCount) == count else {
        throw .wrongEntryCount(expected: Int(record.entryCount), given: count)
      }
      let isAllowed =
        record.direction == traits.direction || !isEnd && record.direction == .bidirectional
      guard isAllowed else {
        throw .wrongDirection(expected: record.direction, given: traits.direction)
      }
      if isEnd { unsafe books.pointee.classic.remove(at: index) }
      return record
    }
  }

  private func reportScatter(
    _ kind: DMAEvent.Kind, _ entries: UnsafeMutableBufferPointer<ScatterEntry>,
    _ segmentCount: Int, _ count: Int, _ traits: MappingTraits, _ status: DMAStatus,
    _ site: CallSite
  ) {
    guard unsafe core.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    var segments: [DMAEvent.Segment] = []
    var total: UInt64 = 0
    for index in 0..<entries.count {
      // SAFETY: the index is within the caller's entries.
      let entry = unsafe entries[index]
      total &+= UInt64(truncatingIfNeeded: entry.byteCount)
      guard index < segmentCount, entry.dmaAddress != .max else { continue }
      segments.append(
        DMAEvent.Segment(
          dmaAddress: entry.dmaAddress, physicalAddress: entry.physicalAddress,
          byteCount: UInt64(truncatingIfNeeded: entry.dmaByteCount)))
    }
    var event = DMAEvent(kind, family: .scatter, device: id)
    event.direction = traits.direction
    event.status = status
    event.byteCount = total
    event.entryCount = UInt32(clamping: count)
    event.segmentCount = UInt32(clamping: segments.count)
    event.known = [
      .direction, .byteCount, .entryCount, .segmentCount, .segmentAddresses, .segmentByteCounts,
    ]
    event.origin = .callSite(site)
    if let first = segments.first {
      event.dmaAddress = first.dmaAddress
      event.known.insert(.dmaAddress)
    }
    // SAFETY: the list outlives the delivery.
    unsafe segments.withUnsafeBufferPointer { list in
      unsafe event.segments = list
      unsafe DMADeviceCore.deliver(core, event)
    }
  }
}
