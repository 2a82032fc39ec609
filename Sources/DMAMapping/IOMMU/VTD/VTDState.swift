internal import DMA
internal import DMASupport

/// A VT-d unit in plain memory: its registers, its tables, its queue.
@safe
struct VTDState: ~Copyable {
  let platform: UnsafeMutablePointer<PlatformCore>
  let registers: RegisterWindow
  let capabilities: VTDCapabilities
  /// Guards everything below and the order of commands.
  let lock = RawSpinLock()
  var memory: TableMemory
  /// 256 root entries, one a bus.
  let root: TableMemory.Page
  /// The CPU addresses of the buses' context tables, or 0.
  let contexts: UnsafeMutablePointer<UInt>
  /// Root table and levels of each domain; no levels: not in use.
  let domains: UnsafeMutablePointer<Domain>
  /// 256 invalidation descriptors, and behind them a page for their completion word.
  var queue: TableMemory.Page? = nil
  var completion: TableMemory.Page? = nil
  var queueTail = 0
  var completionNumber: UInt32 = 0
  /// Invalidations asked of the hardware.
  var commandCount = 0
  /// Faults that nobody took yet.
  var keptFaults: [IOMMUFault] = []
  var hasLostFaults = false

  struct Domain: BitwiseCopyable {
    var rootPhysicalAddress: UInt64 = 0
    var levels: UInt32 = 0
  }

  init(
    platform: UnsafeMutablePointer<PlatformCore>, registers: RegisterWindow,
    capabilities: VTDCapabilities
  ) throws(DMAError) {
    var memory = unsafe TableMemory(platform)
    guard let root = memory.take() else { throw .outOfMemory(byteCount: 4096, limit: .max) }
    unsafe self.platform = platform
    self.registers = registers
    self.capabilities = capabilities
    self.memory = memory
    self.root = root
    unsafe contexts = .allocate(capacity: 256)
    unsafe contexts.initialize(repeating: 0, count: 256)
    unsafe domains = .allocate(capacity: capabilities.domainCount)
    unsafe domains.initialize(repeating: Domain(), count: capabilities.domainCount)
  }

  deinit {
    var memory = memory
    for bus in 0..<256 {
      let context = unsafe contexts[bus]
      guard context != 0 else { continue }
      let entry = dma_volatile_load64(root.cpuAddress + UInt(bus) * 16)
      memory.give(
        TableMemory.Page(cpuAddress: context, physicalAddress: entry & TableEntry.addressMask))
    }
    if let queue { memory.give(queue) }
    if let completion { memory.give(completion) }
    memory.give(root)
    unsafe contexts.deallocate()
    unsafe domains.deallocate()
  }
}

extension VTDState {
  /// Waits for the hardware; false when it does not come to it within a second of the machine's
  /// time, or within a million looks while that clock stands still.
  borrowing func wait(until condition: () -> Bool) -> Bool {
    if condition() { return true }
    let start = unsafe platform.pointee.now
    var looks = 0
    while !condition() {
      looks += 1
      if looks & 1023 == 0 {
        let now = unsafe platform.pointee.now
        if now &- start > 1_000_000_000 || (now == start && looks >= 1 << 20) {
          return condition()
        }
      }
      dma_cpu_relax()
    }
    return true
  }

  /// Gives a global command and waits until its status bit is as wanted.
  borrowing func command(_ bit: UInt32, isOn: Bool) -> Bool {
    let lasting =
      registers.read(UInt32.self, at: VTDRegister.globalStatus) & VTDRegister.lastingCommands
    registers.write(isOn ? lasting | bit : lasting & ~bit, at: VTDRegister.globalCommand)
    var status: UInt32 = 0
    let isDone = wait {
      status = registers.read(at: VTDRegister.globalStatus)
      return status == .max || (status & bit != 0) == isOn
    }
    // All ones: the unit is gone, and will not do it later either.
    return isDone && status != .max
  }

  /// Makes the CPU's stores to tables visible to the unit.
  borrowing func publish(_ address: UInt, _ byteCount: Int) {
    if !capabilities.isCoherent {
      unsafe platform.pointee.operations.maintainCache(
        platform.pointee.context, address, byteCount, CacheOperation.clean.rawValue)
    }
    dma_barrier_write()
  }

  /// Flushes the root complex's write buffers, where there are some.
  borrowing func flushWriteBuffer() -> Bool {
    guard capabilities.needsWriteBufferFlush else { return true }
    let lasting =
      registers.read(UInt32.self, at: VTDRegister.globalStatus) & VTDRegister.lastingCommands
    registers.write(
      lasting | VTDRegister.writeBufferFlush, at: VTDRegister.globalCommand)
    return wait {
      registers.read(UInt32.self, at: VTDRegister.globalStatus) & VTDRegister.writeBufferFlush == 0
    }
  }

  // MARK: Setting up

  /// Turns translation on: from now on every device needs a domain.
  mutating func start(usesQueue: Bool) throws(DMAError) {
    guard command(VTDRegister.translationEnable, isOn: false) else { throw .timedOut }
    if capabilities.hasProtectedMemory {
      registers.write(UInt32(0), at: VTDRegister.protectedMemoryEnable)
    }
    guard command(VTDRegister.queueEnable, isOn: false) else { throw .timedOut }
    publish(root.cpuAddress, 4096)
    registers.write(root.physicalAddress, at: VTDRegister.rootTable)
    guard command(VTDRegister.setRootTable, isOn: true), flushWriteBuffer() else {
      throw .timedOut
    }
    if usesQueue && capabilities.hasQueue {
      guard let queue = memory.take() else { throw .outOfMemory(byteCount: 4096, limit: .max) }
      self.queue = queue
      guard let completion = memory.take() else {
        throw .outOfMemory(byteCount: 4096, limit: .max)
      }
      self.completion = completion
      guard startQueue() else { throw .timedOut }
    }
    guard invalidateContexts(.global), invalidateTranslations(.global) else { throw .timedOut }
    guard command(VTDRegister.translationEnable, isOn: true) else { throw .timedOut }
  }

  /// Turns everything off again; the tables may be freed when it returns true.
  mutating func stop() -> Bool {
    let isOff = command(VTDRegister.translationEnable, isOn: false)
    let isQuiet = queue == nil || command(VTDRegister.queueEnable, isOn: false)
    return isOff && isQuiet
  }

  // MARK: Domains and devices

  mutating func beginDomain(_ rootPhysicalAddress: UInt64, _ levels: UInt32) -> UInt32? {
    // Number 0 is the hardware's own in caching mode.
    for id in 1..<capabilities.domainCount where unsafe domains[id].levels == 0 {
      unsafe domains[id] = Domain(rootPhysicalAddress: rootPhysicalAddress, levels: levels)
      return UInt32(id)
    }
    return nil
  }

  mutating func endDomain(_ id: UInt32) -> Bool {
    for bus in 0..<256 {
      let context = unsafe contexts[bus]
      guard context != 0 else { continue }
      for index in 0..<UInt(256) {
        let entry = context + index * 16
        if dma_volatile_load64(entry) & 1 != 0,
          UInt32(truncatingIfNeeded: dma_volatile_load64(entry + 8) >> 8 & 0xffff) == id
        {
          dma_volatile_store64(entry, 0)
          publish(entry, 16)
        }
      }
    }
    guard invalidateContexts(.domain(id)), invalidateTranslations(.domain(id)) else { return false }
    unsafe domains[Int(id)] = Domain()
    return true
  }

  /// Takes a device out of a domain, if it is in it.
  mutating func clearContext(_ requester: UInt16, of domain: UInt32) -> DMAStatus {
    let context = unsafe contexts[Int(requester >> 8)]
    guard context != 0 else { return .success }
    let entry = context + UInt(requester & 255) * 16
    guard UInt32(truncatingIfNeeded: dma_volatile_load64(entry + 8) >> 8 & 0xffff) == domain else {
      return .success
    }
    return setContext(requester, domain: nil)
  }

  /// Sets or clears a device's context entry (VT-d specification 9.3).
  mutating func setContext(_ requester: UInt16, domain: UInt32?) -> DMAStatus {
    let bus = Int(requester >> 8)
    if unsafe contexts[bus] == 0 {
      guard domain != nil else { return .success }
      guard let page = memory.take() else { return .outOfMemory }
      unsafe contexts[bus] = page.cpuAddress
      let entry = root.cpuAddress + UInt(bus) * 16
      dma_volatile_store64(entry, page.physicalAddress | 1)
      publish(entry, 16)
    }
    let entry = unsafe contexts[bus] + UInt(requester & 255) * 16
    let old = dma_volatile_load64(entry)
    let oldDomain = UInt32(truncatingIfNeeded: dma_volatile_load64(entry + 8) >> 8 & 0xffff)
    dma_volatile_store64(entry, 0)
    publish(entry, 16)
    if old & 1 != 0 {
      guard invalidateContexts(.device(oldDomain, requester)),
        invalidateTranslations(.domain(oldDomain))
      else { return .machine }
    }
    guard let domain else { return .success }
    let record = unsafe domains[Int(domain)]
    // Address width: 1 for three levels, 2 for four. The present bit comes last.
    dma_volatile_store64(entry + 8, UInt64(domain) << 8 | UInt64(record.levels - 2))
    dma_barrier_write()
    dma_volatile_store64(entry, record.rootPhysicalAddress | 1)
    publish(entry, 16)
    // In caching mode absent entries are cached under domain 0.
    let absent: UInt32 = capabilities.isCachingMode ? 0 : domain
    guard flushWriteBuffer(), invalidateContexts(.device(absent, requester)),
      invalidateTranslations(.domain(domain))
    else { return .machine }
    return .success
  }
}
