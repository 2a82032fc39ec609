internal import DMA

/// What was left behind, by the place that made it.
extension CheckerState {
  private struct Group {
    var sample: LiveMapping
    var count = 0
    var byteCount: UInt64 = 0
    var oldest = UInt64.max
    var youngest: UInt64 = 0
    var recentCount = 0
  }

  /// Reports all that a device still has; each only once.
  mutating func reportLeaks(
    _ device: UnsafeMutablePointer<DeviceState>, _ event: UnsafePointer<DMAEvent>?
  ) {
    // SAFETY: the device's state lives as long as the checker.
    let owner = unsafe device.pointee.number
    let now = unsafe event == nil ? unsafe device.pointee.time : unsafe now(device)
    var groups: [Group] = []
    var numbers = AddressTable<UInt32>()
    var left: [LiveMapping] = []
    live.forEach { _, mapping in
      guard mapping.owner == owner, isLeak(mapping) else { return }
      left.append(mapping)
    }
    blocks.forEach { _, block in
      if block.owner == owner, isLeak(block) { left.append(block) }
    }
    for mapping in left {
      let key = UInt64(mapping.site) << 8 | UInt64(mapping.family.rawValue)
      let number = numbers[key] ?? UInt32(groups.count)
      if Int(number) == groups.count {
        groups.append(Group(sample: mapping))
        numbers.insert(number, for: key)
      }
      var group = groups[Int(number)]
      group.count += 1
      group.byteCount &+= mapping.byteCount
      if mapping.time < group.oldest {
        group.oldest = mapping.time
        group.sample = mapping
      }
      group.youngest = max(group.youngest, mapping.time)
      groups[Int(number)] = group
    }
    for mapping in left {
      let key = UInt64(mapping.site) << 8 | UInt64(mapping.family.rawValue)
      guard let number = numbers[key] else { continue }
      let oldest = groups[Int(number)].oldest
      if mapping.time > oldest, mapping.time - oldest > (now &- oldest) / 2 {
        groups[Int(number)].recentCount += 1
      }
    }
    markLeaked(owner)
    for group in groups { unsafe reportGroup(group, device, event, now) }
  }

  private func isLeak(_ mapping: LiveMapping) -> Bool {
    // Dropped ones were reported; a page whose blocks are in use is told by its blocks.
    if mapping.bits & (LiveMapping.Flags.dropped | LiveMapping.Flags.leaked) != 0 { return false }
    if mapping.has(LiveMapping.Flags.continuation) { return false }
    return mapping.family != .coherent || !holdsBlock(mapping)
  }

  private func holdsBlock(_ page: LiveMapping) -> Bool {
    guard blocks.count > 0 else { return false }
    var holds = false
    blocks.forEach { _, block in
      if block.owner == page.owner, block.address &- page.address < page.byteCount { holds = true }
    }
    return holds
  }

  private mutating func markLeaked(_ owner: UInt32) {
    var indices: [Int] = []
    live.forEach { index, mapping in if mapping.owner == owner { indices.append(index) } }
    for index in indices { live[index].bits |= LiveMapping.Flags.leaked }
    indices = []
    blocks.forEach { index, block in if block.owner == owner { indices.append(index) } }
    for index in indices { blocks[index].bits |= LiveMapping.Flags.leaked }
  }

  private mutating func reportGroup(
    _ group: Group, _ device: UnsafeMutablePointer<DeviceState>,
    _ event: UnsafePointer<DMAEvent>?, _ now: UInt64
  ) {
    let salt = unsafe device.pointee.number
    guard isNew(.leak, group.sample.site, UInt32(group.sample.family.rawValue), salt) else {
      return
    }
    var finding = Finding(rule: .leak, device: unsafe device.pointee.name)
    if let event = unsafe event {
      let number = unsafe sites.number(of: event.pointee.origin)
      finding.call = unsafe call(event, number)
    }
    finding.mapping = subject(group.sample, now: now)
    finding.expected = .mappings(0)
    finding.seen = .mappings(UInt64(group.count))
    finding.leak = Finding.Leak(
      count: group.count, byteCount: group.byteCount, oldestAge: now &- min(group.oldest, now),
      youngestAge: now &- min(group.youngest, now), recentCount: group.recentCount,
      madeCount: sites.madeCount(group.sample.site))
    deliver(finding)
  }
}
