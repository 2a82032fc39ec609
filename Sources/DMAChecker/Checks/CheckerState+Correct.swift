internal import DMA

/// The calls of a correct driver: a map that succeeded, and the unmap that fits it in all it says.
///
/// They are what a driver makes millions of, and come as a few words instead of an event. Whatever
/// is unusual about a call is left to the full checks: these here change nothing then.
extension CheckerState {
  /// What the bits of a mapping must be for the short way out.
  private static var plainMask: UInt32 {
    LiveMapping.directionMask | LiveMapping.familyMask | LiveMapping.Flags.unchecked
      | LiveMapping.Flags.hashed | LiveMapping.Flags.dropped | LiveMapping.Flags.continuation
  }

  /// Keeps a mapping about which there is nothing to say.
  ///
  /// - Returns: false, with nothing done, for all others.
  @inline(__always)
  mutating func mappedCorrectly(
    _ device: UnsafeMutablePointer<DeviceState>, _ address: UInt64, physical: UInt64,
    _ cpuAddress: UInt64, _ byteCount: UInt64, _ traits: UInt32, file: UInt, line: UInt32
  ) -> Bool {
    let (last, overflow) = address.addingReportingOverflow(byteCount &- 1)
    // SAFETY: the device's state and its core are valid while it tells of a call.
    guard traits < 3, unsafe !device.pointee.isMaskRefused, byteCount > 0, !overflow,
      unsafe last <= device.pointee.core.pointee.streamingLimit
    else { return false }
    let isRead = traits == UInt32(DMADirection.toDevice.rawValue)
    let site = sites.recentNumber(file, line)
    guard site != 0, !(isRead && options.hashesContent) else { return false }
    let isTracked = !isRead && options.tracksCacheLines
    if isTracked, !addFreeLines(cpuAddress, byteCount) { return false }
    let time = options.recordsTime ? unsafe now(device) : 0
    let record = unsafe LiveMapping(
      address: address, byteCount: byteCount, cpuAddress: cpuAddress, time: time, word: physical,
      owner: device.pointee.number, site: site, entryCount: 0, segments: 0,
      bits: traits | LiveMapping.singleBits | (isTracked ? LiveMapping.Flags.lines : 0))
    guard live.insert(record) else {
      if isTracked { removeLines(cpuAddress, byteCount) }
      return false
    }
    sites.noteMade(site)
    unsafe device.pointee.time = time
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
    let bits = traits | LiveMapping.singleBits
    // SAFETY: the device's state is valid while it tells of a call; what `findEntry` found is valid
    // until the table changes.
    let found = unsafe live.findEntry(device.pointee.number, address) { record in
      unsafe record.pointee.bits & Self.plainMask == bits && record.pointee.byteCount == byteCount
        && record.pointee.cpuAddress == cpuAddress
    }
    guard traits < 3, let (entry, place) = found else { return false }
    let site = sites.recentNumber(file, line)
    guard site != 0 else { return false }
    let record = unsafe live.pointer(place)
    if unsafe record.pointee.bits & LiveMapping.Flags.lines != 0 {
      removeLines(cpuAddress, byteCount)
    }
    unsafe device.pointee.streamingCount &-= 1
    unsafe remember(record, site, device.pointee.time)
    live.remove(at: place, entry: entry)
    statistics.eventCount &+= 1
    return true
  }
}
