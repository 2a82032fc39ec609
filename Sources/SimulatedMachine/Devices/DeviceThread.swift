internal import CSimulatedHost
internal import Synchronization

/// Does what devices have scheduled.
///
/// Either whenever a driver waits, in the order the seed decides, or on a thread of its own.
final class DeviceRunner {
  let clock: SimulatedClock
  let slots: DeviceSlots
  let alarm: Alarm?
  private let isStopped = Atomic(false)

  init(clock: SimulatedClock, slots: DeviceSlots, alarm: Alarm?) {
    self.clock = clock
    self.slots = slots
    self.alarm = alarm
  }

  /// Runs everything that is due.
  ///
  /// What a device schedules meanwhile is due later than `time`: this ends.
  func run(at time: UInt64) {
    while let event = clock.takeDue(at: time) {
      guard let device = slots.device(event.slot, generation: event.generation) else { continue }
      device.withLock { device.step(now: time, tag: event.tag) }
    }
  }

  /// The thread's life.
  fileprivate func runUntilStopped() {
    // Acquiring: pairs with `stop`.
    while !isStopped.load(ordering: .acquiring) {
      run(at: clock.now())
      let now = clock.now()
      // With nothing to do it sleeps until it is rung; a second bounds what a bug could cost.
      let next = clock.nextTime ?? now + 1_000_000_000
      if next > now { alarm?.sleep(nanoseconds: next - now) }
    }
  }

  fileprivate func stop() {
    // Releasing: pairs with the loop above.
    isStopped.store(true, ordering: .releasing)
    alarm?.ring()
  }
}

// SAFETY: its parts have locks of their own.
extension DeviceRunner: @unchecked Sendable {}

/// The thread on which devices live, while there is one.
@safe
final class DeviceThread {
  private let runner: DeviceRunner
  private let thread: UnsafeMutableRawPointer

  /// - Throws: `SimulatedMachineError.host` when the host has no thread left.
  init(_ runner: DeviceRunner) throws(SimulatedMachineError) {
    self.runner = runner
    // The thread holds the runner for as long as it runs.
    let context = unsafe Unmanaged.passRetained(runner).toOpaque()
    let body: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
      guard let context = unsafe context else { return }
      // SAFETY: passed retained above, and taken back once, here.
      let runner = unsafe Unmanaged<DeviceRunner>.fromOpaque(context).takeRetainedValue()
      runner.runUntilStopped()
    }
    guard let thread = unsafe simulated_host_thread_start(body, context) else {
      unsafe Unmanaged<DeviceRunner>.fromOpaque(context).release()
      // EAGAIN: no threads left.
      throw .host(code: 11)
    }
    unsafe self.thread = thread
  }

  deinit {
    runner.stop()
    // SAFETY: started above, joined once.
    unsafe simulated_host_thread_join(thread)
  }
}

// SAFETY: nothing changes after its start.
extension DeviceThread: @unchecked Sendable {}
