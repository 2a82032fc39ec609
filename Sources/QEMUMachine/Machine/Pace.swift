internal import CQEMUHost
internal import Synchronization

/// How long a waiting loop pauses: an eighth of the time it has waited so far.
///
/// So a wait takes at most an eighth longer than what it waits for, and asks QEMU a few dozen
/// times where it takes long, instead of thousands. A write to a register begins a new wait.
final class Pace: Sendable {
  /// A pause is at most this long.
  static let pauseMax: UInt64 = 1_000_000
  /// Shorter pauses only let others run: the host's timers are no finer.
  static let pauseMin: UInt64 = 20_000
  /// When nobody paused for so long, the next pause begins a new wait.
  static let idle: UInt64 = 20_000_000

  private let start = Atomic<UInt64>(0)
  private let last = Atomic<UInt64>(0)

  /// Something was asked of a device: what is waited for now is new.
  func restart() {
    // Relaxed, as all here: a lost update costs a pause of another length.
    start.store(0, ordering: .relaxed)
  }

  /// Pauses.
  func pause() {
    let now = MonotonicClock.nanoseconds
    var begin = start.load(ordering: .relaxed)
    if begin == 0 || now &- last.load(ordering: .relaxed) > Self.idle {
      begin = now
      start.store(now, ordering: .relaxed)
    }
    let length = min((now &- begin) / 8, Self.pauseMax)
    qemu_host_pause(length < Self.pauseMin ? 0 : length)
    last.store(MonotonicClock.nanoseconds, ordering: .relaxed)
  }
}
