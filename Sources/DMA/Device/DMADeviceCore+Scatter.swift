/// Mapping of lists: what the API checks before and after the mapping does its work.
extension DMADeviceCore {
  /// Maps a list, all of it or nothing.
  ///
  /// - Returns: the segments the device is to use, which the first entries then hold.
  /// - Throws: also `DMAError.tooManySegments`, `.segmentAcrossBoundary` and `.tooLarge`, for what
  ///   the device's constraints rule out; the list is as it was.
  static func mapScatter(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, traits: MappingTraits, site: CallSite
  ) throws(DMAError) -> Int {
    // SAFETY: the caller keeps the core; the entries are its own.
    let flags = unsafe core.pointee.flags
    guard flags & Flags.removed == 0 else { throw .deviceRemoved }
    let constraints = unsafe core.pointee.constraints
    guard let list = entries.baseAddress, entries.count > 0 else {
      throw .emptyRequest
    }
    for index in entries.indices {
      let entry = unsafe entries[index]
      guard entry.byteCount > 0 else { throw .emptyRequest }
      guard entry.byteCount <= constraints.segmentByteCountMax else {
        if flags & Flags.observed != 0 {
          unsafe deliverScatter(
            .mapScatter, core, entries, segmentCount: 0, traits, .tooLarge, site)
        }
        throw .tooLarge(byteCount: entry.byteCount, limit: constraints.segmentByteCountMax)
      }
    }
    var numbers = DMAStatusNumbers()
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.mapScatter(
        UnsafeMutableRawPointer(core), list, entries.count, traits.rawValue, pointer)
    }
    var outcome = status
    var segmentCount = 0
    if status == .success {
      segmentCount = Int(truncatingIfNeeded: numbers.first)
      // A mapping makes at least one segment and at most one an entry (R89): what lies behind the
      // entries is nobody's.
      if segmentCount >= 1 && segmentCount <= entries.count {
        outcome = unsafe violation(constraints, entries, segmentCount, &numbers)
      } else {
        numbers = DMAStatusNumbers(numbers.first, UInt64(entries.count))
        outcome = .tooManySegments
      }
      if outcome != .success { unsafe unmapThroughTable(core, entries, traits) }
    }
    if outcome != .success {
      unsafe forget(entries)
      segmentCount = 0
    }
    if flags & Flags.observed != 0 {
      unsafe deliverScatter(
        .mapScatter, core, entries, segmentCount: segmentCount, traits,
        outcome, site)
    }
    guard outcome == .success else { throw DMAError(status: outcome, numbers: numbers) }
    return segmentCount
  }

  /// Ends the mapping of a whole list; its own fields stay (R91, R92).
  static func unmapScatter(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, segmentCount: Int,
    traits: MappingTraits, site: CallSite
  ) {
    // SAFETY: as in mapScatter.
    if unsafe core.pointee.flags & Flags.observed != 0 {
      unsafe deliverScatter(
        .unmapScatter, core, entries, segmentCount: segmentCount, traits, .success, site)
    }
    unsafe unmapThroughTable(core, entries, traits)
    unsafe forget(entries)
  }

  /// Hands a whole list to the CPU or back to the device (R98).
  static func syncScatter(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, segmentCount: Int,
    traits: MappingTraits, site: CallSite
  ) {
    // SAFETY: as in mapScatter.
    let flags = unsafe core.pointee.flags
    if flags & Flags.indirect != 0, let list = entries.baseAddress {
      var numbers = DMAStatusNumbers()
      let status = unsafe numbers.withWords { pointer in
        unsafe core.pointee.operations.pointee.syncScatter(
          UnsafeMutableRawPointer(core), list, entries.count, traits.rawValue, pointer)
      }
      precondition(status == .success, "a lease syncs the list it was made for")
    }
    if flags & Flags.observed != 0 {
      unsafe deliverScatter(
        traits.isForCPU ? .syncScatterForCPU : .syncScatterForDevice, core, entries,
        segmentCount: segmentCount, traits, .success, site)
    }
  }

  /// What the device could not take of a mapped list.
  private static func violation(
    _ constraints: DMAConstraints, _ entries: UnsafeMutableBufferPointer<ScatterEntry>,
    _ segmentCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    if segmentCount > constraints.segmentCountMax {
      numbers = DMAStatusNumbers(UInt64(segmentCount), UInt64(constraints.segmentCountMax))
      return .tooManySegments
    }
    for index in 0..<segmentCount {
      // SAFETY: segments are at most as many as entries.
      let first = unsafe entries[index].dmaAddress
      let byteCount = unsafe entries[index].dmaByteCount
      // Nothing was written there: the mapping counts more segments than it made.
      guard byteCount > 0 else {
        numbers = DMAStatusNumbers(UInt64(segmentCount), UInt64(index))
        return .tooManySegments
      }
      let last = first &+ UInt64(byteCount - 1)
      if (first ^ last) & ~constraints.segmentBoundaryMask != 0 {
        numbers = DMAStatusNumbers(first, last, constraints.segmentBoundaryMask &+ 1)
        return .segmentAcrossBoundary
      }
      if byteCount > constraints.segmentByteCountMax {
        numbers = DMAStatusNumbers(UInt64(byteCount), UInt64(constraints.segmentByteCountMax))
        return .tooLarge
      }
    }
    return .success
  }

  private static func unmapThroughTable(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, _ traits: MappingTraits
  ) {
    guard unsafe core.pointee.flags & Flags.indirect != 0,
      let list = entries.baseAddress
    else { return }
    var numbers = DMAStatusNumbers()
    // SAFETY: as in mapScatter.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.unmapScatter(
        UnsafeMutableRawPointer(core), list, entries.count, traits.rawValue, pointer)
    }
    precondition(status == .success, "a lease ends exactly the mapping it was made for")
  }

  /// Puts the device's fields back as they are while nothing is mapped.
  static func forget(_ entries: UnsafeMutableBufferPointer<ScatterEntry>) {
    for index in entries.indices {
      unsafe entries[index].dmaAddress = .max
      unsafe entries[index].dmaByteCount = 0
    }
  }

  private static func deliverScatter(
    _ kind: DMAEvent.Kind, _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, segmentCount: Int,
    _ traits: MappingTraits, _ status: DMAStatus, _ site: CallSite
  ) {
    var event = DMAEvent(kind, family: .scatter, device: unsafe core.pointee.id)
    event.status = status
    event.direction = traits.direction
    event.attributes = traits.attributes
    event.entryCount = UInt32(clamping: entries.count)
    event.byteCount = unsafe entries.reduce(0) { $0 &+ UInt64($1.byteCount) }
    event.known = [.direction, .attributes, .entryCount, .byteCount]
    event.origin = .callSite(site)
    if status == .success {
      unsafe event.dmaAddress = entries[0].dmaAddress
      event.segmentCount = UInt32(clamping: segmentCount)
      event.known.formUnion([
        .dmaAddress, .segmentCount, .segmentAddresses, .segmentByteCounts,
      ])
      // Which memory a segment is, is only one address when nothing was merged.
      if segmentCount == entries.count { event.known.insert(.segmentPhysicalAddresses) }
    }
    unsafe withUnsafeTemporaryAllocation(
      of: DMAEvent.Segment.self, capacity: max(segmentCount, 1)
    ) { segments in
      for index in 0..<segmentCount {
        // SAFETY: the index is below the capacity and the count of entries.
        unsafe segments.initializeElement(
          at: index,
          to: DMAEvent.Segment(
            dmaAddress: entries[index].dmaAddress,
            physicalAddress: entries[index].physicalAddress,
            byteCount: UInt64(entries[index].dmaByteCount)))
      }
      unsafe event.segments = UnsafeBufferPointer(rebasing: segments[..<segmentCount])
      unsafe deliver(core, event)
    }
  }
}

extension DMADeviceCore {
  /// Maps every entry by itself, all of them or none: each gets one segment.
  static func mapEach(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, traits: MappingTraits, site: CallSite
  ) throws(DMAError) {
    // SAFETY: as in mapScatter.
    let flags = unsafe core.pointee.flags
    guard flags & Flags.removed == 0 else { throw .deviceRemoved }
    guard !entries.isEmpty else { throw .emptyRequest }
    for index in entries.indices {
      let entry = unsafe entries[index]
      do throws(DMAError) {
        guard entry.byteCount > 0 else { throw .emptyRequest }
        unsafe entries[index].dmaAddress = try mapRegion(
          core, cpuAddress: entry.cpuAddress, physicalAddress: entry.physicalAddress,
          byteCount: entry.byteCount, traits: traits, site: site)
        unsafe entries[index].dmaByteCount = entry.byteCount
      } catch {
        let done = unsafe UnsafeMutableBufferPointer(rebasing: entries[..<index])
        unsafe unmapEach(core, done, traits: traits, site: site)
        throw error
      }
    }
  }

  /// Ends what `mapEach` made.
  static func unmapEach(
    _ core: UnsafeMutablePointer<DMADeviceCore>,
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, traits: MappingTraits, site: CallSite
  ) {
    // SAFETY: as in mapScatter.
    if unsafe core.pointee.flags != 0 {
      for index in entries.indices {
        let entry = unsafe entries[index]
        unsafe unmapRegion(
          core, address: entry.dmaAddress, cpuAddress: entry.cpuAddress,
          byteCount: entry.byteCount, traits: traits, site: site)
      }
    }
    unsafe forget(entries)
  }
}

extension DMADevice {
  /// Maps a caller's own list: for the C interface.
  ///
  /// - Returns: how many segments the first entries then hold.
  package func mapScatterRaw(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, _ direction: DMADirection,
    _ site: CallSite
  ) throws(DMAError) -> Int {
    try unsafe DMADeviceCore.mapScatter(
      core, entries, traits: MappingTraits(direction), site: site)
  }

  /// Ends the mapping of a caller's own list, with all entries as mapped (R93).
  package func unmapScatterRaw(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, segmentCount: Int,
    _ direction: DMADirection, _ site: CallSite
  ) {
    unsafe DMADeviceCore.unmapScatter(
      core, entries, segmentCount: segmentCount, traits: MappingTraits(direction), site: site)
  }

  /// Syncs a caller's own list, with all entries as mapped (R98).
  package func syncScatterRaw(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, segmentCount: Int,
    _ direction: DMADirection, forCPU: Bool, _ site: CallSite
  ) {
    let traits = MappingTraits(direction)
    unsafe DMADeviceCore.syncScatter(
      core, entries, segmentCount: segmentCount, traits: forCPU ? traits.forCPU : traits,
      site: site)
  }
}
