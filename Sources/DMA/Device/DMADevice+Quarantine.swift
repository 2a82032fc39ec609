/// Memory of mappings that were dropped while live.
///
/// Nobody can unmap them any more, and the device may still be using them: unmapping would break
/// a transfer under way, and freeing would let the device write into somebody else's memory. So
/// mapping and memory stay until the driver says that the device is quiet.
extension DMADeviceCore {
  /// Takes a dropped mapping into quarantine and tells who listens.
  @usableFromInline
  @inline(never)
  static func quarantine(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: UInt64, cpuAddress: UInt,
    byteCount: Int, traits: MappingTraits, memory: BufferMemory
  ) {
    // SAFETY: the books live as long as the core.
    unsafe core.pointee.books.pointee.lock.withLock {
      unsafe core.pointee.books.pointee.quarantine.append(
        DeviceBooks.Quarantined(
          address: address, cpuAddress: cpuAddress, byteCount: byteCount, traits: traits.rawValue,
          memory: memory))
    }
    guard unsafe core.pointee.flags & Flags.observed != 0 else { return }
    var event = DMAEvent(.dropped, family: .single, device: unsafe core.pointee.id)
    event.direction = traits.direction
    event.dmaAddress = address
    event.cpuAddress = UInt64(cpuAddress)
    event.byteCount = UInt64(byteCount)
    event.known = [.direction, .dmaAddress, .cpuAddress, .byteCount]
    unsafe deliver(core, event)
  }
}

extension DMADeviceCore {
  /// Takes a dropped list into quarantine and tells who listens.
  @usableFromInline
  @inline(never)
  static func quarantine(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ storage: UnsafeMutablePointer<ScatterStorage>,
    segmentCount: Int, isEach: Bool, traits: MappingTraits
  ) {
    // SAFETY: the books live as long as the core, the list as long as its quarantine.
    unsafe core.pointee.books.pointee.lock.withLock {
      unsafe core.pointee.books.pointee.quarantinedLists.append(
        DeviceBooks.QuarantinedList(
          storage: storage, segmentCount: segmentCount, isEach: isEach, traits: traits.rawValue))
    }
    guard unsafe core.pointee.flags & Flags.observed != 0 else { return }
    var event = DMAEvent(
      .dropped, family: isEach ? .single : .scatter, device: unsafe core.pointee.id)
    event.direction = traits.direction
    unsafe event.dmaAddress = storage.pointee.entries[0].dmaAddress
    unsafe event.cpuAddress = UInt64(storage.pointee.entries[0].cpuAddress)
    unsafe event.byteCount = UInt64(storage.pointee.byteCount)
    unsafe event.entryCount = UInt32(clamping: storage.pointee.count)
    event.segmentCount = UInt32(clamping: segmentCount)
    event.known = [
      .direction, .dmaAddress, .cpuAddress, .byteCount, .entryCount, .segmentCount,
    ]
    unsafe deliver(core, event)
  }

  /// Ends all lists in quarantine; returns how many there were.
  fileprivate static func releaseLists(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ site: CallSite
  ) -> Int {
    var count = 0
    while let held = unsafe core.pointee.books.pointee.lock.withLock({
      unsafe core.pointee.books.pointee.quarantinedLists.popLast()
    }) {
      // SAFETY: nobody else has the list any more.
      let traits = MappingTraits(rawValue: held.traits)
      if held.isEach {
        unsafe unmapEach(core, held.storage.pointee.list, traits: traits, site: site)
      } else {
        unsafe unmapScatter(
          core, held.storage.pointee.list, segmentCount: held.segmentCount, traits: traits,
          site: site)
      }
      unsafe ScatterStorage.destroy(held.storage)
      count += 1
    }
    return count
  }
}

extension DMADevice {
  /// How many dropped mappings are held back, and their bytes.
  public var quarantined: (mappingCount: Int, byteCount: Int) {
    // SAFETY: the books live as long as the core.
    unsafe core.pointee.books.pointee.lock.withLock {
      let held = unsafe core.pointee.books.pointee.quarantine
      let lists = unsafe core.pointee.books.pointee.quarantinedLists
      return (
        held.count + lists.count,
        held.reduce(0) { $0 + $1.byteCount }
          + lists.reduce(0) { unsafe $0 + $1.storage.pointee.byteCount }
      )
    }
  }

  /// Says that the device no longer touches memory: it was reset, or bus mastering is off.
  ///
  /// Ends all quarantined mappings and frees their memory, and that of pools which ended before
  /// blocks that were allocated by address. O(n) in their number.
  ///
  /// - Returns: how many there were.
  @discardableResult
  public func declareQuiet(file: StaticString = #fileID, line: UInt32 = #line) -> Int {
    let site = CallSite(file, line)
    var count = 0
    while true {
      // SAFETY: the books live as long as the core.
      let next = unsafe core.pointee.books.pointee.lock.withLock {
        unsafe core.pointee.books.pointee.quarantine.popLast()
      }
      guard let held = next else { break }
      unsafe unmapRegion(
        core, address: held.address, cpuAddress: held.cpuAddress, byteCount: held.byteCount,
        traits: MappingTraits(rawValue: held.traits), site: site)
      held.memory.free()
      count += 1
    }
    count += unsafe DMADeviceCore.releaseLists(core, site)
    unsafe DMADeviceCore.releaseDeferred(core)
    unsafe PoolCore.releaseOrphans(of: core)
    unsafe core.pointee.operations.pointee.detach(UnsafeMutableRawPointer(core))
    var event = DMAEvent(.deviceQuiet, family: .none, device: id)
    event.origin = .callSite(site)
    unsafe DMADeviceCore.deliver(core, event)
    return count
  }
}
