internal import CSimulatedHost
internal import DMA
internal import Synchronization

/// The machine's time and what is due when; no wall clock.
///
/// Work due at the same time runs in an order that the seed decides, and each delay is stretched a
/// little by it. Time moves when somebody waits (`relax`) and, by a few nanoseconds, when somebody
/// looks at it, so that no loop can wait for ever.
///
/// Where devices have a thread of their own, it is the host's steady clock instead.
@safe
final class SimulatedClock {
  private struct State: ~Copyable {
    var events = EventHeap()
    var random: SeededRandom
    /// How far an idle `relax` moves time.
    var idleStep = SimulatedClock.shortestStep
  }

  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>
  private let time = Atomic<UInt64>(0)
  /// Whether time is the host's.
  private let isHostTime: Bool
  private let start = simulated_host_nanoseconds()
  /// What to do when something was scheduled.
  private let alarm: Alarm?

  /// What reading the clock takes.
  private static let readCost: UInt64 = 10
  /// An idle wait begins with steps of 1 us, so that short timeouts are kept, and goes on with
  /// longer ones up to 1 ms, so that long ones end soon.
  private static let shortestStep: UInt64 = 1_000
  private static let longestStep: UInt64 = 1_000_000

  /// - Parameter alarm: rung when something was scheduled; time is the host's then.
  init(seed: UInt64, alarm: Alarm?) {
    self.alarm = alarm
    isHostTime = alarm != nil
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State(random: SeededRandom(seed: seed)))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Nanoseconds since the machine started.
  func now() -> UInt64 {
    if isHostTime { return simulated_host_nanoseconds() - start }
    // Relaxed: a counter; nothing else is published with it.
    return time.add(Self.readCost, ordering: .relaxed).newValue
  }

  /// Asks that an event be handed out once `delay` has passed, never within the same `relax`.
  func schedule(slot: Int, generation: UInt64, tag: UInt64, after delay: UInt64) {
    lock.withLock {
      // SAFETY: the state lives as long as this object; the lock is held.
      let jitter = unsafe state.pointee.random.next(upTo: delay / 8)
      let order = unsafe state.pointee.random.next()
      let stretched = delay.addingReportingOverflow(jitter)
      let after = max(1, stretched.overflow ? delay : stretched.partialValue)
      let now = isHostTime ? self.now() : time.load(ordering: .relaxed)
      let due = now.addingReportingOverflow(after)
      unsafe state.pointee.events.push(
        ClockEvent(
          time: due.overflow ? .max : due.partialValue, order: order, slot: slot,
          generation: generation, tag: tag))
      unsafe state.pointee.idleStep = Self.shortestStep
    }
    alarm?.ring()
  }

  /// When the next event is due, if there is one.
  var nextTime: UInt64? { lock.withLock { unsafe state.pointee.events.first?.time } }

  /// Moves time on: to the next event if it is near, else by one step.
  ///
  /// - Returns: the new time.
  func advance() -> UInt64 {
    lock.withLock {
      let now = time.load(ordering: .relaxed)
      // SAFETY: as above.
      let step = unsafe state.pointee.idleStep
      var target = now.addingReportingOverflow(step).partialValue
      if let next = unsafe state.pointee.events.first, next.time <= target {
        target = max(now, next.time)
      }
      unsafe state.pointee.idleStep = min(Self.longestStep, step * 2)
      // Readers may have moved time meanwhile: it never goes back.
      _ = time.max(target, ordering: .relaxed)
      return max(now, target)
    }
  }

  /// Takes the next event that is due at `time`, if any.
  func takeDue(at time: UInt64) -> ClockEvent? {
    lock.withLock {
      // SAFETY: as above.
      guard let next = unsafe state.pointee.events.first, next.time <= time else { return nil }
      unsafe state.pointee.events.removeFirst()
      unsafe state.pointee.idleStep = Self.shortestStep
      return next
    }
  }
}

// SAFETY: the state is only touched with the lock held.
extension SimulatedClock: @unchecked Sendable {}
