import DMA
import Synchronization

/// Counts a device's live mappings from its events.
final class LiveCounter: Sendable {
  struct Counts {
    var maps = 0
    var unmaps = 0
    var dropped = 0
    var syncs = 0
    var poolBlocks = 0
    var poolBlocksEver = 0
  }

  private let state = Mutex(Counts())

  init(_ device: DMADevice) {
    // SAFETY: the observer holds self, so the context stays valid.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    device.setObserver(
      unsafe DMAObserver(
        receive: { context, event in
          let counter = unsafe Unmanaged<LiveCounter>.fromOpaque(context).takeUnretainedValue()
          unsafe counter.count(event.assumingMemoryBound(to: DMAEvent.self).pointee)
        }, context: context, owner: self))
  }

  private func count(_ event: DMAEvent) {
    state.withLock { counts in
      switch event.kind {
      case .map where event.status == .success: counts.maps += 1
      case .mapScatter where event.status == .success: counts.maps += 1
      case .unmap, .unmapScatter: counts.unmaps += 1
      case .syncForCPU: counts.syncs += 1
      case .dropped: counts.dropped += 1
      case .poolAllocate where event.status == .success:
        counts.poolBlocks += 1
        counts.poolBlocksEver += 1
      case .poolFree where event.status == .success: counts.poolBlocks -= 1
      default: break
      }
    }
  }

  var counts: Counts { state.withLock { $0 } }
  /// Blocks of pools that were not freed.
  var livePoolBlocks: Int { counts.poolBlocks }
  /// Mappings that were not ended.
  var live: Int { counts.maps - counts.unmaps }
}
