internal import Glibc

/// Nanoseconds of the host's clocks.
enum HostClock {
  /// As they pass.
  static var nanoseconds: UInt64 { read(CLOCK_MONOTONIC) }
  /// As this process uses processors.
  static var processorNanoseconds: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    // SAFETY: clock_gettime fills the struct it is given.
    _ = unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
