internal import DMA

/// The calls of a correct driver: a map that succeeded, and the unmap that fits it in all it says.
///
/// They are what a driver makes millions of, and come as a few words instead of an event. Whatever
/// is unusual about a call is left to the full checks: these here change nothing then.
extension CheckerState {
  /// What the bits of a mapping must be for the short way out.
  private static var plainMask: UInt32 {
    LiveMapping.directionMask | LiveMapping.familyMask | LiveMapping.Flags.rest
      | LiveMapping.Flags.unchecked | LiveMapping.Flags.hashed | LiveMapping.Flags.dropped
      | LiveMapping.Flags.continuation
  }

  /// Whether a length is one that slots hold: at least 1, less than 4 Gi - 1.
  @inline(__always)
  private static func isPlain(_ byteCount: UInt64) -> Bool {
    byteCount &- 1 < UInt64(UInt32.max) - 1
  }

  /// Keeps a mapping about which there is nothing to say.
  ///
  /// - Returns: false, with nothing done, for all others.
  @inline(__always)
  mutating func mappedCorrectly(
    _ device: UnsafeMutablePointer<DeviceState>, _ address: UInt64, _ cpuAddress: UInt64,
    _ byteCount: UInt64, _ traits: UInt32, file: UInt, line: UInt32
  ) -> Bool {
    let last = address &+ (byteCount &- 1)
    // SAFETY: the device's state and its core are valid while it tells of a call.
    guard traits < 3, Self.isPlain(byteCount), last >= address,
      unsafe last <= device.pointee.core.pointee.streamingLimit,
      unsafe !device.pointee.isMaskRefused, unsafe device.pointee.number <= 0xffff
    else { return false }
    let isRead = traits == UInt32(DMADirection.toDevice.rawValue)
    guard let site = unsafe sites.recent(file, line), !(isRead && options.hashesContent) else {
      return false
    }
    let time = unsafe time(device)
    guard LiveSlot.fits(time: time) else { return false }
    let isTracked = !isRead && options.tracksCacheLines
    if isTracked { unsafe live.prefetch(device.pointee.number, address) }
    if isTracked, !addFreeLines(cpuAddress, byteCount) { return false }
    let bits = traits | LiveMapping.singleBits | (isTracked ? LiveMapping.Flags.lines : 0)
    let slot = unsafe LiveSlot(
      address: address, cpuAddress: cpuAddress,
      key: LiveSlot.key(byteCount, device.pointee.number) | UInt64(site.pointee.number),
      state: time &<< 16 | UInt64(bits))
    guard live.insert(slot, byteCount) != nil else {
      if isTracked { removeLines(cpuAddress, byteCount) }
      return false
    }
    unsafe site.pointee.madeCount &+= 1
    unsafe device.pointee.streamingCount &+= 1
    statistics.eventCount &+= 1
    return true
  }

  /// Forgets a mapping that ends as it began.
  ///
  /// - Returns: false, with nothing done, for all others.
  @inline(__always)
  mutating func releasedCorrectly(
    _ device: UnsafeMutablePointer<DeviceState>, _ address: UInt64, _ cpuAddress: UInt64,
    _ byteCount: UInt64, _ traits: UInt32, file: UInt, line: UInt32
  ) -> Bool {
    // SAFETY: the device's state is valid while it tells of a call; what `find` found is valid until
    // the table changes.
    let owner = unsafe device.pointee.number
    // Both at once: a miss of the cache costs more than all else here.
    if traits != UInt32(DMADirection.toDevice.rawValue) { prefetchLines(cpuAddress) }
    guard traits < 3, Self.isPlain(byteCount), let site = unsafe sites.recent(file, line),
      let place = live.find(
        owner, address, cpuAddress, key: LiveSlot.key(byteCount, owner),
        state: UInt64(traits | LiveMapping.singleBits), mask: UInt64(Self.plainMask))
    else { return false }
    let slot = unsafe live.slot(at: place)
    if unsafe slot.pointee.state & UInt64(LiveMapping.Flags.lines) != 0 {
      removeLines(cpuAddress, byteCount)
    }
    unsafe freed.add(slot.pointee, site.pointee.number, device.pointee.time)
    live.remove(at: place)
    unsafe device.pointee.streamingCount &-= 1
    statistics.eventCount &+= 1
    return true
  }
}
