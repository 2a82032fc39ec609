internal import DMA

/// What devices do: each access is compared with the mappings of its device.
extension CheckerState {
  mutating func faulted(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // SAFETY: event and device are valid while the event is delivered.
    var address = unsafe event.pointee.dmaAddress
    if address & 4095 == 0 {
      // A unit reports pages: what of this device is, or was, on the page is meant.
      let owner = unsafe device.pointee.number
      let isOnPage = { (mapping: LiveMapping) in
        mapping.address | 4095 == address | 4095 && mapping.byteCount > 0
      }
      var found: UInt64? = nil
      if live.find(owner, containing: address, byteCount: 1) == nil {
        live.forEach { _, mapping in
          if mapping.owner == owner, isOnPage(mapping) {
            found = min(found ?? .max, mapping.address)
          }
        }
        found = found ?? lastFreed(owner, where: isOnPage)?.mapping.address
      }
      address = found ?? address
    }
    let access = unsafe Finding.Access(
      address: address, byteCount: max(1, event.pointee.byteCount),
      isWrite: event.pointee.direction == .fromDevice, reason: .other)
    let now = unsafe now(device)
    unsafe judge(access, device, now)
  }

  /// Judges an access, refused or not.
  mutating func judge(
    _ access: Finding.Access, _ device: UnsafeMutablePointer<DeviceState>, _ now: UInt64
  ) {
    if access.reason == .notBusMaster {
      unsafe reportAccess(.deviceNotMaster, access, device, now)
      return
    }
    let owner = unsafe device.pointee.number
    var address = access.address
    var left = max(access.byteCount, 1)
    // Neighbouring mappings may be covered by one access.
    while true {
      guard let mapping = reached(owner, address, left, isWrite: access.isWrite) else {
        unsafe missed(access, at: address, device, now)
        return
      }
      guard mapping.permits(isWrite: access.isWrite) else {
        let rule: CheckRule = access.isWrite ? .deviceWroteReadOnly : .deviceReadWriteOnly
        if access.isWrite { noteWrite(mapping) }
        unsafe reportAccess(
          rule, access, device, now, mapping: mapping,
          expected: mapping.direction.map { .direction($0) } ?? .none,
          seen: .direction(access.isWrite ? .fromDevice : .toDevice))
        return
      }
      // Memory that only the device writes goes back without a sync (R101).
      if mapping.has(LiveMapping.Flags.cpuOwned), mapping.direction != .fromDevice {
        unsafe reportAccess(.deviceUsedCPUOwned, access, device, now, mapping: mapping)
        return
      }
      if mapping.family == .coherent, blocks.count > 0,
        unsafe missedBlock(access, at: address, left, mapping, device, now)
      {
        return
      }
      let covered = mapping.byteCount - (address - mapping.address)
      if covered >= left { break }
      address += covered
      left -= covered
    }
    guard access.reason != nil else { return }
    let mapping = live.find(owner, containing: access.address, byteCount: 1).map { live[$0] }
    unsafe reportAccess(.deviceFault, access, device, now, mapping: mapping)
  }

  /// Whether an access to a page of a pool is not all inside of live blocks; reported then.
  private mutating func missedBlock(
    _ access: Finding.Access, at address: UInt64, _ byteCount: UInt64, _ page: LiveMapping,
    _ device: UnsafeMutablePointer<DeviceState>, _ now: UInt64
  ) -> Bool {
    let owner = unsafe device.pointee.number
    let end = address + min(byteCount, page.byteCount - (address - page.address))
    var position = address
    var first: LiveMapping?
    while position < end, let place = blocks.find(owner, containing: position, byteCount: 1) {
      first = first ?? blocks[place]
      position = blocks[place].address + blocks[place].byteCount
    }
    if position >= end { return false }
    if let first {
      unsafe reportAccess(
        .deviceOutside, access, device, now, mapping: first,
        expected: .bytes(first.byteCount - (address - first.address)),
        seen: .bytes(access.byteCount))
      return true
    }
    // A block that was freed since the page was allocated; else the page is no pool's.
    guard
      let last = lastFreed(
        owner, where: { $0.family == .pool && address &- $0.address < $0.byteCount }),
      options.recordsTime, last.time > page.time
    else { return false }
    unsafe reportAccess(.deviceUseAfterUnmap, access, device, now, lastFreed: last)
    return true
  }

  /// The mapping an access reaches at an address: one that permits it and covers it, if there is.
  private func reached(
    _ owner: UInt32, _ address: UInt64, _ byteCount: UInt64, isWrite: Bool
  ) -> LiveMapping? {
    let index =
      live.find(
        owner, containing: address, byteCount: byteCount, where: { $0.permits(isWrite: isWrite) })
      ?? live.find(
        owner, containing: address, byteCount: 1, where: { $0.permits(isWrite: isWrite) })
      ?? live.find(owner, containing: address, byteCount: 1)
    return index.map { live[$0] }
  }

  private mutating func noteWrite(_ mapping: LiveMapping) {
    var next = live.find(mapping.owner, mapping.address)
    while let index = next {
      live[index].bits |= LiveMapping.Flags.deviceWrote
      next = live.find(after: index)
    }
  }

  /// An access whose byte at `address` lies in no live mapping of its device.
  private mutating func missed(
    _ access: Finding.Access, at address: UInt64, _ device: UnsafeMutablePointer<DeviceState>,
    _ now: UInt64
  ) {
    let owner = unsafe device.pointee.number
    if address != access.address,
      let inside = live.find(owner, containing: access.address, byteCount: 1)
    {
      let mapping = live[inside]
      unsafe reportAccess(
        .deviceOutside, access, device, now, mapping: mapping,
        expected: .bytes(address - access.address), seen: .bytes(access.byteCount))
      return
    }
    if unsafe device.pointee.isIncomplete {
      unknown()
      return
    }
    let last = lastFreed(owner, where: { address &- $0.address < $0.byteCount })
    for other in devices where unsafe other.state.pointee.number != owner {
      let number = unsafe other.state.pointee.number
      guard last == nil, let index = live.find(number, containing: address, byteCount: 1)
      else { continue }
      unsafe reportAccess(
        .deviceUsedOthers, access, device, now, mapping: live[index],
        otherDevice: other.state.pointee.name)
      return
    }
    let near = nearest(owner, address)
    let rule: CheckRule = last == nil ? .deviceUsedUnmapped : .deviceUseAfterUnmap
    unsafe reportAccess(rule, access, device, now, mapping: near, lastFreed: last)
  }

  /// The live mapping of a device that lies nearest to an address.
  private func nearest(_ owner: UInt32, _ address: UInt64) -> LiveMapping? {
    var found: LiveMapping?
    var foundDistance = UInt64.max
    live.forEach { _, mapping in
      guard mapping.owner == owner else { return }
      let distance =
        address < mapping.address
        ? mapping.address - address
        : address - min(address, mapping.address + mapping.byteCount - 1)
      if distance < foundDistance {
        found = mapping
        foundDistance = distance
      }
    }
    return found
  }

  private mutating func reportAccess(
    _ rule: CheckRule, _ access: Finding.Access, _ device: UnsafeMutablePointer<DeviceState>,
    _ now: UInt64, mapping: LiveMapping? = nil, expected: Finding.Quantity = .none,
    seen: Finding.Quantity = .none, lastFreed: FreedMapping? = nil, otherDevice: String = ""
  ) {
    let site = lastFreed?.mapping.site ?? mapping?.site ?? 0
    guard isNew(rule, 0, site, unsafe device.pointee.number) else { return }
    var finding = Finding(rule: rule, device: unsafe device.pointee.name)
    finding.access = access
    finding.mapping = mapping.map { subject($0, now: now) }
    finding.lastFreed = lastFreed.map { subject($0, now: now) }
    finding.expected = expected
    finding.seen = seen
    finding.otherDevice = otherDevice
    deliver(finding)
  }

  /// Memory that is being freed: reports the mappings that still reach it.
  mutating func judgeFree(_ cpuAddress: UInt64, _ byteCount: UInt64, _ site: CallSite) {
    var hit: [LiveMapping] = []
    live.forEach { _, mapping in
      guard mapping.isStreaming, mapping.cpuAddress != 0 else { return }
      let (low, high) = (max(mapping.cpuAddress, cpuAddress), cpuAddress &+ byteCount)
      if low < high, low < mapping.cpuAddress &+ mapping.byteCount { hit.append(mapping) }
    }
    let number = sites.number(of: .callSite(site))
    for mapping in hit {
      guard isNew(.memoryFreed, number, mapping.site, mapping.owner) else { continue }
      let device = unsafe devices[Int(mapping.owner - 1)].state
      var finding = Finding(rule: .memoryFreed, device: unsafe device.pointee.name)
      finding.call = Finding.Call(
        kind: .free, family: .none, site: self.site(number), address: nil, byteCount: byteCount,
        direction: nil, entryCount: 0)
      finding.mapping = subject(mapping, now: unsafe device.pointee.time)
      deliver(finding)
    }
  }
}
