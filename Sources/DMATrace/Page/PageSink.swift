import DMA

/// Collects what the page shows, beside checking the trace.
final class PageSink: TraceSink {
  let context: TraceContext
  let check: CheckSink
  private var lives = Lifetimes()
  private(set) var devices: [UInt32: DevicePicture] = [:]
  private(set) var tasks: [UInt32: (calls: Int, bytes: UInt64)] = [:]
  private(set) var pages: [Page: Int] = [:]
  private(set) var span: (first: UInt64, last: UInt64)?
  private(set) var pool = BouncePool()
  private var lastBounce: (device: UInt32, address: UInt64)?

  struct Page: Hashable {
    var device: UInt32
    var number: UInt64
  }

  /// What is drawn of a device.
  struct DevicePicture {
    /// Times and bytes of mappings, by direction.
    var mapped: [[(time: UInt64, bytes: UInt64)]] = [[], [], []]
    /// Live mappings and live bytes after each change.
    var live: [(time: UInt64, count: Int, bytes: UInt64)] = []
    /// By powers of two: lifetimes in microseconds, sizes in bytes.
    var lifetimes = [Int](repeating: 0, count: 40)
    var sizes = [Int](repeating: 0, count: 40)
    var bounced: [(time: UInt64, bytes: UInt64)] = []
    var liveCount = 0
    var liveBytes: UInt64 = 0
    var bouncedBytes: UInt64 = 0
    /// Bus pages touched, by 1/256 of what lies between the lowest and the highest.
    var busPages: [UInt64: Int] = [:]

    /// Drops every second point of what has grown too long to draw.
    mutating func thin() {
      if live.count > 20_000 { live = Self.everySecond(live) }
      if bounced.count > 20_000 { bounced = Self.everySecond(bounced) }
      for index in mapped.indices where mapped[index].count > 40_000 {
        // Neighbours are added up, so that no byte is lost.
        var merged: [(time: UInt64, bytes: UInt64)] = []
        for (offset, point) in mapped[index].enumerated() {
          if offset % 2 == 0 {
            merged.append(point)
          } else {
            merged[merged.count - 1].bytes &+= point.bytes
          }
        }
        mapped[index] = merged
      }
    }

    private static func everySecond<Point>(_ points: [Point]) -> [Point] {
      points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    }
  }

  init(context: TraceContext, options: CheckOptions) {
    self.context = context
    check = CheckSink(context: context, options: options)
  }

  func attachStack(_ stack: UInt32) { check.attachStack(stack) }

  func accept(_ event: inout TraceEvent) {
    if event.flags.contains(.timed) {
      span = (min(span?.first ?? event.time, event.time), max(span?.last ?? 0, event.time))
    }
    if event.kind == .bounced {
      lastBounce = (event.device, event.physicalAddress)
      pool.bounced(event)
    }
    if let change = lives.change(event, in: context) { note(change, event) }
    check.accept(&event)
  }

  private func note(_ change: Lifetimes.Change, _ event: TraceEvent) {
    var picture = devices.removeValue(forKey: event.device) ?? DevicePicture()
    switch change {
    case .began(let life):
      let record = life.record
      if record.space == .streaming {
        pool.began(record, [(record.physicalAddress, record.byteCount)])
      } else if record.space == .scatter {
        let memory = unsafe Array(context.physicalAddresses(event))
        let lengths = unsafe Array(context.lengths(event))
        pool.began(record, zip(memory, lengths).map { (memory: $0, byteCount: $1) })
      }
      picture.liveCount += 1
      picture.liveBytes &+= record.byteCount
      if record.space != .coherent {
        if record.direction < 3 {
          picture.mapped[Int(record.direction)].append((event.time, record.byteCount))
        }
        picture.sizes[Self.power(record.byteCount)] += 1
      }
      let page = record.physicalAddress >> 12
      if record.flags.contains(.physical) {
        pages[Page(device: event.device, number: page), default: 0] += 1
      }
      picture.busPages[record.dmaAddress >> 12, default: 0] += 1
      let known = tasks[event.taskName] ?? (0, 0)
      tasks[event.taskName] = (known.calls + 1, known.bytes &+ record.byteCount)
      if let bounce = lastBounce, bounce.device == event.device,
        bounce.address == record.physicalAddress
      {
        picture.bouncedBytes &+= record.byteCount
        picture.bounced.append((event.time, picture.bouncedBytes))
      }
      lastBounce = nil
    case .ended(let life):
      pool.ended(life.record, at: event.time)
      picture.liveCount -= 1
      picture.liveBytes &-= life.record.byteCount
      if event.time >= life.record.time {
        picture.lifetimes[Self.power((event.time - life.record.time) / 1000)] += 1
      }
    }
    picture.live.append((event.time, picture.liveCount, picture.liveBytes))
    picture.thin()
    devices[event.device] = picture
  }

  /// The power of two that holds a number: 0 for 0 and 1.
  static func power(_ number: UInt64) -> Int {
    min(39, number <= 1 ? 0 : 64 - (number - 1).leadingZeroBitCount)
  }
}
