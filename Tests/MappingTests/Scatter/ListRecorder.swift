import DMA
import Synchronization

/// Keeps what events say about lists, segments included.
final class ListRecorder: Sendable {
  struct Record: Sendable {
    var kind: DMAEvent.Kind
    var family: DMAEvent.Family
    var status: DMAStatus
    var direction: DMADirection?
    var dmaAddress: UInt64
    var byteCount: UInt64
    var entryCount: UInt32
    var segmentCount: UInt32
    var segments: [DMASegment]
    var line: Int
  }

  private let state = Mutex<[Record]>([])

  var events: [Record] { state.withLock { $0 } }

  static func listen(to device: DMADevice) -> ListRecorder {
    let recorder = ListRecorder()
    // SAFETY: the observer holds the recorder, so the context stays valid.
    let context = unsafe Unmanaged.passUnretained(recorder).toOpaque()
    device.setObserver(
      unsafe DMAObserver(
        receive: { context, event in
          let recorder = unsafe Unmanaged<ListRecorder>.fromOpaque(context).takeUnretainedValue()
          unsafe recorder.add(event.assumingMemoryBound(to: DMAEvent.self).pointee)
        }, context: context, owner: recorder))
    return recorder
  }

  private func add(_ event: DMAEvent) {
    var line = 0
    if case .callSite(let site) = event.origin { line = Int(site.line) }
    // SAFETY: the event lends its segments for the time of the call.
    let segments = unsafe event.segments.map {
      DMASegment(address: DMAAddress(rawValue: $0.dmaAddress), byteCount: Int($0.byteCount))
    }
    let record = Record(
      kind: event.kind, family: event.family, status: event.status, direction: event.direction,
      dmaAddress: event.dmaAddress, byteCount: event.byteCount, entryCount: event.entryCount,
      segmentCount: event.segmentCount, segments: segments, line: line)
    state.withLock { $0.append(record) }
  }
}
