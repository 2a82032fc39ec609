internal import MachineMemory
extension VTDState {
  /// Granularity 1: all, 2: a domain, 3: a device (VT-d specification, 6.5.1.1).
  mutating func invalidateContexts(
    granularity: UInt32, domain: UInt64, source: UInt16, functionMask: UInt32
  ) {
    for slot in 0..<contexts.count {
      guard let context = contexts[slot] else { continue }
      let isMeant =
        switch granularity {
        case 1: true
        case 2: context.domain == domain
        // The mask leaves out the upper bits of the function number first.
        case 3: (slot ^ Int(source)) & ~Int([0, 4, 6, 7][Int(functionMask)]) == 0
        default: false
        }
      if isMeant { contexts[slot] = nil }
    }
  }

  /// Granularity 1: all, 2: a domain, 3: pages of a domain (VT-d specification, 6.5.1.2).
  ///
  /// - Parameter address: for pages: the first one, and in its low bits how many as a power of
  ///   two.
  mutating func invalidateTranslations(granularity: UInt32, domain: UInt64, address: UInt64) {
    switch granularity {
    case 1: translations.invalidateAll()
    case 2: translations.invalidate(domain: domain)
    case 3:
      let order = Int(address & 0x3f)
      // More than CAP allows: the whole domain, which is always right.
      if order > 18 {
        translations.invalidate(domain: domain)
      } else {
        let size: UInt64 = 4096 << UInt64(order)
        translations.invalidate(address & ~(size - 1), order: order, domain: domain)
      }
    default: break
    }
  }

  /// Does what is in the queue, up to the tail or to the first descriptor that makes no sense
  /// (VT-d specification, 6.5.2).
  mutating func runQueue() {
    guard isQueueEnabled, self[VTDRegister.faultStatus] & VTDBit.queueError == 0 else { return }
    let address = get64(VTDRegister.queueAddress)
    let byteCount: UInt32 = 4096 << UInt32(address & 7)
    let tail = self[VTDRegister.queueTail] % byteCount
    while self[VTDRegister.queueHead] != tail {
      let head = self[VTDRegister.queueHead]
      let entry = address & ~0xfff + UInt64(head)
      guard walk.memory.map.contains(entry, 16),
        perform(walk.memory.deviceLoad(entry), walk.memory.deviceLoad(entry + 8))
      else {
        self[VTDRegister.faultStatus] |= VTDBit.queueError
        raise(VTDRegister.faultEventControl)
        return
      }
      self[VTDRegister.queueHead] = (head + 16) % byteCount
    }
  }

  /// One descriptor; false when it is none.
  private mutating func perform(_ low: UInt64, _ high: UInt64) -> Bool {
    let granularity = UInt32(low >> 4 & 3)
    let domain = low >> 16 & 0xffff
    switch low & 15 {
    case 1:
      guard granularity != 0 else { return false }
      invalidateContexts(
        granularity: granularity, domain: domain,
        source: UInt16(truncatingIfNeeded: low >> 32), functionMask: UInt32(low >> 48 & 3))
    case 2:
      guard granularity != 0 else { return false }
      invalidateTranslations(granularity: granularity, domain: domain, address: high)
    // Device and interrupt-entry caches: there are none here.
    case 3, 4: break
    case 5: return complete(low, high)
    default: return false
    }
    return true
  }

  /// A wait descriptor: everything before it is done when it says so.
  private mutating func complete(_ low: UInt64, _ high: UInt64) -> Bool {
    // Bit 5: store a word. Bit 4: an event.
    if low & 1 << 5 != 0 {
      let address = high & ~3
      guard walk.memory.map.contains(address, 4) else { return false }
      walk.memory.deviceStore(UInt32(truncatingIfNeeded: low >> 32), at: address)
    }
    if low & 1 << 4 != 0, self[VTDRegister.invalidationStatus] & 1 == 0 {
      self[VTDRegister.invalidationStatus] |= 1
      raise(VTDRegister.invalidationEventControl)
    }
    return true
  }
}
