internal import DMA

/// The CPU's touches of memory that a device owns, which guard pages find.
extension CheckerState {
  mutating func touched(
    _ device: UnsafeMutablePointer<DeviceState>, _ address: UInt64, _ cpuAddress: UInt64,
    isWrite: Bool, place: String
  ) {
    // SAFETY: the device's state lives as long as the checker.
    let owner = unsafe device.pointee.number
    var found: LiveMapping?
    var next = live.find(owner, address)
    while let index = next {
      let mapping = live[index]
      if mapping.isStreaming, !mapping.has(LiveMapping.Flags.continuation) {
        found = mapping
        if mapping.cpuAddress != 0, cpuAddress &- mapping.cpuAddress < mapping.byteCount { break }
      }
      next = live.find(after: index)
    }
    guard let mapping = found else {
      unknown()
      return
    }
    // One finding for each place of the mapping and each instruction.
    var salt: UInt32 = 2_166_136_261
    for byte in place.utf8 { salt = (salt ^ UInt32(byte)) &* 16_777_619 }
    guard isNew(.cpuTouchedMapped, mapping.site, salt & 0xffff) else { return }
    var finding = Finding(rule: .cpuTouchedMapped, device: unsafe device.pointee.name)
    finding.mapping = subject(mapping, now: unsafe device.pointee.time)
    let isInside = mapping.cpuAddress != 0 && cpuAddress &- mapping.cpuAddress < mapping.byteCount
    finding.touch = Finding.Touch(
      offset: isInside ? cpuAddress - mapping.cpuAddress : nil, isWrite: isWrite, place: place)
    deliver(finding)
  }
}
