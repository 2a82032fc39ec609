internal import CQEMUHost

/// A value behind a lock that sleeps when another thread holds it; it also compiles without an
/// operating system's own module.
@safe
final class HostLock<Value: ~Copyable>: @unchecked Sendable {
  // SAFETY (Sendable): the value is only touched with the lock held.
  private let lock: UnsafeMutableRawPointer
  private let value: UnsafeMutablePointer<Value>

  init(_ value: consuming Value) {
    guard let lock = unsafe qemu_host_lock_create() else { fatalError("no memory for a lock") }
    unsafe self.lock = unsafe lock
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
  }

  deinit {
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
    unsafe qemu_host_lock_destroy(lock)
  }

  /// Runs `body` with the lock held.
  func withLock<R: ~Copyable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> R
  ) throws(Failure) -> R {
    unsafe qemu_host_lock(lock)
    defer { unsafe qemu_host_unlock(lock) }
    // SAFETY: initialised in `init`; the lock is held.
    return try unsafe body(&value.pointee)
  }
}
