internal import DMA

/// The unit's fault records.
extension VTDState {
  private static var keptFaultCountMax: Int { 256 }

  /// Empties the unit's records, keeps what they say, and tells observers.
  static func reportFaults(_ state: UnsafeMutablePointer<VTDState>) {
    // SAFETY: the unit keeps the state; what is mutable in it is touched under its lock.
    let fresh = unsafe state.pointee.lock.withLock { unsafe state.pointee.readFaults() }
    for fault in fresh {
      unsafe PlatformCore.reportFault(
        state.pointee.platform, requester: fault.requester, address: fault.address,
        isWrite: fault.isWrite)
    }
  }

  /// Reads the records that are filled in, oldest first, and clears them (VT-d specification,
  /// "Fault Recording Registers").
  ///
  /// Under the lock.
  private mutating func readFaults() -> [IOMMUFault] {
    let status = registers.read(UInt32.self, at: VTDRegister.faultStatus)
    // All ones: the unit is gone.
    guard status & (VTDRegister.faultPending | VTDRegister.faultOverflow) != 0, status != .max
    else { return [] }
    var fresh: [IOMMUFault] = []
    let count = capabilities.faultRecordCount
    // The oldest record comes first.
    let first = Int(status >> 8 & 0xff)
    for step in 0..<count {
      let offset = capabilities.faultRecordsOffset + (first + step) % count * 16
      let high = registers.read(UInt64.self, at: offset + 8)
      guard high >> 63 != 0 else { continue }
      let low = registers.read(UInt64.self, at: offset)
      registers.write(UInt32(1) << 31, at: offset + 12)
      fresh.append(
        IOMMUFault(
          requester: UInt16(truncatingIfNeeded: high), address: low & ~4095,
          isWrite: high >> 62 & 1 == 0, code: UInt8(truncatingIfNeeded: high >> 32)))
    }
    if status & VTDRegister.faultOverflow != 0 {
      registers.write(VTDRegister.faultOverflow, at: VTDRegister.faultStatus)
      hasLostFaults = true
    }
    let room = Self.keptFaultCountMax - keptFaults.count
    if fresh.count > room { hasLostFaults = true }
    keptFaults += fresh.prefix(room)
    return fresh
  }

  /// What nobody took yet, and whether there was more.
  ///
  /// Under the lock.
  mutating func takeKeptFaults() -> ([IOMMUFault], Bool) {
    defer {
      keptFaults = []
      hasLostFaults = false
    }
    return (keptFaults, hasLostFaults)
  }
}
