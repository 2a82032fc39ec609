internal import DMA

extension CheckerState {
  /// Judges one event.
  mutating func handle(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    statistics.eventCount &+= 1
    // SAFETY: event and device are valid while the event is delivered.
    switch unsafe event.pointee.kind {
    case .map: unsafe mapped(event, device)
    case .unmap: unsafe released(event, device)
    case .syncForCPU, .syncForDevice: unsafe synced(event, device)
    case .allocate: unsafe allocated(event, device)
    case .free: unsafe released(event, device)
    case .mapScatter: unsafe mappedScatter(event, device)
    case .unmapScatter: unsafe releasedScatter(event, device)
    case .syncScatterForCPU, .syncScatterForDevice: unsafe syncedScatter(event, device)
    case .errorChecked: unsafe checkedError(event, device)
    case .maskSet, .maskRefused: unsafe setMask(event, device)
    case .poolAllocate: unsafe poolAllocated(event, device)
    case .poolFree: unsafe poolFreed(event, device)
    case .poolDestroy: unsafe poolDestroyed(event, device)
    case .poolCorrupted: unsafe poolCorrupted(event, device)
    case .dropped: unsafe dropped(event, device)
    case .fault: unsafe faulted(event, device)
    case .deviceRemoved:
      unsafe reportLeaks(device, event)
      unsafe device.pointee.isRemoved = true
    case .loss: unsafe device.pointee.isIncomplete = true
    case .deviceAdded, .deviceQuiet, .poolCreate, .mark: break
    }
  }

  // MARK: Maps

  private mutating func mapped(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard unsafe event.pointee.status == .success else {
      unsafe refusedMap(event, device)
      return
    }
    let address = unsafe event.pointee.dmaAddress
    let byteCount = unsafe event.pointee.byteCount
    let site = unsafe sites.number(of: event.pointee.origin)
    sites.noteMade(site)
    if unsafe device.pointee.isMaskRefused { unsafe report(.refusedMaskUsed, device, event) }
    unsafe checkReach(
      address, byteCount, limit: device.pointee.core.pointee.streamingLimit, event, device)
    let time = unsafe time(device)
    var record = unsafe LiveMapping(
      address: address, byteCount: byteCount, cpuAddress: event.pointee.cpuAddress, time: time,
      word: 0, owner: device.pointee.number, site: site,
      entryCount: 0, segments: 0,
      bits: LiveMapping.bits(event.pointee.direction, event.pointee.family)
        | (event.pointee.isErrorCheckExpected ? LiveMapping.Flags.unchecked : 0))
    if unsafe event.pointee.direction == .toDevice {
      if options.hashesContent { rehash(&record) }
    } else if options.tracksCacheLines {
      unsafe addLines(&record, event, device)
    }
    unsafe device.pointee.streamingCount += 1
    // What is not remembered must not leave lines behind.
    if unsafe !keep(record, device) { removeLines(record) }
  }

  /// Keeps a record, or counts that there is no room for it.
  @inline(__always)
  @discardableResult
  mutating func keep(_ record: LiveMapping, _ device: UnsafeMutablePointer<DeviceState>) -> Bool {
    if live.insert(record) { return true }
    statistics.lostMappingCount &+= 1
    unsafe device.pointee.isIncomplete = true
    return false
  }

  private mutating func refusedMap(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    switch unsafe event.pointee.status {
    case .emptyRequest: unsafe report(.zeroLengthMap, device, event, seen: .bytes(0))
    case .notDMAable:
      let kind = unsafe event.pointee.memoryKind ?? .unknown
      let rule: CheckRule =
        switch kind {
        case .stack: .mapOfStack
        case .image: .mapOfKernelImage
        case .vmalloc: .mapOfVmalloc
        case .unknown, .user, .mmio, .pages, .slab: .mapOfInvalidArea
        }
      unsafe report(rule, device, event, seen: .memory(kind))
    default: break  // The machine is short of something, or the device is gone: no rule is broken.
    }
  }

  private mutating func checkReach(
    _ address: UInt64, _ byteCount: UInt64, limit: UInt64, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let (last, overflow) = address.addingReportingOverflow(byteCount &- 1)
    if overflow || last > limit {
      unsafe report(.beyondMask, device, event, expected: .address(limit), seen: .address(last))
    }
  }

  private mutating func allocated(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard unsafe event.pointee.status == .success else { return }
    let site = unsafe sites.number(of: event.pointee.origin)
    sites.noteMade(site)
    if unsafe device.pointee.isMaskRefused { unsafe report(.refusedMaskUsed, device, event) }
    unsafe checkReach(
      event.pointee.dmaAddress, event.pointee.byteCount,
      limit: device.pointee.core.pointee.coherentLimit, event, device)
    let record = unsafe LiveMapping(
      address: event.pointee.dmaAddress, byteCount: event.pointee.byteCount,
      cpuAddress: event.pointee.cpuAddress, time: time(device),
      word: 0, owner: device.pointee.number, site: site,
      entryCount: 0, segments: 0, bits: LiveMapping.bits(nil, event.pointee.family))
    unsafe keep(record, device)
  }

  private mutating func checkedError(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    var next = unsafe live.find(device.pointee.number, event.pointee.dmaAddress)
    while let index = next {
      // As the kernel does it: a check is for the first unchecked mapping of its handle.
      if live[index].has(LiveMapping.Flags.unchecked) {
        live[index].bits &= ~LiveMapping.Flags.unchecked
        return
      }
      next = live.find(after: index)
    }
  }

  // MARK: Masks

  private mutating func setMask(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard unsafe event.pointee.kind == .maskSet else {
      if unsafe !device.pointee.hasMask { unsafe device.pointee.isMaskRefused = true }
      return
    }
    unsafe device.pointee.isMaskRefused = false
    unsafe device.pointee.hasMask = true
    let old = unsafe device.pointee.core.pointee.streamingMask
    let new = unsafe event.pointee.byteCount
    guard unsafe event.pointee.family != .coherent, new != old,
      unsafe device.pointee.streamingCount > 0
    else { return }
    var oldest: LiveMapping?
    let owner = unsafe device.pointee.number
    live.forEach { _, mapping in
      guard mapping.owner == owner, mapping.isStreaming else { return }
      if mapping.time <= oldest?.time ?? .max { oldest = mapping }
    }
    unsafe report(
      .maskChangedWhileMapped, device, event, oldest, expected: .mappings(0),
      seen: .mappings(UInt64(device.pointee.streamingCount)))
  }

  // MARK: Drops

  private mutating func dropped(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard let index = unsafe bestMatch(event, device) else {
      if unsafe device.pointee.isIncomplete { unknown() }
      return
    }
    live[index].bits |= LiveMapping.Flags.dropped
    unsafe report(.mappingDropped, device, event, live[index])
  }
}
