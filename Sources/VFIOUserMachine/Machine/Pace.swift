internal import Synchronization

/// How long a waiting loop pauses: an eighth of the time it has waited so far.
///
/// So a wait takes at most an eighth longer than what it waits for. An access to a register begins
/// a new wait.
final class Pace: Sendable {
  /// A pause is at most this long.
  static let pauseMax: UInt64 = 1_000_000
  /// When nobody paused for so long, the next pause begins a new wait.
  static let idle: UInt64 = 20_000_000

  private let start = Atomic<UInt64>(0)
  private let last = Atomic<UInt64>(0)

  /// Something was asked of the device: what is waited for now is new.
  func restart() {
    // Relaxed, as all here: a lost update costs a pause of another length.
    start.store(0, ordering: .relaxed)
  }

  /// How long to pause now.
  func next() -> UInt64 {
    let now = MonotonicClock.nanoseconds
    var begin = start.load(ordering: .relaxed)
    if begin == 0 || now &- last.load(ordering: .relaxed) > Self.idle {
      begin = now
      start.store(now, ordering: .relaxed)
    }
    last.store(now, ordering: .relaxed)
    return min((now &- begin) / 8, Self.pauseMax)
  }
}
