extension VTDState {
  private func recordOffset(_ index: Int) -> Int { VTDRegister.faultRecords + index * 16 }

  private func isPending(_ index: Int) -> Bool {
    self[recordOffset(index) + 12] & VTDBit.faultValid != 0
  }

  /// Fills in the next fault record; when that is still occupied, notes the overflow instead
  /// (VT-d specification, 7.3.1).
  mutating func recordFault(
    _ reason: VTDFault, _ requester: UInt16, _ address: UInt64, isWrite: Bool
  ) {
    guard self[VTDRegister.faultStatus] & VTDBit.faultOverflow == 0 else { return }
    guard !isPending(nextFault) else {
      self[VTDRegister.faultStatus] |= VTDBit.faultOverflow
      raise(VTDRegister.faultEventControl)
      return
    }
    let offset = recordOffset(nextFault)
    set64(offset, address & ~0xfff)
    self[offset + 8] = UInt32(requester)
    self[offset + 12] =
      VTDBit.faultValid | (isWrite ? 0 : VTDBit.faultWasRead) | UInt32(reason.rawValue)
    let wasPending = self[VTDRegister.faultStatus] & VTDBit.faultPending != 0
    if !wasPending {
      // The first of what is pending.
      self[VTDRegister.faultStatus] =
        self[VTDRegister.faultStatus] & ~0xff00 | VTDBit.faultPending | UInt32(nextFault) << 8
    }
    nextFault = (nextFault + 1) % VTDRegister.faultRecordCount
    if !wasPending { raise(VTDRegister.faultEventControl) }
  }

  /// Writing one to a record's valid bit empties it.
  mutating func clearFaultRecord(_ offset: Int, _ value: UInt32) {
    let end = recordOffset(VTDRegister.faultRecordCount)
    guard offset >= VTDRegister.faultRecords, offset < end, offset % 16 == 12 else { return }
    self[offset] &= ~(value & VTDBit.faultValid)
    for index in 0..<VTDRegister.faultRecordCount where isPending(index) { return }
    self[VTDRegister.faultStatus] &= ~VTDBit.faultPending
  }

  /// Overflow and the queue's errors are cleared by writing ones.
  mutating func clearFaultStatus(_ value: UInt32) {
    self[VTDRegister.faultStatus] &= ~(value & 0x71)
  }
}
