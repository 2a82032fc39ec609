internal import DMASupport
internal import Glibc
internal import MachineHost

extension VFIOInterrupts {
  /// A moment's pause of a waiting loop, which an interrupt ends: none at first.
  ///
  /// A disk answers in microseconds, so short waits spin and long ones leave the processor to
  /// others.
  func pause(_ pace: WaitPace) {
    /// So long a wait only spins.
    let spin: UInt64 = 50_000
    let waited = pace.waited(at: MonotonicClock.nanoseconds)
    if waited < spin {
      for _ in 0..<16 { dma_cpu_relax() }
    } else if waited < 4 * spin {
      sched_yield()
    } else {
      wait(nanoseconds: WaitPace.pause(after: waited))
      pace.resumed(at: MonotonicClock.nanoseconds)
    }
  }
}

enum MonotonicClock {
  static var nanoseconds: UInt64 {
    var time = timespec()
    // SAFETY: clock_gettime fills the struct it is given.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
