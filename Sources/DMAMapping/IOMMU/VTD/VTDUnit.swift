public import DMA
internal import DMASupport

/// An Intel VT-d remapping unit, driven through its registers (VT-d specification, legacy mode).
///
/// Making it turns translation on: a device then reaches memory only after its requester number
/// was attached to an `IOMMUDomain`. Works on hardware, on QEMU's `intel-iommu` and on simulated
/// registers alike. Any thread.
@safe
public final class VTDUnit {
  private let state: UnsafeMutablePointer<VTDState>
  private let levels: Int

  /// How a unit is driven.
  public struct Options: Sendable {
    /// Whether invalidations go through the unit's queue where it has one, instead of registers.
    public var usesQueue = true
    /// Table levels to use; nil: four where the unit has them, else three.
    public var tableLevels: Int? = nil

    public init() {}
  }

  /// Takes a unit over and turns translation on.
  ///
  /// - Parameter registers: 4 KiB or more.
  /// - Throws: `DMAError.machine(code: 19)` when no unit answers or it cannot translate with the
  ///   levels wanted; `.timedOut` when it does not do what it is told; `.outOfMemory`.
  public init(
    registers: RegisterWindow, platform: Platform, options: Options = Options()
  ) throws(DMAError) {
    let capabilities = VTDCapabilities(
      capability: registers.read(at: VTDRegister.capability),
      extended: registers.read(at: VTDRegister.extendedCapability))
    let version = registers.read(UInt32.self, at: VTDRegister.version)
    guard version != 0, version != .max, capabilities.capability != .max else {
      throw .machine(code: 19)
    }
    let offered = capabilities.supportedLevels
    let levels = options.tableLevels ?? (offered & 4 != 0 ? 4 : 3)
    guard levels == 3 && offered & 2 != 0 || levels == 4 && offered & 4 != 0 else {
      throw .machine(code: 19)
    }
    var fresh = try unsafe VTDState(
      platform: platform.unsafeCore, registers: registers, capabilities: capabilities)
    do throws(DMAError) {
      try fresh.start(usesQueue: options.usesQueue)
    } catch {
      _ = fresh.stop()
      throw error
    }
    self.levels = levels
    unsafe PlatformCore.hold(platform.unsafeCore)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: fresh)
    // A look costs a register read or two: not at each turn of a loop that waits.
    unsafe PlatformCore.addPoller(
      platform.unsafeCore, every: 1_000_000, context: UnsafeMutableRawPointer(state)
    ) { context in
      let state = unsafe context.assumingMemoryBound(to: VTDState.self)
      // Without observers the records wait for `takeFaults`.
      if unsafe PlatformCore.isObserved(state.pointee.platform) {
        unsafe VTDState.reportFaults(state)
      }
    }
  }

  deinit {
    let platform = unsafe state.pointee.platform
    unsafe PlatformCore.removePoller(platform, context: UnsafeMutableRawPointer(state))
    // A unit that does not stop may still walk its tables: they stay.
    if unsafe state.pointee.stop() { unsafe state.deinitialize(count: 1) }
    unsafe state.deallocate()
    unsafe PlatformCore.drop(platform)
  }

  /// What domains are made with.
  public var unit: IOMMUUnit {
    let capabilities = unsafe state.pointee.capabilities
    return unsafe IOMMUUnit(
      operations: vtdOperations, context: UnsafeMutableRawPointer(state), owner: self,
      levels: levels, lastAddress: 1 << UInt64(capabilities.addressBits) - 1,
      walksCoherently: capabilities.isCoherent,
      cachesAbsentEntries: capabilities.isCachingMode || capabilities.needsWriteBufferFlush,
      // Writes there are interrupts and never translated.
      reserved: 0xfee0_0000...0xfeef_ffff)
  }

  /// Invalidations asked of the hardware so far.
  public var invalidationCount: Int {
    unsafe state.pointee.lock.withLock { unsafe state.pointee.commandCount }
  }

  /// Whether translation is on.
  public var isTranslating: Bool {
    unsafe state.pointee.registers.read(UInt32.self, at: VTDRegister.globalStatus)
      & VTDRegister.translationEnable != 0
  }

  /// Tells the observers of devices which of their accesses were refused since the last time: a
  /// `DMAEvent.Kind.fault` for each (R78).
  ///
  /// Happens by itself, about every millisecond, while somebody waits on the machine
  /// (`Platform.relax()`, `wait`); call it to hear of faults at once. Any thread.
  public func reportFaults() { unsafe VTDState.reportFaults(state) }

  /// Takes the accesses that were refused since the last call, told to observers or not (R78).
  ///
  /// - Parameter body: called with each, in the order of the unit's records.
  /// - Returns: whether some were lost because the unit's records were full, or because nobody took
  ///   256 of them.
  @discardableResult
  public func takeFaults(_ body: (IOMMUFault) -> Void) -> Bool {
    unsafe VTDState.reportFaults(state)
    let (faults, hasLost) = unsafe state.pointee.lock.withLock {
      unsafe state.pointee.takeKeptFaults()
    }
    for fault in faults { body(fault) }
    return hasLost
  }
}

// SAFETY: the state has a lock.
extension VTDUnit: @unchecked Sendable {}

// Made once and never freed: domains point to it. An immutable table of functions.
nonisolated(unsafe) private let vtdOperations: UnsafePointer<IOMMUUnitOperations> = {
  let table = UnsafeMutablePointer<IOMMUUnitOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table.
  unsafe table.initialize(
    to: IOMMUUnitOperations(
      beginDomain: { context, root, levels, numbers in
        let state = unsafe unit(context)
        let id = unsafe state.pointee.lock.withLock {
          unsafe state.pointee.beginDomain(root, levels)
        }
        // ENOSPC: all domain numbers are taken.
        unsafe numbers[0] = UInt64(id ?? 28)
        return (id == nil ? DMAStatus.machine : .success).rawValue
      },
      endDomain: { context, domain in
        let state = unsafe unit(context)
        return status(
          unsafe state.pointee.lock.withLock { unsafe state.pointee.endDomain(domain) })
      },
      attach: { context, domain, requester, numbers in
        unsafe changeContext(context, numbers) { unit in
          unsafe unit.pointee.setContext(requester, domain: domain)
        }
      },
      detach: { context, domain, requester, numbers in
        unsafe changeContext(context, numbers) { unit in
          unsafe unit.pointee.clearContext(requester, of: domain)
        }
      },
      invalidateRange: { context, domain, address, byteCount, withTables in
        let state = unsafe unit(context)
        return status(
          unsafe state.pointee.lock.withLock {
            unsafe state.pointee.invalidate(
              domain, first: address >> 12, count: byteCount >> 12, withTables: withTables != 0)
          })
      },
      invalidateDomain: { context, domain in
        let state = unsafe unit(context)
        return status(
          unsafe state.pointee.lock.withLock {
            unsafe state.pointee.invalidateTranslations(.domain(domain))
          })
      }))
  return unsafe UnsafePointer(table)
}()

private func unit(_ context: UnsafeMutableRawPointer) -> UnsafeMutablePointer<VTDState> {
  // SAFETY: what every function of the table is called with.
  unsafe context.assumingMemoryBound(to: VTDState.self)
}

private func status(_ isDone: Bool) -> Int32 {
  (isDone ? DMAStatus.success : .machine).rawValue
}

private func changeContext(
  _ context: UnsafeMutableRawPointer, _ numbers: UnsafeMutablePointer<UInt64>,
  _ change: (UnsafeMutablePointer<VTDState>) -> DMAStatus
) -> Int32 {
  let state = unsafe unit(context)
  let status = unsafe state.pointee.lock.withLock { unsafe change(state) }
  // ETIMEDOUT for a unit that does not answer, bytes for memory that is missing.
  unsafe numbers[0] = status == .machine ? 110 : 4096
  unsafe numbers[1] = .max
  return status.rawValue
}
