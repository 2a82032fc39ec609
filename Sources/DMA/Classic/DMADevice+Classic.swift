/// Streaming mappings by CPU pointer and handle, as `pci_map_single` and its kin had them (R84,
/// R85, R97): for the C interface.
///
/// What is given back is checked against what was made, in every build. A wrong call is refused
/// with a typed error, frees nothing and changes nothing; observers hear of it.
extension DMADevice {
  /// Maps bytes of DMA-able memory by their CPU address.
  ///
  /// Any context; never waits.
  ///
  /// - Parameter isErrorCheckExpected: whether the caller has to test its result, as in C.
  /// - Throws: `DMAError.emptyRequest`, `.notDMAable` (R10-R13), `.outOfReach`, `.deviceRemoved`
  ///   (a retry cannot help); `.outOfAddressSpace`, `.bouncePoolFull` (it can).
  package func mapSingle(
    cpuAddress: UInt, byteCount: Int, direction: DMADirection,
    isErrorCheckExpected: Bool = false, site: CallSite
  ) throws(DMAError) -> DMAAddress {
    try unsafe DMADeviceCore.mapClassic(
      core, cpuAddress: cpuAddress, byteCount: byteCount,
      traits: MappingTraits(direction, isErrorCheckExpected: isErrorCheckExpected), site: site)
  }

  /// Ends a mapping by its handle.
  ///
  /// Any context; never waits.
  ///
  /// - Throws: `DMAError.notMapped`, `.wrongDevice`, `.wrongFunction`, `.wrongSize`,
  ///   `.wrongDirection`: the mapping is as it was.
  package func unmapSingle(
    _ address: DMAAddress, byteCount: Int, direction: DMADirection, site: CallSite
  ) throws(DMAError) {
    try unsafe DMADeviceCore.unmapClassic(
      core, address: address, byteCount: byteCount, traits: MappingTraits(direction), site: site)
  }

  /// Hands any part of a mapping to the CPU or back to the device.
  ///
  /// - Throws: as `unmapSingle`.
  package func syncSingle(
    _ address: DMAAddress, byteCount: Int, direction: DMADirection, forCPU: Bool, site: CallSite
  ) throws(DMAError) {
    let traits = MappingTraits(direction)
    try unsafe DMADeviceCore.syncClassic(
      core, address: address, byteCount: byteCount, traits: forCPU ? traits.forCPU : traits,
      site: site)
  }

  /// Says that the result of a map call was tested (`dma_mapping_error`).
  package func noteErrorCheck(_ address: DMAAddress, site: CallSite) {
    guard unsafe core.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    var event = DMAEvent(.errorChecked, family: .single, device: id)
    event.dmaAddress = address.rawValue
    event.known = .dmaAddress
    event.origin = .callSite(site)
    unsafe DMADeviceCore.deliver(core, event)
  }

  /// Live mappings made by address.
  package var liveClassicCount: Int {
    // SAFETY: the books live as long as the core.
    unsafe core.pointee.books.pointee.lock.withLock {
      unsafe core.pointee.books.pointee.classic.count
    }
  }
}

extension DMADeviceCore {
  static func mapClassic(
    _ core: UnsafeMutablePointer<DMADeviceCore>, cpuAddress: UInt, byteCount: Int,
    traits: MappingTraits, site: CallSite
  ) throws(DMAError) -> DMAAddress {
    var numbers = DMAStatusNumbers()
    var status = DMAStatus.emptyRequest
    if byteCount > 0 {
      // SAFETY: the platform's own function with its own context; room for three words.
      status = unsafe numbers.withWords { pointer in
        unsafe core.pointee.platform.pointee.operations.resolve(
          core.pointee.platform.pointee.context, cpuAddress, byteCount, pointer)
      }
    }
    guard status == .success else {
      if unsafe core.pointee.flags & Flags.observed != 0 {
        var event = unsafe streamingEvent(.map, core, traits, byteCount, site)
        event.status = status
        event.cpuAddress = UInt64(cpuAddress)
        event.known.insert(.cpuAddress)
        if status == .notDMAable {
          event.memoryKind = MemoryKind(rawValue: UInt8(truncatingIfNeeded: numbers.first))
        }
        unsafe deliver(core, event)
      }
      throw DMAError(status: status, numbers: numbers)
    }
    let address = try unsafe mapRegion(
      core, cpuAddress: cpuAddress, physicalAddress: numbers.first, byteCount: byteCount,
      traits: traits, site: site)
    unsafe core.pointee.books.pointee.lock.withLock {
      _ = unsafe core.pointee.books.pointee.classic.insert(
        ClassicRecord(
          address: address, byteCount: UInt64(byteCount), cpuAddress: cpuAddress,
          traits: traits.rawValue, entryCount: 0))
    }
    return DMAAddress(rawValue: address)
  }

  static func unmapClassic(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: DMAAddress, byteCount: Int,
    traits: MappingTraits, site: CallSite
  ) throws(DMAError) {
    let record: ClassicRecord
    do throws(DMAError) {
      record = try unsafe core.pointee.books.pointee.lock.withLock {
        () throws(DMAError) -> ClassicRecord in
        // SAFETY: the books live as long as the core.
        let books = unsafe core.pointee.books
        guard
          let index = unsafe books.pointee.classicIndex(
            address.rawValue, .single, byteCount: UInt64(truncatingIfNeeded: byteCount),
            direction: traits.direction)
        else { throw unsafe misplaced(core, address, as: .single) }
        let record = unsafe books.pointee.classic[index]
        try check(record, .single, byteCount: byteCount, direction: traits.direction)
        unsafe books.pointee.classic.remove(at: index)
        return record
      }
    } catch {
      unsafe reportRefused(.unmap, core, address, byteCount, traits, site)
      throw error
    }
    unsafe unmapRegion(
      core, address: address.rawValue, cpuAddress: record.cpuAddress, byteCount: byteCount,
      traits: traits, site: site)
  }

  static func syncClassic(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: DMAAddress, byteCount: Int,
    traits: MappingTraits, site: CallSite
  ) throws(DMAError) {
    let cpuAddress: UInt
    do throws(DMAError) {
      cpuAddress = try unsafe core.pointee.books.pointee.lock.withLock {
        () throws(DMAError) -> UInt in
        // SAFETY: the books live as long as the core.
        let books = unsafe core.pointee.books
        guard byteCount > 0 else { throw .emptyRequest }
        // A mapping of the call's direction first: the same bytes may be mapped more than once.
        guard
          let index = unsafe books.pointee.classic.find(
            0, containing: address.rawValue, byteCount: 1,
            where: { $0.family == .single && $0.direction == traits.direction })
            ?? books.pointee.classic.find(0, containing: address.rawValue, byteCount: 1)
        else { throw unsafe misplaced(core, address, as: .single) }
        let record = unsafe books.pointee.classic[index]
        guard record.family == .single else {
          throw .wrongFunction(made: record.family, given: .single)
        }
        let offset = Int(address.rawValue - record.address)
        guard byteCount <= Int(record.byteCount) - offset else {
          throw .outOfBounds(
            offset: offset, byteCount: byteCount, limit: Int(record.byteCount))
        }
        guard record.direction == .bidirectional || record.direction == traits.direction else {
          throw .wrongDirection(expected: record.direction, given: traits.direction)
        }
        return record.cpuAddress + UInt(offset)
      }
    } catch {
      unsafe reportRefused(
        traits.isForCPU ? .syncForCPU : .syncForDevice, core, address, byteCount, traits, site)
      throw error
    }
    unsafe syncIndirect(
      core, address: address.rawValue, cpuAddress: cpuAddress, byteCount: byteCount,
      traits: traits, site: site)
  }

  /// Whether a call gives back what was made.
  static func check(
    _ record: ClassicRecord, _ family: DMAEvent.Family, byteCount: Int, direction: DMADirection
  ) throws(DMAError) {
    guard record.family == family else {
      throw .wrongFunction(made: record.family, given: family)
    }
    guard record.byteCount == UInt64(truncatingIfNeeded: byteCount) else {
      throw .wrongSize(expected: Int(record.byteCount), given: byteCount)
    }
    guard record.direction == direction else {
      throw .wrongDirection(expected: record.direction, given: direction)
    }
  }

  /// Why nothing was found at a handle.
  ///
  /// Called with the lock of the books held.
  static func misplaced(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: DMAAddress,
    as family: DMAEvent.Family
  ) -> DMAError {
    if unsafe core.pointee.books.pointee.coherent[address.rawValue] != nil {
      return .wrongFunction(made: .coherent, given: family)
    }
    var next = unsafe core.pointee.platform.pointee.devices
    while let other = unsafe next {
      // SAFETY: cores are never freed before their platform; another's table is read under its own
      // lock, which is not waited for: its holder may be waiting for this one.
      if unsafe other != core, unsafe other.pointee.books.pointee.lock.tryLock() {
        defer { unsafe other.pointee.books.pointee.lock.unlock() }
        if unsafe other.pointee.books.pointee.classic.find(0, address.rawValue) != nil {
          return .wrongDevice
        }
      }
      unsafe next = other.pointee.next
    }
    return .notMapped(address)
  }

  static func reportRefused(
    _ kind: DMAEvent.Kind, _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: DMAAddress,
    _ byteCount: Int, _ traits: MappingTraits, _ site: CallSite
  ) {
    guard unsafe core.pointee.flags & Flags.observed != 0 else { return }
    var event = unsafe streamingEvent(kind, core, traits, byteCount, site)
    event.status = .refused
    event.dmaAddress = address.rawValue
    event.known.insert(.dmaAddress)
    unsafe deliver(core, event)
  }
}
