/// The paths of map, unmap and sync that are not two comparisons: through the table, observed, or
/// refused.
///
/// None of them allocates.
///
/// The ways through the table are functions of the module, not of a type: a static function is
/// entered through another one that drops the type, which costs as much as the checks here.

/// Maps through the table, or refuses with the reason.
@inlinable
@inline(__always)
func mapRegion(
  _ core: UnsafeMutablePointer<DMADeviceCore>, cpuAddress: UInt, physicalAddress: UInt64,
  byteCount: Int, traits: MappingTraits, site: CallSite
) throws(DMAError) -> UInt64 {
  try unsafe mapPacked(
    core, cpuAddress, physicalAddress, byteCount, packed(traits, site), site.file)
}

/// Unmaps through the table, and tells who listens.
@inlinable
@inline(__always)
func unmapRegion(
  _ core: UnsafeMutablePointer<DMADeviceCore>, address: UInt64, cpuAddress: UInt,
  byteCount: Int, traits: MappingTraits, site: CallSite
) {
  unsafe unmapPacked(core, address, cpuAddress, byteCount, packed(traits, site), site.file)
}

/// Traits and line in one word, so that all arguments fit into registers: what goes over the stack
/// is waited for.
@inlinable
@inline(__always)
func packed(_ traits: MappingTraits, _ site: CallSite) -> UInt64 {
  UInt64(traits.rawValue) | UInt64(site.line) &<< 32
}

private func unpackedTraits(_ packed: UInt64) -> MappingTraits {
  MappingTraits(rawValue: UInt32(truncatingIfNeeded: packed))
}

/// - Parameter file: a string that ends with a zero byte, as those of `#fileID` and `__FILE__` do.
private func unpackedSite(_ packed: UInt64, _ file: UnsafePointer<UInt8>?) -> CallSite {
  var byteCount = 0
  if let file = unsafe file {
    while unsafe file[byteCount] != 0 { byteCount += 1 }
  }
  return unsafe CallSite(
    file: file, fileByteCount: byteCount, line: UInt32(truncatingIfNeeded: packed >> 32))
}

@usableFromInline
@inline(never)
func mapPacked(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ physicalAddress: UInt64,
  _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
) throws(DMAError) -> UInt64 {
  if unsafe core.pointee.flags == DMADeviceCore.Flags.indirect {
    var numbers = DMAStatusNumbers()
    // SAFETY: the core is valid while its device is; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.map(
        UnsafeMutableRawPointer(core), cpuAddress, physicalAddress, byteCount,
        UInt32(truncatingIfNeeded: packed), pointer)
    }
    if status == .success { return numbers.first }
    return try DMADeviceCore.refuse(status, numbers)
  }
  if unsafe core.pointee.flags == DMADeviceCore.Flags.observed {
    return try unsafe DMADeviceCore.mapObserved(
      core, cpuAddress, physicalAddress, byteCount, packed, file)
  }
  return try unsafe DMADeviceCore.mapWatched(
    core, cpuAddress, physicalAddress, byteCount, packed, file)
}

@usableFromInline
@inline(never)
func unmapPacked(
  _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
  _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
) {
  guard unsafe core.pointee.flags == DMADeviceCore.Flags.indirect else {
    return unsafe DMADeviceCore.unmapWatched(core, address, cpuAddress, byteCount, packed, file)
  }
  var numbers = DMAStatusNumbers()
  // SAFETY: as above.
  let status = unsafe numbers.withWords { pointer in
    unsafe core.pointee.operations.pointee.unmap(
      UnsafeMutableRawPointer(core), address, cpuAddress, byteCount,
      UInt32(truncatingIfNeeded: packed), pointer)
  }
  precondition(status == .success, "a lease ends exactly the mapping it was made for")
}

extension DMADeviceCore {
  @inline(never)
  fileprivate static func refuse(
    _ status: DMAStatus, _ numbers: DMAStatusNumbers
  ) throws(DMAError) -> UInt64 {
    throw DMAError(status: status, numbers: numbers)
  }

  /// With an observer and nothing else: the direct mapping, checked.
  @inline(never)
  fileprivate static func mapObserved(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ physicalAddress: UInt64,
    _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
  ) throws(DMAError) -> UInt64 {
    // SAFETY: the core is valid while its device is, and holds the owner of the observer's context.
    if let receive = unsafe core.pointee.observerMap,
      let context = unsafe core.pointee.observerContext,
      unsafe physicalAddress &+ UInt64(truncatingIfNeeded: byteCount &- 1)
        <= core.pointee.directLimit
    {
      let address = unsafe physicalAddress &+ core.pointee.directOffset
      if unsafe receive(
        context, address, physicalAddress, UInt64(cpuAddress),
        UInt64(truncatingIfNeeded: byteCount), UInt32(truncatingIfNeeded: packed),
        UInt(bitPattern: file), UInt32(truncatingIfNeeded: packed &>> 32))
      {
        return address
      }
      unsafe deliverMap(
        core, address, cpuAddress, physicalAddress, byteCount, unpackedTraits(packed), .success,
        unpackedSite(packed, file))
      return address
    }
    return try unsafe mapWatched(core, cpuAddress, physicalAddress, byteCount, packed, file)
  }

  /// With an observer, for a device that is gone, or beyond what the direct mapping reaches.
  @inline(never)
  fileprivate static func mapWatched(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ cpuAddress: UInt, _ physicalAddress: UInt64,
    _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
  ) throws(DMAError) -> UInt64 {
    let flags = unsafe core.pointee.flags
    guard flags & Flags.removed == 0 else { throw .deviceRemoved }
    var numbers = DMAStatusNumbers()
    var status = DMAStatus.success
    if flags & Flags.indirect != 0 {
      // SAFETY: the core is valid while its device is; numbers has room for three words.
      status = unsafe numbers.withWords { pointer in
        unsafe core.pointee.operations.pointee.map(
          UnsafeMutableRawPointer(core), cpuAddress, physicalAddress, byteCount,
          UInt32(truncatingIfNeeded: packed), pointer)
      }
    } else {
      unsafe numbers.first = physicalAddress &+ core.pointee.directOffset
      if unsafe physicalAddress &+ UInt64(byteCount - 1) > core.pointee.directLimit {
        status = .outOfReach
        numbers.second = numbers.first &+ UInt64(byteCount - 1)
        unsafe numbers.third = core.pointee.streamingLimit
      }
    }
    if flags & Flags.observed != 0 {
      unsafe tellMap(
        core, numbers.first, cpuAddress, physicalAddress, byteCount, packed, status, file)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    return numbers.first
  }

  /// With an observer, or of a device that is gone.
  @inline(never)
  fileprivate static func unmapWatched(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
  ) {
    let flags = unsafe core.pointee.flags
    if flags & Flags.indirect != 0 {
      var numbers = DMAStatusNumbers()
      // SAFETY: as in mapRegion.
      let status = unsafe numbers.withWords { pointer in
        unsafe core.pointee.operations.pointee.unmap(
          UnsafeMutableRawPointer(core), address, cpuAddress, byteCount,
          UInt32(truncatingIfNeeded: packed), pointer)
      }
      precondition(status == .success, "a lease ends exactly the mapping it was made for")
    }
    if flags & Flags.observed != 0 {
      unsafe tellUnmap(core, address, cpuAddress, byteCount, packed, file)
    }
  }

  /// Tells who listens of a map: the short way where there is one.
  @inline(__always)
  private static func tellMap(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ physicalAddress: UInt64, _ byteCount: Int, _ packed: UInt64, _ status: DMAStatus,
    _ file: UnsafePointer<UInt8>?
  ) {
    // SAFETY: the owner of the context is held by the core.
    if status == .success, let receive = unsafe core.pointee.observerMap,
      let context = unsafe core.pointee.observerContext,
      unsafe receive(
        context, address, physicalAddress, UInt64(cpuAddress),
        UInt64(truncatingIfNeeded: byteCount), UInt32(truncatingIfNeeded: packed),
        UInt(bitPattern: file), UInt32(truncatingIfNeeded: packed &>> 32))
    {
      return
    }
    unsafe deliverMap(
      core, address, cpuAddress, physicalAddress, byteCount, unpackedTraits(packed), status,
      unpackedSite(packed, file))
  }

  @inline(never)
  private static func deliverMap(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ physicalAddress: UInt64, _ byteCount: Int, _ traits: MappingTraits, _ status: DMAStatus,
    _ site: CallSite
  ) {
    var event = unsafe streamingEvent(.map, core, traits, byteCount, site)
    event.status = status
    if status == .success {
      event.dmaAddress = address
      event.known.insert(.dmaAddress)
    }
    event.physicalAddress = physicalAddress
    event.cpuAddress = UInt64(cpuAddress)
    event.known.formUnion([.physicalAddress, .cpuAddress])
    unsafe deliver(core, &event)
  }

  @inline(__always)
  private static func tellUnmap(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ byteCount: Int, _ packed: UInt64, _ file: UnsafePointer<UInt8>?
  ) {
    // SAFETY: as in tellMap.
    if let receive = unsafe core.pointee.observerUnmap,
      let context = unsafe core.pointee.observerContext,
      unsafe receive(
        context, address, UInt64(cpuAddress), UInt64(truncatingIfNeeded: byteCount),
        UInt32(truncatingIfNeeded: packed), UInt(bitPattern: file),
        UInt32(truncatingIfNeeded: packed &>> 32))
    {
      return
    }
    unsafe deliverUnmap(
      core, address, cpuAddress, byteCount, unpackedTraits(packed), unpackedSite(packed, file))
  }

  @inline(never)
  private static func deliverUnmap(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ byteCount: Int, _ traits: MappingTraits, _ site: CallSite
  ) {
    var event = unsafe streamingEvent(.unmap, core, traits, byteCount, site)
    event.dmaAddress = address
    event.cpuAddress = UInt64(cpuAddress)
    event.known.formUnion([.dmaAddress, .cpuAddress])
    unsafe deliver(core, &event)
  }

  /// Hands part of a mapping to the CPU or back to the device.
  @usableFromInline
  @inline(never)
  static func syncIndirect(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: UInt64, cpuAddress: UInt,
    byteCount: Int, traits: MappingTraits, site: CallSite
  ) {
    let flags = unsafe core.pointee.flags
    if flags & Flags.indirect != 0 {
      var numbers = DMAStatusNumbers()
      // SAFETY: as in mapRegion.
      let status = unsafe numbers.withWords { pointer in
        unsafe core.pointee.operations.pointee.sync(
          UnsafeMutableRawPointer(core), address, cpuAddress, byteCount, traits.rawValue, pointer)
      }
      precondition(status == .success, "a lease syncs a part of the mapping it was made for")
    }
    if flags & Flags.observed != 0 {
      var event = unsafe streamingEvent(
        traits.isForCPU ? .syncForCPU : .syncForDevice, core, traits, byteCount, site)
      event.dmaAddress = address
      event.cpuAddress = UInt64(cpuAddress)
      event.known.formUnion([.dmaAddress, .cpuAddress])
      unsafe deliver(core, &event)
    }
  }

  @inline(__always)
  static func streamingEvent(
    _ kind: DMAEvent.Kind, _ core: UnsafeMutablePointer<DMADeviceCore>, _ traits: MappingTraits,
    _ byteCount: Int, _ site: CallSite
  ) -> DMAEvent {
    var event = DMAEvent(kind, family: .single, device: unsafe core.pointee.id)
    event.direction = traits.direction
    event.attributes = traits.attributes
    event.isErrorCheckExpected = traits.isErrorCheckExpected
    event.byteCount = UInt64(max(0, byteCount))
    event.known = [.direction, .attributes, .byteCount]
    event.origin = .callSite(site)
    return event
  }
}
