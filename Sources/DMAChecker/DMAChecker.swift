public import DMA
internal import DMASupport

/// Watches devices and finds broken rules: which rule, which mapping, which call.
///
/// One checker watches any number of devices, on any machines. A map and its unmap cost some
/// tens of nanoseconds more; nothing when it is not attached. It never switches itself off: when
/// its memory is used up it remembers less, counts that, and stays silent about what it can no
/// longer know (`Statistics.isIncomplete`). Any thread may use it.
@safe
public final class DMAChecker {
  let state: UnsafeMutablePointer<CheckerState>
  private let handler: (Finding) -> Void

  /// A checker that watches nothing yet.
  ///
  /// - Parameter handler: gets each finding once for its rule and place, on the thread and in the
  ///   context of the call that broke the rule: it must not wait, and must not call devices.
  public init(_ options: Options = Options(), handler: @escaping (Finding) -> Void) {
    self.handler = handler
    precondition(
      options.cacheLineByteCount > 0
        && options.cacheLineByteCount & (options.cacheLineByteCount - 1) == 0,
      "a cache line is a power of two")
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one state.
    unsafe state.initialize(to: CheckerState(options))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Begins to watch a device, in place of any other observer it has.
  ///
  /// Best before it maps anything: of a device that already has live memory the checker does not
  /// know all, and counts what it cannot judge as unknown.
  public func attach(to device: DMADevice) { device.setObserver(observer(for: device)) }

  /// The observer that `attach(to:)` sets, for use together with others (`DMAObserver.both`).
  public func observer(for device: DMADevice) -> DMAObserver {
    let context = UnsafeMutablePointer<DeviceState>.allocate(capacity: 1)
    let isLate = device.liveCoherentCount > 0 || device.liveClassicCount > 0
    let way = unsafe state.pointee.lock.lockRarely()
    // SAFETY: freshly allocated for one device's state, which is freed with the checker's.
    unsafe context.initialize(
      to: DeviceState(
        checker: state, owner: Unmanaged.passUnretained(self),
        number: UInt32(state.pointee.devices.count + 1), name: device.name,
        core: device.unsafeCore, isIncomplete: isLate,
        moment: device.unsafeCore.pointee.platform.pointee.operations.isTimeReal
          ? dma_counter_moment() : 0))
    unsafe state.pointee.devices.append(KnownDevice(state: context))
    unsafe state.pointee.lock.unlock(way)
    // SAFETY: the observer keeps this object, which keeps the context.
    return unsafe DMAObserver(
      receive: { context, event in unsafe DMAChecker.receive(context, event) },
      context: UnsafeMutableRawPointer(context), owner: self
    ).adding(
      map: { context, address, _, cpuAddress, byteCount, traits, file, line in
        // SAFETY: the context is a DeviceState of `attach`.
        let device = unsafe context.assumingMemoryBound(to: DeviceState.self)
        let state = unsafe device.pointee.checker
        let way = unsafe state.pointee.lock.lock()
        let isDone = unsafe state.pointee.mappedCorrectly(
          device, address, cpuAddress, byteCount, traits, file: file, line: line)
        unsafe state.pointee.lock.unlock(way)
        return isDone
      },
      unmap: { context, address, cpuAddress, byteCount, traits, file, line in
        // SAFETY: as above.
        let device = unsafe context.assumingMemoryBound(to: DeviceState.self)
        let state = unsafe device.pointee.checker
        let way = unsafe state.pointee.lock.lock()
        let isDone = unsafe state.pointee.releasedCorrectly(
          device, address, cpuAddress, byteCount, traits, file: file, line: line)
        unsafe state.pointee.lock.unlock(way)
        return isDone
      })
  }

  private static func receive(_ context: UnsafeMutableRawPointer, _ event: UnsafeRawPointer) {
    // SAFETY: the context is a DeviceState of `attach`; the event is valid during the call.
    let device = unsafe context.assumingMemoryBound(to: DeviceState.self)
    let state = unsafe device.pointee.checker
    let event = unsafe event.assumingMemoryBound(to: DMAEvent.self)
    let way = unsafe state.pointee.lock.lock()
    unsafe state.pointee.handle(event, device)
    let hasPending = unsafe state.pointee.hasPending
    unsafe state.pointee.lock.unlock(way)
    guard hasPending else { return }
    unsafe device.pointee.owner.takeUnretainedValue().deliver()
  }

  /// Gives waiting findings to the handler, without the lock.
  private func deliver() {
    let way = unsafe state.pointee.lock.lockRarely()
    let findings = unsafe state.pointee.pending
    unsafe state.pointee.pending = []
    unsafe state.pointee.hasPending = false
    unsafe state.pointee.lock.unlock(way)
    for finding in findings { handler(finding) }
  }

  private func withDevice(
    _ device: DMADevice, _ body: (UnsafeMutablePointer<DeviceState>) -> Void
  ) {
    let core = unsafe device.unsafeCore
    let way = unsafe state.pointee.lock.lockRarely()
    for known in unsafe state.pointee.devices.reversed() {
      // SAFETY: devices live as long as the state.
      if unsafe known.state.pointee.core == core {
        unsafe body(known.state)
        break
      }
    }
    unsafe state.pointee.lock.unlock(way)
    deliver()
  }

  // MARK: What machines tell

  /// Says that a watched device reached memory, or tried to.
  ///
  /// For machines, which see every access: it is compared with the mappings that are live now.
  public func reportAccess(
    _ device: DMADevice, address: DMAAddress, byteCount: Int, isWrite: Bool
  ) {
    let access = Finding.Access(
      address: address.rawValue, byteCount: UInt64(max(0, byteCount)), isWrite: isWrite,
      reason: nil)
    unsafe withDevice(device) { known in
      unsafe state.pointee.judge(access, known, state.pointee.now(known))
    }
  }

  /// Says that an access of a watched device was refused, by an IOMMU or by the bus.
  ///
  /// The finding names the nearest live mapping and the one that ended there last.
  public func reportFault(
    _ device: DMADevice, address: DMAAddress, byteCount: Int = 1, isWrite: Bool,
    reason: FaultReason
  ) {
    let access = Finding.Access(
      address: address.rawValue, byteCount: UInt64(max(0, byteCount)), isWrite: isWrite,
      reason: reason)
    unsafe withDevice(device) { known in
      unsafe state.pointee.judge(access, known, state.pointee.now(known))
    }
  }

  /// Says that the CPU touched memory that a device owns: for guard pages.
  ///
  /// - Parameters:
  ///   - address: the mapping's, or the first of a list.
  ///   - place: the instruction, for people.
  package func reportCPUAccess(
    _ core: UnsafeMutablePointer<DMADeviceCore>, mappedAt address: DMAAddress, cpuAddress: UInt,
    isWrite: Bool, place: String
  ) {
    let way = unsafe state.pointee.lock.lockRarely()
    for known in unsafe state.pointee.devices.reversed() {
      // SAFETY: devices live as long as the state.
      if unsafe known.state.pointee.core == core {
        unsafe state.pointee.touched(
          known.state, address.rawValue, UInt64(cpuAddress), isWrite: isWrite, place: place)
        break
      }
    }
    unsafe state.pointee.lock.unlock(way)
    deliver()
  }

  /// Says that memory is about to be freed by its owner: mappings of it must have ended.
  public func reportFree(
    cpuAddress: UInt, byteCount: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) {
    reportFree(cpuAddress: cpuAddress, byteCount: byteCount, site: CallSite(file, line))
  }

  /// The same, for the C interface.
  package func reportFree(cpuAddress: UInt, byteCount: Int, site: CallSite) {
    let way = unsafe state.pointee.lock.lockRarely()
    unsafe state.pointee.judgeFree(UInt64(cpuAddress), UInt64(max(0, byteCount)), site)
    unsafe state.pointee.lock.unlock(way)
    deliver()
  }

  /// Reports what a device still has when its driver leaves it, and the device stays.
  package func reportLeaks(of device: DMADevice) {
    unsafe withDevice(device) { unsafe state.pointee.reportLeaks($0, nil) }
  }

  // MARK: Results

  /// Reports what devices that were not removed still have: for the end of a program.
  ///
  /// - Returns: what was seen in all.
  @discardableResult
  public func finish() -> Statistics {
    let way = unsafe state.pointee.lock.lockRarely()
    for device in unsafe state.pointee.devices where unsafe !device.state.pointee.isRemoved {
      // SAFETY: devices live as long as the state.
      unsafe state.pointee.reportLeaks(device.state, nil)
    }
    unsafe state.pointee.lock.unlock(way)
    deliver()
    return statistics
  }

  /// What was seen so far.
  public var statistics: Statistics {
    let way = unsafe state.pointee.lock.lockRarely()
    defer { unsafe state.pointee.lock.unlock(way) }
    var result = unsafe state.pointee.statistics
    unsafe result.liveCount = state.pointee.live.count + state.pointee.blocks.count
    unsafe result.lostSiteCount = state.pointee.sites.lostCount
    return result
  }

  /// How often a rule was broken, repeats included.
  public func violationCount(of rule: CheckRule) -> UInt64 {
    let way = unsafe state.pointee.lock.lockRarely()
    defer { unsafe state.pointee.lock.unlock(way) }
    return unsafe state.pointee.ruleCounts[Int(rule.rawValue)]
  }
}

// SAFETY: all mutable state is behind the lock; the handler is told in which contexts it runs.
extension DMAChecker: @unchecked Sendable {}
