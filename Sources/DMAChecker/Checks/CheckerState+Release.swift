internal import DMA

/// Unmaps and frees.
extension CheckerState {
  /// Of the live mappings that start at the event's address, the one it fits best.
  func bestMatch(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) -> Int? {
    // SAFETY: event and device are valid while the event is delivered.
    var next = unsafe live.find(device.pointee.number, event.pointee.dmaAddress)
    guard let first = next else { return nil }
    var best: Int?
    var bestScore = -1
    next = first
    while let index = next {
      let mapping = live[index]
      if !mapping.has(LiveMapping.Flags.continuation) {
        let score = unsafe score(mapping, event)
        // All four fit, as they do for a correct call: no need to look for another.
        if score == 15 { return index }
        if score > bestScore {
          best = index
          bestScore = score
        }
      }
      next = live.find(after: index)
    }
    return best
  }

  private func score(_ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>) -> Int {
    var score = 0
    unsafe score += mapping.family == event.pointee.family ? 8 : 0
    unsafe score += mapping.byteCount == event.pointee.byteCount ? 4 : 0
    unsafe score += mapping.direction == event.pointee.direction ? 2 : 0
    unsafe score += mapping.cpuAddress == event.pointee.cpuAddress ? 1 : 0
    return score
  }

  mutating func released(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard let index = unsafe bestMatch(event, device) else {
      unsafe releasedNothing(event, device)
      return
    }
    let mapping = live[index]
    // Memory may be mapped where it was allocated: a second unmap then meets the allocation.
    if unsafe mapping.family != event.pointee.family {
      let (owner, address) = unsafe (device.pointee.number, event.pointee.dmaAddress)
      let family = unsafe event.pointee.family
      if let last = lastFreed(owner, where: { $0.address == address && $0.family == family }) {
        unsafe report(.doubleRelease, device, event, lastFreed: last)
        return
      }
    }
    let wasRight = unsafe judge(mapping, event, device)
    guard unsafe event.pointee.status == .success else { return }
    if wasRight, mapping.has(LiveMapping.Flags.unchecked) {
      unsafe report(.errorNotChecked, device, event, mapping)
    }
    if mapping.has(LiveMapping.Flags.hashed) { unsafe checkContent(mapping, event, device) }
    removeLines(mapping)
    if mapping.isStreaming { unsafe device.pointee.streamingCount -= 1 }
    let site = unsafe sites.number(of: event.pointee.origin)
    unsafe remember(mapping, site, device.pointee.time)
    live.remove(at: index)
  }

  /// Compares a release with what it releases; one finding at most.
  private mutating func judge(
    _ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) -> Bool {
    let family = unsafe event.pointee.family
    let byteCount = unsafe event.pointee.byteCount
    if mapping.family != family {
      unsafe report(
        .wrongFunction, device, event, mapping, expected: .family(mapping.family),
        seen: .family(family))
    } else if mapping.byteCount != byteCount {
      unsafe report(
        .sizeDiffers, device, event, mapping, expected: .bytes(mapping.byteCount),
        seen: .bytes(byteCount))
    } else if let made = mapping.direction, let given = unsafe event.pointee.direction,
      made != given
    {
      unsafe report(
        .directionDiffers, device, event, mapping, expected: .direction(made),
        seen: .direction(given))
    } else if family == .coherent, unsafe event.pointee.known.contains(.cpuAddress),
      unsafe mapping.cpuAddress != event.pointee.cpuAddress
    {
      unsafe report(
        .cpuAddressDiffers, device, event, mapping, expected: .cpuAddress(mapping.cpuAddress),
        seen: .cpuAddress(event.pointee.cpuAddress))
    } else {
      return true
    }
    return false
  }

  /// A release that names no live mapping of its device.
  mutating func releasedNothing(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let address = unsafe event.pointee.dmaAddress
    guard unsafe event.pointee.known.contains(.dmaAddress), address != .max else {
      unsafe report(.releaseOfFailedMapping, device, event)
      return
    }
    let owner = unsafe device.pointee.number
    for other in devices where unsafe other.state.pointee.number != owner {
      // SAFETY: devices live as long as the checker.
      guard let index = unsafe live.find(other.state.pointee.number, address) else { continue }
      let family = unsafe event.pointee.family
      // The same number may be mapped for several devices; what this one released may be its own.
      guard live[index].family == family else { continue }
      if lastFreed(owner, where: { $0.address == address }) != nil { break }
      unsafe report(
        .releaseForWrongDevice, device, event, live[index], otherDevice: other.state.pointee.name)
      return
    }
    // What was not remembered cannot be told from what never was.
    if unsafe device.pointee.isIncomplete {
      unknown()
      return
    }
    if let last = lastFreed(owner, where: { $0.address == address }) {
      unsafe report(.doubleRelease, device, event, lastFreed: last)
      return
    }
    let around = live.find(owner, containing: address, byteCount: 1)
    unsafe report(.releaseOfUnknown, device, event, around.map { live[$0] })
  }
}
