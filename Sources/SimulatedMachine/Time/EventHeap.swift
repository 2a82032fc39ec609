/// Something a device asked to be told of later.
struct ClockEvent {
  var time: UInt64
  /// Decides among events of the same time.
  var order: UInt64
  /// Which device: its slot and the generation of what sits there.
  var slot: Int
  var generation: UInt64
  var tag: UInt64
}

/// Events, the earliest first: a binary heap in plain memory.
///
/// Every command of a simulated device passes here twice, so nothing is allocated but when it
/// grows, and no element is moved twice in a step.
@safe
struct EventHeap: ~Copyable {
  private var events: UnsafeMutablePointer<ClockEvent>
  private var capacity = 64
  private(set) var count = 0

  init() {
    unsafe events = .allocate(capacity: capacity)
  }

  deinit { unsafe events.deallocate() }

  // SAFETY of every access to `events`: indices are below `count`, and so many are initialized;
  // events are trivial, so nothing has to be deinitialized.

  /// The earliest event.
  var first: ClockEvent? { count > 0 ? unsafe events[0] : nil }

  mutating func push(_ event: ClockEvent) {
    if count == capacity { grow() }
    var index = count
    count += 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard unsafe Self.isBefore(event, events[parent]) else { break }
      unsafe (events + index).initialize(to: events[parent])
      index = parent
    }
    unsafe (events + index).initialize(to: event)
  }

  /// Drops the earliest event; there is one.
  mutating func removeFirst() {
    count -= 1
    guard count > 0 else { return }
    let last = unsafe events[count]
    var index = 0
    while true {
      var child = 2 * index + 1
      guard child < count else { break }
      if child + 1 < count, unsafe Self.isBefore(events[child + 1], events[child]) { child += 1 }
      guard unsafe Self.isBefore(events[child], last) else { break }
      unsafe events[index] = events[child]
      index = child
    }
    unsafe events[index] = last
  }

  private static func isBefore(_ left: ClockEvent, _ right: ClockEvent) -> Bool {
    left.time != right.time ? left.time < right.time : left.order < right.order
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<ClockEvent>.allocate(capacity: 2 * capacity)
    unsafe larger.moveInitialize(from: events, count: count)
    unsafe events.deallocate()
    unsafe events = larger
    capacity *= 2
  }
}
