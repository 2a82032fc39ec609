internal import DMA

/// The calls of a correct driver: a map that succeeded, and the unmap that fits it in all it says.
///
/// They are what a driver makes millions of. Whatever is unusual about a call is left to the full
/// checks: these here change nothing then.
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
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) -> Bool {
    // SAFETY: event and device are valid while the event is delivered.
    guard unsafe event.pointee.status == .success, unsafe event.pointee.family == .single,
      unsafe !device.pointee.isMaskRefused, let direction = unsafe event.pointee.direction
    else { return false }
    let address = unsafe event.pointee.dmaAddress
    let byteCount = unsafe event.pointee.byteCount
    let cpuAddress = unsafe event.pointee.cpuAddress
    let (last, overflow) = address.addingReportingOverflow(byteCount &- 1)
    guard byteCount > 0, !overflow, unsafe last <= device.pointee.core.pointee.streamingLimit
    else { return false }
    let isRead = direction == .toDevice
    if isRead, options.hashesContent { return false }
    let site = unsafe sites.number(of: event.pointee.origin)
    sites.noteMade(site)
    let time = options.recordsTime ? unsafe now(device) : 0
    unsafe device.pointee.time = time
    unsafe device.pointee.streamingCount &+= 1
    var record = unsafe LiveMapping(
      address: address, byteCount: byteCount, cpuAddress: cpuAddress, time: time,
      word: event.pointee.physicalAddress, owner: device.pointee.number, site: site,
      entryCount: 0, segments: 0,
      bits: UInt32(direction.rawValue) | LiveMapping.singleBits
        | (event.pointee.isErrorCheckExpected ? LiveMapping.Flags.unchecked : 0))
    if !isRead, options.tracksCacheLines { unsafe addLines(&record, event, device) }
    if unsafe !keep(record, device) { removeLines(record) }
    return true
  }

  /// Forgets a mapping that ends as it began.
  ///
  /// - Returns: false, with nothing done, for all others.
  @inline(__always)
  mutating func releasedCorrectly(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) -> Bool {
    // SAFETY: event and device are valid while the event is delivered; what `findEntry` found is
    // valid until the table changes.
    let byteCount = unsafe event.pointee.byteCount
    let cpuAddress = unsafe event.pointee.cpuAddress
    guard unsafe event.pointee.status == .success, unsafe event.pointee.family == .single,
      let direction = unsafe event.pointee.direction
    else { return false }
    let bits = UInt32(direction.rawValue) | LiveMapping.singleBits
    let found = unsafe live.findEntry(device.pointee.number, event.pointee.dmaAddress) { record in
      unsafe record.pointee.bits & Self.plainMask == bits && record.pointee.byteCount == byteCount
        && record.pointee.cpuAddress == cpuAddress
    }
    guard let (entry, place) = found else { return false }
    let site = unsafe sites.number(of: event.pointee.origin)
    let record = unsafe live.pointer(place)
    if unsafe record.pointee.bits & LiveMapping.Flags.lines != 0 {
      removeLines(cpuAddress, byteCount)
    }
    unsafe device.pointee.streamingCount &-= 1
    unsafe remember(record, site, device.pointee.time)
    live.remove(at: place, entry: entry)
    return true
  }
}
