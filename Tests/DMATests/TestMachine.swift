import DMA
import DMAMapping
import Glibc
import SimulatedMachine
import Synchronization

/// A simulated machine with one device that has no model: what the API itself needs.
struct TestMachine {
  let machine: SimulatedMachine
  let device: DMADevice
  var platform: Platform { machine.platform }

  init(memoryByteCount: UInt64 = 64 << 20, mask: DMAMask = .bits64) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = memoryByteCount
    machine = try SimulatedMachine(configuration)
    device = DMADevice(
      name: "test", platform: machine.platform,
      mapping: DirectMapping.make(for: machine.platform))
    try device.setMask(mask)
  }
}

/// What was heard of a device.
final class EventRecorder: Sendable {
  /// The parts of an event that outlive its delivery.
  struct Heard {
    var event: DMAEvent
    var segments: [DMAEvent.Segment]
    var bytes: [UInt8]
  }

  private let heard = Mutex<[Heard]>([])

  var events: [Heard] { heard.withLock { $0 } }

  func events(_ kinds: DMAEvent.Kind...) -> [Heard] {
    events.filter { kinds.contains($0.event.kind) }
  }

  var kinds: [DMAEvent.Kind] { events.map(\.event.kind) }

  /// Starts to listen to a device.
  static func listen(to device: DMADevice) -> EventRecorder {
    let recorder = EventRecorder()
    // SAFETY: the observer holds the recorder; the event is valid during the call.
    unsafe device.setObserver(
      DMAObserver(
        receive: { context, event in
          let event = unsafe event.load(as: DMAEvent.self)
          unsafe Unmanaged<EventRecorder>.fromOpaque(context).takeUnretainedValue().add(event)
        }, context: Unmanaged.passUnretained(recorder).toOpaque(), owner: recorder))
    return recorder
  }

  private func add(_ event: DMAEvent) {
    let segments = unsafe Array(event.segments)
    var bytes: [UInt8] = []
    if event.kind == .poolCorrupted,
      let start = unsafe UnsafeRawPointer(bitPattern: UInt(event.cpuAddress))
    {
      // SAFETY: the event promises that the bytes may be looked at during the call.
      bytes = unsafe Array(UnsafeRawBufferPointer(start: start, count: Int(event.byteCount)))
    }
    heard.withLock {
      $0.append(Heard(event: event, segments: segments, bytes: bytes))
    }
  }
}

// SAFETY: the borrowed segments are not touched after the delivery; everything else is values.
extension EventRecorder.Heard: @unchecked Sendable {}

/// Runs `body` on as many threads at once, and returns when all are done.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  final class Start: Sendable {
    let index: Int
    let body: @Sendable (Int) -> Void
    init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
      self.index = index
      self.body = body
    }
  }
  var threads: [pthread_t] = []
  for index in 0..<count {
    var thread = pthread_t()
    // SAFETY: the new thread takes over the retained object.
    let code = unsafe pthread_create(
      &thread, nil,
      { pointer in
        guard let pointer = unsafe pointer else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(pointer).takeRetainedValue()
        start.body(start.index)
        return nil
      }, Unmanaged.passRetained(Start(index, body)).toOpaque())
    precondition(code == 0, "no more threads")
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}
