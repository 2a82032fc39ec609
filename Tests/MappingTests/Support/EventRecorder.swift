import DMA
import Synchronization

/// Keeps every event of a device, without the lists that events borrow.
final class EventRecorder: Sendable {
  struct Record: Sendable {
    var kind: DMAEvent.Kind
    var family: DMAEvent.Family
    var status: DMAStatus
    var direction: DMADirection?
    var device: UInt32
    var address: UInt64
    var byteCount: UInt64
    var site: String
  }

  private let state = Mutex<[Record]>([])

  var records: [Record] { state.withLock { $0 } }

  func kinds() -> [DMAEvent.Kind] { records.map(\.kind) }

  func observe(_ device: DMADevice) {
    // SAFETY: the observer holds self, so the context stays valid.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    device.setObserver(
      unsafe DMAObserver(
        receive: { context, event in
          let recorder = unsafe Unmanaged<EventRecorder>.fromOpaque(context)
            .takeUnretainedValue()
          unsafe recorder.add(event.assumingMemoryBound(to: DMAEvent.self).pointee)
        }, context: context, owner: self))
  }

  private func add(_ event: DMAEvent) {
    var site = ""
    if case .callSite(let place) = event.origin { site = place.description }
    let record = Record(
      kind: event.kind, family: event.family, status: event.status, direction: event.direction,
      device: event.device, address: event.dmaAddress, byteCount: event.byteCount, site: site)
    state.withLock { $0.append(record) }
  }
}
