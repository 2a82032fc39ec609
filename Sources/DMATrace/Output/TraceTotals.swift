import DMA

/// Plain counts of a trace, in the order of its lines: what an independent script can count too.
///
/// Nothing is judged here; `TraceChecker` does that, and in the order things really happened.
final class TraceTotals: TraceSink {
  let context: TraceContext
  private var events = 0
  private var sameTime = 0
  private var lastTime: UInt64?
  private var mapped: [Route: (calls: Int, bytes: UInt64)] = [:]
  private var allocated: [UInt32: UInt64] = [:]
  private var classes = [ClassCount](repeating: ClassCount(), count: 4)
  private var failedMaps = 0
  private var nullFrees = 0
  private var truncated = 0
  private var segments = 0
  private var bouncedBytes: UInt64 = 0

  private struct Route: Hashable {
    var device: UInt32
    var direction: UInt8
  }

  private struct Key: Hashable {
    var device: UInt32
    var address: UInt64
  }

  /// One class of memory: streaming, scatter lists, coherent, noncontiguous.
  private struct ClassCount {
    var live: [Key: Int] = [:]
    var net: [Key: Int] = [:]
    var current = 0
    var peak = 0
    var freedUnknown = 0
    var mappedWhileLive = 0

    mutating func acquire(_ key: Key) {
      if live[key, default: 0] > 0 { mappedWhileLive += 1 }
      live[key, default: 0] += 1
      net[key, default: 0] += 1
      current += 1
      peak = max(peak, current)
    }

    mutating func release(_ key: Key) {
      net[key, default: 0] -= 1
      if let count = live[key], count > 0 {
        live[key] = count - 1
        current -= 1
      } else {
        freedUnknown += 1
      }
    }
  }

  init(context: TraceContext) { self.context = context }

  func attachStack(_ stack: UInt32) {}

  func accept(_ event: inout TraceEvent) {
    guard event.kind != .loss else { return }
    events += 1
    if event.flags.contains(.timed) {
      if event.time == lastTime { sameTime += 1 }
      lastTime = event.time
    }
    switch event.kind {
    case .map, .unmap: count(event, 0, event.dmaAddress)
    case .mapScatter, .unmapScatter:
      // A map names at most 128 entries, so that many are the list's name.
      let list = unsafe context.physicalAddresses(event).prefix(128)
      count(event, 1, unsafe list.reduce(UInt64(list.count)) { ($0 &* 0x100_0000_01b3) ^ $1 })
    case .allocate, .free:
      if event.family == .noncontiguous {
        count(event, 3, event.dmaAddress)
      } else if event.kind == .free, event.known.contains(.cpuAddress), event.cpuAddress == 0 {
        nullFrees += 1
      } else {
        count(event, 2, event.dmaAddress)
      }
    case .bounced: bouncedBytes &+= event.byteCount
    default: break
    }
  }

  private func count(_ event: TraceEvent, _ which: Int, _ address: UInt64) {
    let key = Key(device: event.device, address: address)
    if event.isRelease {
      classes[which].release(key)
      return
    }
    if event.flags.contains(.failed) {
      failedMaps += 1
      return
    }
    classes[which].acquire(key)
    if which == 2 || which == 3 {
      allocated[event.device, default: 0] &+= event.byteCount
      return
    }
    var bytes = event.byteCount
    if which == 1 {
      bytes = unsafe context.lengths(event).reduce(0, &+)
      segments += Int(event.busCount)
      if event.known.contains(.truncated) { truncated += 1 }
    }
    let route = Route(device: event.device, direction: event.direction)
    let before = mapped[route] ?? (0, 0)
    mapped[route] = (before.calls + 1, before.bytes &+ bytes)
  }

  /// The counts as text, one to a line.
  func text() -> String {
    var lines = ["events \(events)"]
    lines.append("lost-in-pipe \(context.lostEvents)")
    lines.append("other-lines \(context.badLines)")
    lines.append("same-timestamp-as-previous \(sameTime)")
    var byName: [(String, Int)] = []
    for (number, count) in context.eventCounts.enumerated() where count > 0 {
      byName.append((context.eventNames.name(UInt32(number)), count))
    }
    lines += byName.sorted { $0.0 < $1.0 }.map { "count \($0.0) \($0.1)" }
    lines += mapped.map { route, count in
      let direction = DMADirection(rawValue: route.direction)?.description ?? "NONE"
      return "mapped \(context.devices.name(route.device)) \(direction) "
        + "calls=\(count.calls) bytes=\(count.bytes)"
    }.sorted()
    lines += allocated.map { "allocated \(context.devices.name($0.key)) bytes=\($0.value)" }
      .sorted()
    for (name, count) in zip(["stream", "sg", "coherent", "noncontig"], classes) {
      let net = count.net.values
      lines.append(
        "\(name) peak=\(count.peak) outstanding=\(count.current) "
          + "freed-unknown=\(count.freedUnknown) mapped-while-live=\(count.mappedWhileLive) "
          + "net-outstanding=\(net.reduce(0) { $0 + max($1, 0) }) "
          + "net-freed-unknown=\(net.reduce(0) { $0 + max(-$1, 0) })")
    }
    lines.append("failed-maps \(failedMaps)")
    lines.append("null-frees \(nullFrees)")
    lines.append("truncated-sg \(truncated)")
    lines.append("sg-segments \(segments)")
    lines.append("bounced-bytes \(bouncedBytes)")
    return lines.joined(separator: "\n") + "\n"
  }
}
