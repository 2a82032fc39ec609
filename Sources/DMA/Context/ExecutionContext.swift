internal import DMASupport

/// What the calling thread may do now (R46, R64, R67, R82, T10).
// A raw type: without one, the compiler adds hashing, which asks ports for random seeds.
@frozen
public enum ExecutionContext: UInt8, Equatable, Sendable {
  /// Ordinary code: may wait.
  case process
  /// A spin lock is held: must not wait.
  case spinLockHeld
  /// An interrupt handler is running: must not wait, and must not free consistent memory or
  /// destroy pools.
  case interrupt

  /// The calling thread's context (the core's, where there are no threads).
  public static var current: ExecutionContext {
    if dma_context_interrupt_depth() != 0 { return .interrupt }
    return dma_context_lock_depth() != 0 ? .spinLockHeld : .process
  }

  /// Whether calls that may wait are errors here.
  public var isAtomic: Bool { self != .process }

  /// Runs an interrupt handler: for those who write machines.
  ///
  /// May nest.
  public static func withInterrupt<R: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> R
  ) throws(Failure) -> R {
    dma_context_enter_interrupt()
    defer { dma_context_leave_interrupt() }
    return try body()
  }
}
