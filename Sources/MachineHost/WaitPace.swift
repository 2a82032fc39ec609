internal import Synchronization

/// How long a waiting loop pauses: an eighth of the time it has waited so far.
///
/// So a wait takes at most an eighth longer than what it waits for, and asks a device a few dozen
/// times where it takes long, instead of thousands. An access to a register begins a new wait. Any
/// thread; a lost update costs a pause of another length.
package final class WaitPace: Sendable {
  /// A pause is at most this long, in nanoseconds.
  package static var pauseMax: UInt64 { 1_000_000 }

  private let start = Atomic<UInt64>(0)
  private let last = Atomic<UInt64>(0)
  private let idle: UInt64

  /// - Parameter idle: when nobody paused for so long, in nanoseconds, the next pause begins a new
  ///   wait.
  package init(idle: UInt64) { self.idle = idle }

  /// Something was asked of a device: what is waited for now is new.
  package func restart() {
    // Relaxed, as all here: see above.
    start.store(0, ordering: .relaxed)
  }

  /// How long the caller has waited, who is about to pause.
  package func waited(at now: UInt64) -> UInt64 {
    var begin = start.load(ordering: .relaxed)
    if begin == 0 || now &- last.load(ordering: .relaxed) > idle {
      begin = now
      start.store(now, ordering: .relaxed)
    }
    last.store(now, ordering: .relaxed)
    return now &- begin
  }

  /// How long to pause after such a wait.
  package static func pause(after waited: UInt64) -> UInt64 { min(waited / 8, pauseMax) }

  /// A pause has ended: it does not count as idle.
  package func resumed(at now: UInt64) { last.store(now, ordering: .relaxed) }
}
