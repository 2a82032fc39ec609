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

extension DMADevice {
  /// How many dropped mappings are held back, and their bytes.
  public var quarantined: (mappingCount: Int, byteCount: Int) {
    // SAFETY: the books live as long as the core.
    unsafe core.pointee.books.pointee.lock.withLock {
      let held = unsafe core.pointee.books.pointee.quarantine
      return (held.count, held.reduce(0) { $0 + $1.byteCount })
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
      unsafe DMADeviceCore.unmapIndirect(
        core, address: held.address, cpuAddress: held.cpuAddress, byteCount: held.byteCount,
        traits: MappingTraits(rawValue: held.traits), site: site)
      held.memory.free()
      count += 1
    }
    unsafe DMADeviceCore.releaseDeferred(core)
    unsafe PoolCore.releaseOrphans(of: core)
    var event = DMAEvent(.deviceQuiet, family: .none, device: id)
    event.origin = .callSite(site)
    unsafe DMADeviceCore.deliver(core, event)
    return count
  }
}
