internal import DMA
internal import DMASupport

/// Making a VT-d unit forget: by its queue where it is used, by registers otherwise.
///
/// Each call returns when the hardware has done it; false when it did not. Under the unit's lock.
extension VTDState {
  /// What of the context cache to forget.
  enum ContextScope {
    case global
    case domain(UInt32)
    case device(UInt32, UInt16)
  }

  /// What of the translation cache to forget.
  enum TranslationScope {
    case global
    case domain(UInt32)
    /// Domain, first page, order of pages, whether only leaf entries changed.
    case pages(UInt32, UInt64, Int, Bool)
  }

  mutating func invalidateContexts(_ scope: ContextScope) -> Bool {
    commandCount += 1
    let granularity: UInt64
    let identifiers: UInt64
    switch scope {
    case .global: (granularity, identifiers) = (1, 0)
    case .domain(let domain): (granularity, identifiers) = (2, UInt64(domain))
    case .device(let domain, let requester):
      (granularity, identifiers) = (3, UInt64(domain) | UInt64(requester) << 16)
    }
    if queue != nil {
      return submit(1 | granularity << 4 | identifiers << 16, 0)
    }
    let registers = registers
    registers.write(
      1 << 63 | granularity << 61 | identifiers, at: VTDRegister.contextCommand)
    return wait { registers.read(UInt64.self, at: VTDRegister.contextCommand) >> 63 == 0 }
  }

  mutating func invalidateTranslations(_ scope: TranslationScope) -> Bool {
    commandCount += 1
    let granularity: UInt64
    let domain: UInt32
    var address: UInt64 = 0
    switch scope {
    case .global: (granularity, domain) = (1, 0)
    case .domain(let id): (granularity, domain) = (2, id)
    case .pages(let id, let page, let order, let isLeafOnly):
      (granularity, domain) = (3, id)
      address = page << 12 | (isLeafOnly ? 1 << 6 : 0) | UInt64(order)
    }
    let drain = (
      capabilities.drainsWrites ? 1 as UInt64 : 0, capabilities.drainsReads ? 1 as UInt64 : 0
    )
    if queue != nil {
      return submit(
        2 | granularity << 4 | drain.0 << 6 | drain.1 << 7 | UInt64(domain) << 16, address)
    }
    let offset = capabilities.invalidationOffset
    let registers = registers
    if granularity == 3 { registers.write(address, at: offset) }
    registers.write(
      1 << 63 | granularity << 60 | drain.1 << 49 | drain.0 << 48 | UInt64(domain) << 32,
      at: offset + 8)
    return wait { registers.read(UInt64.self, at: offset + 8) >> 63 == 0 }
  }

  /// Pages of a domain, in one command: the smallest aligned power of two that holds them, or the
  /// whole domain when the unit has none that large.
  mutating func invalidate(
    _ domain: UInt32, first: UInt64, count: UInt64, withTables: Bool
  ) -> Bool {
    var order = PageBits.order(holding: count)
    // Naturally aligned, as addresses are given out; anything else needs a larger block.
    while order < 52, first >> UInt64(order) != (first + count - 1) >> UInt64(order) { order += 1 }
    guard capabilities.invalidatesPages, order <= capabilities.addressMaskMax else {
      return invalidateTranslations(.domain(domain))
    }
    return invalidateTranslations(
      .pages(domain, (first >> UInt64(order)) << UInt64(order), order, !withTables))
  }

  // MARK: The queue

  private static var queueEntryCount: Int { 256 }

  mutating func startQueue() -> Bool {
    guard let queue else { return false }
    registers.write(UInt64(0), at: VTDRegister.queueTail)
    // One page of 128-bit descriptors.
    registers.write(queue.physicalAddress, at: VTDRegister.queueAddress)
    queueTail = 0
    return command(VTDRegister.queueEnable, isOn: true)
  }

  /// Queues a descriptor and one that reports when everything before it is done, and waits for it.
  private mutating func submit(_ low: UInt64, _ high: UInt64) -> Bool {
    guard let queue, let completion else { return false }
    completionNumber &+= 1
    let number = completionNumber
    put(queue, low, high)
    // Type 5, status write.
    put(queue, 5 | 1 << 5 | UInt64(number) << 32, completion.physicalAddress)
    registers.write(UInt64(queueTail * 16), at: VTDRegister.queueTail)
    let registers = registers
    var looks = 0
    var hasFailed = false
    let isDone = wait {
      if dma_volatile_load32(completion.cpuAddress) == number { return true }
      looks += 1
      // Asking the unit is dear; the completion word usually comes first.
      if looks & 255 == 0,
        registers.read(UInt32.self, at: VTDRegister.faultStatus) & VTDRegister.queueErrors != 0
      {
        hasFailed = true
      }
      return hasFailed
    }
    dma_barrier_read()
    if isDone && !hasFailed { return true }
    restartQueue()
    return false
  }

  private mutating func put(_ queue: TableMemory.Page, _ low: UInt64, _ high: UInt64) {
    let address = queue.cpuAddress + UInt(queueTail) * 16
    dma_volatile_store64(address, low)
    dma_volatile_store64(address + 8, high)
    publish(address, 16)
    queueTail = (queueTail + 1) & (Self.queueEntryCount - 1)
  }

  /// After an error the unit stands at the bad descriptor: it starts anew from the first.
  private mutating func restartQueue() {
    guard command(VTDRegister.queueEnable, isOn: false) else { return }
    registers.write(VTDRegister.queueErrors, at: VTDRegister.faultStatus)
    _ = startQueue()
  }
}
