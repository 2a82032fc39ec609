internal import CVFIO
internal import DMASupport
internal import Glibc
internal import Synchronization

/// How long a waiting loop pauses: not at all at first, later an eighth of the time it has waited.
///
/// A disk answers in microseconds and an interrupt ends any pause, so short waits spin and long
/// ones leave the processor to others.
final class WaitPace: Sendable {
  /// So long a wait only spins.
  static let spin: UInt64 = 50_000
  /// A pause is at most this long.
  static let pauseMax: UInt64 = 1_000_000
  /// When nobody paused for so long, the next pause begins a new wait.
  static let idle: UInt64 = 5_000_000

  private let start = Atomic<UInt64>(0)
  private let last = Atomic<UInt64>(0)

  static var now: UInt64 {
    var time = timespec()
    // SAFETY: clock_gettime fills the struct it is given.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Something was asked of a device: what is waited for now is new.
  func restart() {
    // Relaxed, as all here: a lost update costs a pause of another length.
    start.store(0, ordering: .relaxed)
  }

  /// Pauses; an interrupt ends it.
  func pause(_ interrupts: VFIOInterrupts) {
    let now = Self.now
    var begin = start.load(ordering: .relaxed)
    if begin == 0 || now &- last.load(ordering: .relaxed) > Self.idle {
      begin = now
      start.store(now, ordering: .relaxed)
    }
    last.store(now, ordering: .relaxed)
    let waited = now &- begin
    if waited < Self.spin {
      for _ in 0..<16 { dma_cpu_relax() }
    } else if waited < 4 * Self.spin {
      sched_yield()
    } else {
      interrupts.wait(nanoseconds: min(waited / 8, Self.pauseMax))
      last.store(Self.now, ordering: .relaxed)
    }
  }
}
