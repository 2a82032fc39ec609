internal import CSimulatedHost

/// Something a thread can sleep on until it is rung.
@safe
final class Alarm {
  private let signal: UnsafeMutableRawPointer

  /// Nil when the host has no memory for it.
  init?() {
    guard let signal = unsafe simulated_host_signal_create() else { return nil }
    unsafe self.signal = signal
  }

  deinit { unsafe simulated_host_signal_destroy(signal) }

  // SAFETY: the signal lives as long as this object.

  /// Ends the sleep that is under way, or the next one.
  func ring() { unsafe simulated_host_signal_notify(signal) }

  /// Sleeps until rung, at most this long.
  func sleep(nanoseconds: UInt64) { unsafe simulated_host_signal_wait(signal, nanoseconds) }
}

// SAFETY: the host's signals are made for several threads.
extension Alarm: @unchecked Sendable {}
