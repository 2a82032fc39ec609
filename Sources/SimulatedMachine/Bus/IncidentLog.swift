internal import DMA

/// The last incidents on the bus, and how many there were in all.
@safe
final class IncidentLog {
  private struct State: ~Copyable {
    var incidents: [BusIncident] = []
    var count: UInt64 = 0
  }

  /// A device that runs wild must not fill the host's memory.
  static var keptCountMax: Int { 1024 }

  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>

  init() {
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State())
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  func append(_ incident: BusIncident) {
    lock.withLock {
      // SAFETY: the state lives as long as this object; the lock is held.
      unsafe state.pointee.count += 1
      if unsafe state.pointee.incidents.count < Self.keptCountMax {
        unsafe state.pointee.incidents.append(incident)
      }
    }
  }

  /// The first incidents since the last call, oldest first.
  func take() -> [BusIncident] {
    lock.withLock {
      let taken = unsafe state.pointee.incidents
      unsafe state.pointee.incidents = []
      return taken
    }
  }

  /// All incidents since the machine started, kept or not.
  var count: UInt64 { lock.withLock { unsafe state.pointee.count } }
}

// SAFETY: the state is only touched with the lock held.
extension IncidentLog: @unchecked Sendable {}
