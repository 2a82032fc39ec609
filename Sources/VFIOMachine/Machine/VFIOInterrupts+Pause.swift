internal import DMASupport
internal import Glibc
internal import MachineHost

extension VFIOInterrupts {
  /// So long a wait only spins: a disk answers in microseconds.
  private static var spin: UInt64 { 100_000 }
  /// So long it lets others run, but does not sleep: a sleep's end comes tens of microseconds late.
  private static var yield: UInt64 { 1_000_000 }
  /// The longest sleep where it is not known whether all pauses belong to one wait.
  private static var vaguePauseMax: UInt64 { 50_000 }

  /// A pause of a loop that does not say how long it has waited.
  ///
  /// Registers are memory and nobody sees them used, so `pace` takes all pauses for one wait.
  func pause(_ pace: WaitPace) {
    if pause(after: pace.waited(at: MonotonicClock.nanoseconds), atMost: Self.vaguePauseMax) {
      pace.resumed(at: MonotonicClock.nanoseconds)
    }
  }

  /// A moment's pause, as a wait of that many nanoseconds asks for; an interrupt ends it.
  ///
  /// - Returns: whether the thread slept.
  @discardableResult
  func pause(after waited: UInt64, atMost limit: UInt64 = WaitPace.pauseMax) -> Bool {
    if waited < Self.spin {
      for _ in 0..<16 { dma_cpu_relax() }
      return false
    }
    if waited < Self.yield {
      sched_yield()
      return false
    }
    wait(nanoseconds: min(WaitPace.pause(after: waited), limit))
    return true
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
