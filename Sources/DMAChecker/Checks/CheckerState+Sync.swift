internal import DMA

/// Syncs of single regions.
extension CheckerState {
  mutating func synced(
    _ event: UnsafePointer<DMAEvent>, _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // SAFETY: event and device are valid while the event is delivered.
    let owner = unsafe device.pointee.number
    let address = unsafe event.pointee.dmaAddress
    let byteCount = unsafe event.pointee.byteCount
    let direction = unsafe event.pointee.direction
    let exact = live.find(
      owner, containing: address, byteCount: max(byteCount, 1),
      where: { $0.isStreaming && ($0.direction == direction || $0.direction == .bidirectional) })
    guard
      let index = exact
        ?? live.find(owner, containing: address, byteCount: 1, where: { $0.isStreaming })
    else {
      if unsafe device.pointee.isIncomplete {
        unknown()
      } else if let last = lastFreed(
        owner, where: { $0.isStreaming && address &- $0.address < $0.byteCount })
      {
        unsafe report(.syncAfterRelease, device, event, lastFreed: last)
      } else {
        unsafe report(.syncOfUnknown, device, event)
      }
      return
    }
    let mapping = live[index]
    let offset = address - mapping.address
    guard byteCount <= mapping.byteCount - offset else {
      unsafe report(
        .syncOutside, device, event, mapping, expected: .bytes(mapping.byteCount - offset),
        seen: .bytes(byteCount))
      return
    }
    let isForCPU = unsafe event.pointee.kind == .syncForCPU
    guard unsafe judgeDirection(mapping, isForCPU: isForCPU, event, device) else { return }
    guard unsafe event.pointee.status == .success else { return }
    if isForCPU {
      unsafe checkContent(mapping, event, device)
      live[index].bits |= LiveMapping.Flags.cpuOwned
    } else {
      var renewed = mapping
      renewed.bits &= ~LiveMapping.Flags.cpuOwned
      if mapping.direction == .toDevice { rehash(&renewed) }
      live[index] = renewed
    }
  }

  /// Compares a sync's direction with its mapping's, as the kernel does: a mapping for both may be
  /// synced either way.
  mutating func judgeDirection(
    _ mapping: LiveMapping, isForCPU: Bool, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) -> Bool {
    guard let made = mapping.direction, let given = unsafe event.pointee.direction,
      made != .bidirectional, made != given
    else { return true }
    let rule: CheckRule =
      isForCPU && made == .toDevice
      ? .syncReadOnly : !isForCPU && made == .fromDevice ? .syncWriteOnly : .syncDirection
    unsafe report(
      rule, device, event, mapping, expected: .direction(made), seen: .direction(given))
    return false
  }
}
