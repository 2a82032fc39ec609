internal import DMASupport
package import Synchronization

/// A lock for a few instructions, that does not count as atomic context.
///
/// For the library itself.
package struct RawSpinLock: ~Copyable {
  @usableFromInline let isHeld: Atomic<Bool>

  @inlinable
  package init() { isHeld = Atomic(false) }

  /// Takes the lock, spinning while another holds it.
  @inlinable
  @inline(__always)
  package func lock() {
    // Acquiring: what the last holder wrote is seen.
    while isHeld.exchange(true, ordering: .acquiring) {
      // Relaxed reads keep the cache line shared while waiting.
      while isHeld.load(ordering: .relaxed) { Self.pause() }
    }
  }

  /// Takes the lock if nobody has it.
  @inlinable
  package func tryLock() -> Bool { !isHeld.exchange(true, ordering: .acquiring) }

  /// Gives the lock back.
  @inlinable
  @inline(__always)
  package func unlock() {
    // Releasing: what was written under the lock is seen by the next holder.
    isHeld.store(false, ordering: .releasing)
  }

  @usableFromInline
  static func pause() { dma_cpu_relax() }

  /// Runs `body` with the lock held.
  @inlinable
  package func withLock<R: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> R
  ) throws(Failure) -> R {
    lock()
    defer { unlock() }
    return try body()
  }
}

/// The spin lock for drivers: while it is held, the thread is in atomic context (R64, R67).
///
/// Calls that may wait are errors inside. Not recursive: taking it twice on one thread never
/// returns. Interrupts are not masked: where a machine delivers them on another thread, that
/// thread spins; where it delivers them on this one, it does so only in `Platform.relax`, which a
/// holder must not call.
public struct DMASpinLock: ~Copyable {
  let raw = RawSpinLock()

  /// A lock nobody holds.
  public init() {}

  /// Runs `body` with the lock held.
  public func withLock<R: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> R
  ) throws(Failure) -> R {
    dma_context_enter_lock()
    defer { dma_context_leave_lock() }
    return try raw.withLock(body)
  }
}
