internal import Synchronization

/// The machine as devices and drivers see it: where memory comes from, and time.
///
/// Made by machines (simulated, QEMU, VFIO, bare metal). Long-lived; any thread may use it.
@safe
public final class Platform {
  @usableFromInline
  let core: UnsafeMutablePointer<PlatformCore>
  /// Where messages for people go.
  public let log = DMALog()

  /// For those who write a machine.
  ///
  /// - Parameters:
  ///   - operations: the machine's functions.
  ///   - context: passed to each of them.
  ///   - owner: keeps `context` valid; released after the last buffer is freed. It must not hold
  ///     this object, or neither ever ends.
  ///   - lowestLimit: the end of the lowest memory zone: no smaller limit can be served (R22).
  ///   - highestAddress: the highest physical address of any memory.
  ///   - isCoherent: whether no cache maintenance is needed between CPU and devices.
  public init(
    operations: PlatformOperations, context: UnsafeMutableRawPointer, owner: AnyObject,
    lowestLimit: UInt64, highestAddress: UInt64, isCoherent: Bool
  ) {
    let core = UnsafeMutablePointer<PlatformCore>.allocate(capacity: 1)
    // SAFETY: freshly allocated for one core; destroyed only by PlatformCore.release.
    unsafe core.initialize(
      to: PlatformCore(
        operations: operations, context: context, owner: Unmanaged.passRetained(owner),
        lowestLimit: lowestLimit, highestAddress: highestAddress, isCoherent: isCoherent,
        users: Atomic(1), holders: Atomic(1), lock: RawSpinLock(), devices: nil, deviceCount: 0))
    unsafe self.core = core
  }

  deinit { unsafe PlatformCore.release(core) }

  /// What mappings keep instead of this object, which would never end if they held it.
  ///
  /// They say so with `PlatformCore.hold`.
  public var unsafeCore: UnsafeMutablePointer<PlatformCore> { unsafe core }

  /// Nanoseconds since the machine started; simulated machines count their own time.
  public var nanoseconds: UInt64 {
    // SAFETY: the core lives as long as this object.
    unsafe core.pointee.operations.now(core.pointee.context)
  }

  /// Gives devices a moment, in a loop that waits for one.
  ///
  /// Delivers interrupts that are due. Mappings do what they have put off: a deferred flush, a look
  /// at an IOMMU's fault records.
  public func relax() {
    // SAFETY: as above.
    unsafe core.pointee.operations.relax(core.pointee.context)
    unsafe PlatformCore.poll(core)
  }

  /// Gives devices a moment, in a loop that has waited for one for some time.
  ///
  /// As `relax()`. A machine with a scheduler spins at first and sleeps the longer the longer the
  /// wait: so a device that answers at once is not kept waiting, and one that is slow does not cost
  /// a processor.
  ///
  /// - Parameter waited: nanoseconds of the machine's clock since there last was progress.
  public func relax(after waited: UInt64) {
    // SAFETY: as above.
    if let relaxAfter = unsafe core.pointee.operations.relaxAfter {
      unsafe relaxAfter(core.pointee.context, waited)
    } else {
      unsafe core.pointee.operations.relax(core.pointee.context)
    }
    unsafe PlatformCore.poll(core)
  }

  /// Waits until `condition` holds or `nanoseconds` have passed on the machine's own clock.
  ///
  /// Must not be called with a spin lock held or in an interrupt: it waits.
  ///
  /// - Throws: `DMAError.wouldBlock` in atomic context, `DMAError.timedOut` (a retry can help).
  public func wait(
    nanoseconds timeout: UInt64, until condition: () -> Bool
  ) throws(DMAError) {
    guard !ExecutionContext.current.isAtomic else { throw .wouldBlock }
    let start = nanoseconds
    while !condition() {
      let waited = nanoseconds &- start
      guard waited < timeout else {
        // The condition may have come true while the clock was read.
        if condition() { return }
        throw .timedOut
      }
      relax(after: waited)
    }
  }

  /// Whether no cache maintenance is needed between CPU and devices.
  public var isCoherent: Bool { unsafe core.pointee.isCoherent }
}

// SAFETY: all mutable state is behind the core's lock or atomic; machines make their operations
// callable from any thread.
extension Platform: @unchecked Sendable {}
