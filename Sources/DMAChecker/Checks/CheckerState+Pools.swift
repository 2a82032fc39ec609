internal import DMA

/// Blocks of pools.
extension CheckerState {
  mutating func poolAllocated(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // SAFETY: event and device are valid while the event is delivered.
    guard unsafe event.pointee.status == .success else { return }
    let site = unsafe sites.number(of: event.pointee.origin)
    sites.noteMade(site)
    let record = unsafe LiveMapping(
      address: event.pointee.dmaAddress, byteCount: event.pointee.byteCount,
      cpuAddress: event.pointee.cpuAddress, time: time(device), word: 0,
      owner: device.pointee.number, site: site, entryCount: event.pointee.pool, segments: 0,
      bits: LiveMapping.bits(nil, .pool))
    if blocks.insert(record) { return }
    statistics.lostMappingCount &+= 1
    unsafe device.pointee.isIncomplete = true
  }

  mutating func poolFreed(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let owner = unsafe device.pointee.number
    let address = unsafe event.pointee.dmaAddress
    let pool = unsafe event.pointee.pool
    guard let index = blocks.find(owner, address) else {
      if let last = lastFreed(owner, where: { $0.family == .pool && $0.address == address }) {
        unsafe report(.poolDoubleFree, device, event, lastFreed: last)
      } else if unsafe device.pointee.isIncomplete {
        unknown()
      } else {
        let around = blocks.find(owner, containing: address, byteCount: 1)
        unsafe report(.poolFreeOfUnknown, device, event, around.map { blocks[$0] })
      }
      return
    }
    let block = blocks[index]
    guard block.entryCount == pool else {
      unsafe report(
        .poolFreeToWrongPool, device, event, block, expected: .pool(UInt64(block.entryCount)),
        seen: .pool(UInt64(pool)))
      return
    }
    guard unsafe event.pointee.status == .success else {
      unsafe report(
        .poolFreeOfUnknown, device, event, block, expected: .cpuAddress(block.cpuAddress),
        seen: .cpuAddress(event.pointee.cpuAddress))
      return
    }
    let site = unsafe sites.number(of: event.pointee.origin)
    unsafe remember(block, site, time(device))
    blocks.remove(at: index)
  }

  mutating func poolDestroyed(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let count = unsafe event.pointee.entryCount
    guard count > 0 else { return }
    let owner = unsafe device.pointee.number
    let pool = unsafe event.pointee.pool
    var oldest: LiveMapping?
    blocks.forEach { _, block in
      guard block.owner == owner, block.entryCount == pool else { return }
      if block.time <= oldest?.time ?? .max { oldest = block }
    }
    unsafe report(
      .poolBusy, device, event, oldest, expected: .mappings(0), seen: .mappings(UInt64(count)))
  }

  mutating func poolCorrupted(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let owner = unsafe device.pointee.number
    let address = unsafe event.pointee.dmaAddress
    let last = lastFreed(
      owner, where: { $0.family == .pool && address &- $0.address < $0.byteCount })
    unsafe report(
      .poolBlockWritten, device, event, seen: .bytes(event.pointee.byteCount), lastFreed: last)
  }
}
