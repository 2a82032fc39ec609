/// What a pool tells those who listen to its device.
extension PoolCore {
  static func event(
    _ kind: DMAEvent.Kind, _ core: UnsafeMutablePointer<PoolCore>,
    _ record: UnsafeMutablePointer<PoolRecord>, _ site: CallSite
  ) -> DMAEvent {
    var event = unsafe poolEvent(kind, core, site)
    // SAFETY: the caller has the block.
    unsafe event.dmaAddress = record.pointee.address
    unsafe event.cpuAddress = UInt64(record.pointee.cpuAddress)
    event.known.formUnion([.dmaAddress, .cpuAddress])
    return event
  }

  private static func poolEvent(
    _ kind: DMAEvent.Kind, _ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite
  ) -> DMAEvent {
    // SAFETY: the caller has the pool or one of its blocks.
    var event = DMAEvent(kind, family: .pool, device: unsafe core.pointee.device.pointee.id)
    unsafe event.pool = core.pointee.id
    unsafe event.byteCount = UInt64(core.pointee.byteCount)
    event.known = .byteCount
    event.origin = .callSite(site)
    return event
  }

  static func reportCreate(_ core: UnsafeMutablePointer<PoolCore>, _ site: CallSite) {
    let device = unsafe core.pointee.device
    guard unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    unsafe DMADeviceCore.deliver(device, poolEvent(.poolCreate, core, site))
  }

  static func reportDestroy(
    _ core: UnsafeMutablePointer<PoolCore>, busyCount: Int, _ site: CallSite,
    status: DMAStatus = .success
  ) {
    let device = unsafe core.pointee.device
    guard unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    var event = unsafe poolEvent(.poolDestroy, core, site)
    event.status = status
    event.entryCount = UInt32(clamping: busyCount)
    event.known.insert(.entryCount)
    unsafe DMADeviceCore.deliver(device, event)
  }

  /// A free that was refused: `cpuAddress` and `address` are what the caller gave.
  static func reportRefusedFree(
    _ core: UnsafeMutablePointer<PoolCore>, cpuAddress: UInt, address: DMAAddress, _ site: CallSite
  ) {
    let device = unsafe core.pointee.device
    guard unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    var event = unsafe poolEvent(.poolFree, core, site)
    event.status = .refused
    event.dmaAddress = address.rawValue
    event.cpuAddress = UInt64(cpuAddress)
    event.known.formUnion([.dmaAddress, .cpuAddress])
    unsafe DMADeviceCore.deliver(device, event)
  }

  static func reportAllocate(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>?,
    _ error: DMAError?, _ site: CallSite
  ) {
    let device = unsafe core.pointee.device
    guard unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    if let record = unsafe record {
      unsafe DMADeviceCore.deliver(device, event(.poolAllocate, core, record, site))
    } else {
      var event = unsafe poolEvent(.poolAllocate, core, site)
      event.status = error == .deviceRemoved ? .deviceRemoved : .outOfMemory
      unsafe DMADeviceCore.deliver(device, event)
    }
  }
}
