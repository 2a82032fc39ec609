internal import DMA
internal import Synchronization

/// Counts what a driver does with its device's memory: an observer of events.
final class EventCounter {
  struct Counts {
    var maps = 0
    var refusedMaps = 0
    var unmaps = 0
    var syncs = 0
    var dropped = 0
    var bytesToDevice: UInt64 = 0
    var bytesFromDevice: UInt64 = 0
    /// Blocks of pools in use, now and at most.
    var poolBlocks = 0
    var poolBlockMax = 0
    /// Maps that were not unmapped yet.
    var live: Int { maps - unmaps }
  }

  private let state = Mutex(Counts())

  /// What was counted so far.
  var counts: Counts { state.withLock { $0 } }

  /// Starts to count a device's events.
  func observe(_ device: DMADevice) { device.setObserver(observer) }

  /// The observer that `observe(_:)` sets.
  var observer: DMAObserver {
    // SAFETY: the observer holds self as its owner, so the context stays valid.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    return unsafe DMAObserver(
      receive: { context, event in
        // SAFETY: the context is the counter, the event is valid during the call.
        let counter = unsafe Unmanaged<EventCounter>.fromOpaque(context).takeUnretainedValue()
        unsafe counter.count(event.assumingMemoryBound(to: DMAEvent.self).pointee)
      }, context: context, owner: self)
  }

  private func count(_ event: DMAEvent) {
    state.withLock { counts in
      switch event.kind {
      case .map where event.status != .success: counts.refusedMaps += 1
      case .map:
        counts.maps += 1
        if event.direction != .fromDevice { counts.bytesToDevice += event.byteCount }
        if event.direction != .toDevice { counts.bytesFromDevice += event.byteCount }
      case .unmap: counts.unmaps += 1
      case .syncForCPU, .syncForDevice: counts.syncs += 1
      case .dropped: counts.dropped += 1
      case .poolAllocate where event.status == .success:
        counts.poolBlocks += 1
        counts.poolBlockMax = max(counts.poolBlockMax, counts.poolBlocks)
      case .poolFree where event.status == .success: counts.poolBlocks -= 1
      default: break
      }
    }
  }
}
