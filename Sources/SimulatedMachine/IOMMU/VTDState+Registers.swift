extension VTDState {
  /// Registers have 4 or 8 bytes; other widths read as all ones.
  func read(_ offset: Int, _ byteCount: Int) -> UInt64 {
    switch byteCount {
    case 4: UInt64(self[offset])
    case 8: get64(offset)
    default: .max
    }
  }

  /// A write of 8 bytes is one of the lower word, then one of the upper, which acts.
  mutating func write(_ offset: Int, _ byteCount: Int, _ value: UInt64) {
    guard byteCount == 4 || byteCount == 8 else { return }
    write(offset, UInt32(truncatingIfNeeded: value))
    if byteCount == 8 { write(offset + 4, UInt32(truncatingIfNeeded: value >> 32)) }
  }

  private mutating func write(_ offset: Int, _ value: UInt32) {
    switch offset {
    case VTDRegister.globalCommand: command(value)
    case VTDRegister.contextCommand + 4: commandContexts(value)
    case VTDRegister.translationCache + 4: commandTranslations(value)
    case VTDRegister.faultStatus: clearFaultStatus(value)
    case VTDRegister.faultEventControl, VTDRegister.invalidationEventControl:
      unmask(offset, value)
    case VTDRegister.queueTail:
      self[offset] = value & 0x7fff0
      runQueue()
    case VTDRegister.invalidationStatus: self[offset] &= ~(value & 1)
    case VTDRegister.rootTable, VTDRegister.rootTable + 4,
      VTDRegister.contextCommand, VTDRegister.translationCache,
      VTDRegister.invalidateAddress, VTDRegister.invalidateAddress + 4,
      VTDRegister.queueAddress, VTDRegister.queueAddress + 4,
      VTDRegister.faultEventData, VTDRegister.faultEventAddress,
      VTDRegister.faultEventUpperAddress, VTDRegister.invalidationEventData,
      VTDRegister.invalidationEventAddress, VTDRegister.invalidationEventUpperAddress:
      self[offset] = value
    default: clearFaultRecord(offset, value)
    }
  }

  /// The global command register: each bit's state shows in global status.
  private mutating func command(_ value: UInt32) {
    var status = self[VTDRegister.globalStatus]
    if value & VTDBit.setRootTable != 0 {
      root = get64(VTDRegister.rootTable) & ~0xfff
      status |= VTDBit.setRootTable
    }
    let wantsQueue = value & VTDBit.queueEnable != 0
    if wantsQueue != isQueueEnabled {
      isQueueEnabled = wantsQueue
      // Turning it on begins at the queue's start.
      if wantsQueue { set64(VTDRegister.queueHead, 0) }
    }
    isEnabled = value & VTDBit.translationEnable != 0
    let shown = VTDBit.queueEnable | VTDBit.translationEnable
    self[VTDRegister.globalStatus] = status & ~shown | value & shown
    if isQueueEnabled { runQueue() }
  }

  /// Upper word of the context command: bit 63 goes, bits 62:61 say how much.
  private mutating func commandContexts(_ upper: UInt32) {
    self[VTDRegister.contextCommand + 4] = upper
    guard upper & VTDBit.invalidate != 0 else { return }
    let lower = self[VTDRegister.contextCommand]
    let granularity = upper >> 29 & 3
    invalidateContexts(
      granularity: granularity, domain: UInt64(lower & 0xffff),
      source: UInt16(truncatingIfNeeded: lower >> 16), functionMask: upper & 3)
    // Done: what was done shows in bits 60:59, and bit 63 falls.
    self[VTDRegister.contextCommand + 4] =
      upper & ~(VTDBit.invalidate | 3 << 27) | granularity << 27
  }

  /// Upper word of the translation cache register: bit 63 goes, bits 61:60 say how much.
  private mutating func commandTranslations(_ upper: UInt32) {
    self[VTDRegister.translationCache + 4] = upper
    guard upper & VTDBit.invalidate != 0 else { return }
    let granularity = upper >> 28 & 3
    invalidateTranslations(
      granularity: granularity, domain: UInt64(upper & 0xffff),
      address: get64(VTDRegister.invalidateAddress))
    self[VTDRegister.translationCache + 4] =
      upper & ~(VTDBit.invalidate | 3 << 25) | granularity << 25
  }

  /// Sends an event's message, or leaves it pending while it is masked.
  mutating func raise(_ control: Int) {
    guard self[control] & VTDBit.eventMasked == 0 else {
      self[control] |= VTDBit.eventPending
      return
    }
    // Data, address and upper address follow their control register.
    let address = UInt64(self[control + 12]) << 32 | UInt64(self[control + 8])
    interrupts.receive(address: address, data: self[control + 4])
  }

  private mutating func unmask(_ control: Int, _ value: UInt32) {
    self[control] = self[control] & ~VTDBit.eventMasked | value & VTDBit.eventMasked
    if self[control] & (VTDBit.eventMasked | VTDBit.eventPending) == VTDBit.eventPending {
      self[control] &= ~VTDBit.eventPending
      raise(control)
    }
  }
}
