/// One piece of coherent memory as its allocation returned it (R44).
@safe
package struct CoherentMemory {
  package let cpuAddress: UnsafeMutableRawPointer
  package let address: DMAAddress
}

extension DMADeviceCore {
  /// The bytes really allocated for a request: the smallest page order that holds it (R49, R51).
  static func allocationSize(for byteCount: Int) -> Int? {
    let pages = (byteCount - 1) / 4096 + 1
    guard pages <= 1 << 48 else { return nil }
    return 4096 * (pages == 1 ? 1 : 1 << (Int.bitWidth - (pages - 1).leadingZeroBitCount))
  }

  /// Allocates coherent memory: never waits, so it may be called anywhere (R46).
  static func allocateCoherent(
    _ core: UnsafeMutablePointer<DMADeviceCore>, byteCount: Int, site: CallSite
  ) throws(DMAError) -> CoherentMemory {
    unsafe releaseDeferred(core)
    guard byteCount > 0 else { throw .emptyRequest }
    guard let allocated = allocationSize(for: byteCount) else {
      throw .tooLarge(byteCount: byteCount, limit: 4096 << 48)
    }
    guard unsafe core.pointee.flags & Flags.removed == 0 else { throw .deviceRemoved }
    var numbers = DMAStatusNumbers()
    // SAFETY: the core is valid while its device is; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.pointee.allocateCoherent(
        UnsafeMutableRawPointer(core), allocated, pointer)
    }
    let isObserved = unsafe core.pointee.flags & Flags.observed != 0
    var event = DMAEvent(.allocate, family: .coherent, device: unsafe core.pointee.id)
    event.byteCount = UInt64(byteCount)
    event.known = .byteCount
    event.status = status
    event.origin = .callSite(site)
    guard status == .success,
      let cpuAddress = unsafe UnsafeMutableRawPointer(
        bitPattern: UInt(truncatingIfNeeded: numbers.second))
    else {
      if isObserved { unsafe deliver(core, event) }
      throw DMAError(status: status, numbers: numbers)
    }
    precondition(
      numbers.first % UInt64(allocated) == 0 && numbers.second % UInt64(allocated) == 0,
      "a mapping aligns coherent memory naturally on both sides (R51)")
    unsafe PlatformCore.retain(core.pointee.platform)
    unsafe core.pointee.books.pointee.lock.withLock {
      _ = unsafe core.pointee.books.pointee.coherent.insert(
        DeviceBooks.Coherent(
          cpuAddress: UInt(truncatingIfNeeded: numbers.second), physicalAddress: numbers.third,
          byteCount: byteCount, allocatedByteCount: allocated),
        for: numbers.first)
    }
    if isObserved {
      event.dmaAddress = numbers.first
      event.cpuAddress = numbers.second
      event.physicalAddress = numbers.third
      event.known = [.byteCount, .dmaAddress, .cpuAddress, .physicalAddress]
      unsafe deliver(core, event)
    }
    return unsafe CoherentMemory(
      cpuAddress: cpuAddress, address: DMAAddress(rawValue: numbers.first))
  }

  /// Frees coherent memory after checking all four of what was given at the start (R53).
  static func freeCoherent(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: DMAAddress, cpuAddress: UInt,
    byteCount: Int, site: CallSite
  ) throws(DMAError) {
    guard ExecutionContext.current != .interrupt else { throw .forbiddenInInterrupt }
    unsafe releaseDeferred(core)
    let record: DeviceBooks.Coherent
    do throws(DMAError) {
      record = try unsafe core.pointee.books.pointee.lock.withLock {
        () throws(DMAError) -> DeviceBooks.Coherent in
        // SAFETY: the books live as long as the core.
        guard let record = unsafe core.pointee.books.pointee.coherent[address.rawValue] else {
          if let index = unsafe core.pointee.books.pointee.classic.find(0, address.rawValue) {
            let made = unsafe core.pointee.books.pointee.classic[index].family
            throw .wrongFunction(made: made, given: .coherent)
          }
          throw unsafe belongsToAnother(core, address) ? .wrongDevice : .notMapped(address)
        }
        guard record.byteCount == byteCount else {
          throw .wrongSize(expected: record.byteCount, given: byteCount)
        }
        guard record.cpuAddress == cpuAddress else { throw .wrongCPUAddress }
        unsafe core.pointee.books.pointee.coherent.remove(address.rawValue)
        return record
      }
    } catch {
      unsafe reportFree(core, address.rawValue, cpuAddress, byteCount, .refused, site)
      throw error
    }
    // Before the memory goes: the address may be somebody else's at once.
    unsafe reportFree(core, address.rawValue, cpuAddress, byteCount, .success, site)
    unsafe finishFree(core, address.rawValue, record)
  }

  private static func reportFree(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ cpuAddress: UInt,
    _ byteCount: Int, _ status: DMAStatus, _ site: CallSite
  ) {
    guard unsafe core.pointee.flags & Flags.observed != 0 else { return }
    var event = DMAEvent(.free, family: .coherent, device: unsafe core.pointee.id)
    event.status = status
    event.byteCount = UInt64(truncatingIfNeeded: byteCount)
    event.dmaAddress = address
    event.cpuAddress = UInt64(cpuAddress)
    event.known = [.byteCount, .dmaAddress, .cpuAddress]
    event.origin = .callSite(site)
    unsafe deliver(core, event)
  }

  /// Frees the memory of a `CoherentBuffer` that ended; in an interrupt only notes it (T10).
  @usableFromInline
  static func endCoherent(
    _ core: UnsafeMutablePointer<DMADeviceCore>, address: UInt64, cpuAddress: UInt,
    byteCount: Int
  ) {
    do throws(DMAError) {
      try unsafe freeCoherent(
        core, address: DMAAddress(rawValue: address), cpuAddress: cpuAddress,
        byteCount: byteCount, site: CallSite(#fileID, #line))
    } catch {
      precondition(
        error == .forbiddenInInterrupt, "a CoherentBuffer owns what it frees")
      unsafe core.pointee.books.pointee.lock.withLock {
        unsafe core.pointee.books.pointee.deferred.append(address)
      }
    }
  }

  /// Frees what ended in interrupts, now that the caller is not in one.
  static func releaseDeferred(_ core: UnsafeMutablePointer<DMADeviceCore>) {
    // SAFETY: the books live as long as the core. An unlocked look may miss one that is being
    // added: the next call frees it.
    guard
      unsafe !core.pointee.books.pointee.deferred.isEmpty
        || !core.pointee.books.pointee.endedPools.isEmpty,
      ExecutionContext.current != .interrupt
    else { return }
    while let pool = unsafe core.pointee.books.pointee.lock.withLock({
      unsafe core.pointee.books.pointee.endedPools.popLast()
    }) {
      unsafe PoolCore.releaseOrphan(pool)
    }
    while true {
      var found: (UInt64, DeviceBooks.Coherent)? = nil
      unsafe core.pointee.books.pointee.lock.withLock {
        guard let address = unsafe core.pointee.books.pointee.deferred.popLast(),
          let record = unsafe core.pointee.books.pointee.coherent.remove(address)
        else { return }
        found = (address, record)
      }
      guard let found else { return }
      unsafe reportFree(
        core, found.0, found.1.cpuAddress, found.1.byteCount, .success, CallSite.none)
      unsafe finishFree(core, found.0, found.1)
    }
  }

  private static func finishFree(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: UInt64, _ record: DeviceBooks.Coherent
  ) {
    let platform = unsafe core.pointee.platform
    // SAFETY: exactly what allocateCoherent returned; removed from the books, so freed once.
    unsafe core.pointee.operations.pointee.freeCoherent(
      UnsafeMutableRawPointer(core), address, record.cpuAddress, record.physicalAddress,
      record.allocatedByteCount)
    unsafe PlatformCore.release(platform)
  }

  private static func belongsToAnother(
    _ core: UnsafeMutablePointer<DMADeviceCore>, _ address: DMAAddress
  ) -> Bool {
    var next = unsafe core.pointee.platform.pointee.devices
    while let other = unsafe next {
      // SAFETY: cores are never freed before their platform. A table being changed by another
      // thread is read under its lock; this core's own is held by the caller, so one that is taken
      // is not waited for: its holder may be waiting for this one.
      if unsafe other != core, unsafe other.pointee.books.pointee.lock.tryLock() {
        defer { unsafe other.pointee.books.pointee.lock.unlock() }
        if unsafe other.pointee.books.pointee.coherent[address.rawValue] != nil { return true }
      }
      unsafe next = other.pointee.next
    }
    return false
  }
}

extension DMADevice {
  /// Allocates coherent memory as `pci_alloc_consistent` did: for the C interface.
  package func allocateConsistent(
    byteCount: Int, site: CallSite
  ) throws(DMAError) -> CoherentMemory {
    try unsafe DMADeviceCore.allocateCoherent(core, byteCount: byteCount, site: site)
  }

  /// Frees coherent memory as `pci_free_consistent` did, all four values checked (R53).
  package func freeConsistent(
    byteCount: Int, cpuAddress: UnsafeMutableRawPointer?, address: DMAAddress, site: CallSite
  ) throws(DMAError) {
    try unsafe DMADeviceCore.freeCoherent(
      core, address: address, cpuAddress: UInt(bitPattern: cpuAddress), byteCount: byteCount,
      site: site)
  }

  /// Pieces of coherent memory that are allocated now.
  public var liveCoherentCount: Int {
    unsafe core.pointee.books.pointee.lock.withLock {
      unsafe core.pointee.books.pointee.coherent.count
    }
  }
}
