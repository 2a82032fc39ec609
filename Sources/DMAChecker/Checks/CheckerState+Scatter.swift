internal import DMA

/// Scatter lists: the first segment's record stands for the list, the others are kept beside it so
/// that devices' accesses find them.
extension CheckerState {
  mutating func mappedScatter(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // SAFETY: event, its segments and device are valid while the event is delivered.
    guard unsafe event.pointee.status == .success else {
      unsafe refusedList(event, device)
      return
    }
    guard let first = unsafe event.pointee.segments.first else { return }
    let site = unsafe sites.number(of: event.pointee.origin)
    sites.noteMade(site)
    if unsafe device.pointee.isMaskRefused { unsafe report(.refusedMaskUsed, device, event) }
    let time = unsafe time(device)
    var record = unsafe LiveMapping(
      address: first.dmaAddress, byteCount: first.byteCount, cpuAddress: 0, time: time, word: 0,
      owner: device.pointee.number, site: site, entryCount: event.pointee.entryCount, segments: 0,
      bits: LiveMapping.bits(event.pointee.direction, .scatter))
    unsafe checkSegments(record, event, device)
    var addresses: [UInt64] = []
    for index in unsafe 1..<event.pointee.segments.count {
      let segment = unsafe event.pointee.segments[index]
      var part = record
      part.address = segment.dmaAddress
      part.byteCount = segment.byteCount
      part.bits |= LiveMapping.Flags.continuation
      unsafe keep(part, device)
      addresses.append(segment.dmaAddress)
    }
    record.segments = keepSegments(addresses)
    unsafe device.pointee.streamingCount += 1
    unsafe keep(record, device)
  }

  /// A list that the device cannot take: the call was refused, as the kernel only warns.
  private mutating func refusedList(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let constraints = unsafe device.pointee.core.pointee.constraints
    switch unsafe event.pointee.status {
    case .tooLarge:
      unsafe report(
        .segmentTooLong, device, event, expected: .bytes(UInt64(constraints.segmentByteCountMax)))
    case .segmentAcrossBoundary:
      unsafe report(
        .segmentAcrossBoundary, device, event, expected: .address(constraints.segmentBoundaryMask))
    default: break  // The machine is short of something, or the device is gone.
    }
  }

  private mutating func keepSegments(_ addresses: [UInt64]) -> UInt32 {
    if addresses.isEmpty { return 0 }
    if let place = freeSegments.popLast() {
      segments[Int(place - 1)] = addresses
      return place
    }
    segments.append(addresses)
    return UInt32(segments.count)
  }

  private mutating func checkSegments(
    _ record: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let constraints = unsafe device.pointee.core.pointee.constraints
    let limit = unsafe device.pointee.core.pointee.streamingLimit
    for index in unsafe 0..<event.pointee.segments.count {
      let segment = unsafe event.pointee.segments[index]
      guard segment.byteCount > 0 else { continue }
      let last = segment.dmaAddress &+ (segment.byteCount - 1)
      if segment.byteCount > UInt64(constraints.segmentByteCountMax) {
        unsafe report(
          .segmentTooLong, device, event,
          expected: .bytes(UInt64(constraints.segmentByteCountMax)),
          seen: .bytes(segment.byteCount))
      }
      if (segment.dmaAddress ^ last) & ~constraints.segmentBoundaryMask != 0 {
        unsafe report(
          .segmentAcrossBoundary, device, event,
          expected: .address(segment.dmaAddress | constraints.segmentBoundaryMask),
          seen: .address(last))
      }
      if last > limit || last < segment.dmaAddress {
        unsafe report(.beyondMask, device, event, expected: .address(limit), seen: .address(last))
      }
    }
  }

  mutating func releasedScatter(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard let index = unsafe bestMatch(event, device) else {
      unsafe releasedNothing(event, device)
      return
    }
    let mapping = live[index]
    unsafe judgeList(mapping, .entryCountDiffers, event, device)
    guard unsafe event.pointee.status == .success else { return }
    let site = unsafe sites.number(of: event.pointee.origin)
    unsafe remember(mapping, site, device.pointee.time)
    unsafe device.pointee.streamingCount -= 1
    live.remove(at: index)
    guard mapping.segments > 0 else { return }
    for address in segments[Int(mapping.segments - 1)] {
      var next = live.find(mapping.owner, address)
      while let part = next {
        if live[part].has(LiveMapping.Flags.continuation), live[part].site == mapping.site {
          unsafe remember(live[part], site, device.pointee.time)
          live.remove(at: part)
          break
        }
        next = live.find(after: part)
      }
    }
    segments[Int(mapping.segments - 1)] = []
    freeSegments.append(mapping.segments)
  }

  mutating func syncedScatter(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard let index = unsafe bestMatch(event, device) else {
      let owner = unsafe device.pointee.number
      let address = unsafe event.pointee.dmaAddress
      if unsafe device.pointee.isIncomplete {
        unknown()
      } else if let last = lastFreed(owner, where: { $0.address == address }) {
        unsafe report(.syncAfterRelease, device, event, lastFreed: last)
      } else {
        unsafe report(.syncOfUnknown, device, event)
      }
      return
    }
    let isForCPU = unsafe event.pointee.kind == .syncScatterForCPU
    let mapping = live[index]
    guard mapping.family == .scatter, unsafe event.pointee.entryCount == mapping.entryCount else {
      unsafe judgeList(mapping, .syncEntryCount, event, device)
      return
    }
    _ = unsafe judgeDirection(mapping, isForCPU: isForCPU, event, device)
  }

  /// Compares a call about a list with the list; one finding at most.
  private mutating func judgeList(
    _ mapping: LiveMapping, _ countRule: CheckRule, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let count = unsafe event.pointee.entryCount
    if mapping.family != .scatter {
      unsafe report(
        .wrongFunction, device, event, mapping, expected: .family(mapping.family),
        seen: .family(.scatter))
    } else if mapping.entryCount != count {
      unsafe report(
        countRule, device, event, mapping, expected: .entries(UInt64(mapping.entryCount)),
        seen: .entries(UInt64(count)))
    } else if let made = mapping.direction, let given = unsafe event.pointee.direction,
      made != given
    {
      unsafe report(
        .directionDiffers, device, event, mapping, expected: .direction(made),
        seen: .direction(given))
    }
  }
}
