public import DMA

/// Which mapping a fault is about.
public struct FaultReport: Sendable {
  public var fault: FaultLine
  /// The device's mapping that was alive at the address, if one was.
  public var live: FaultMatch?
  /// The one released last at the address before the fault.
  public var released: FaultMatch?
  /// The nearest one that does not hold the address.
  public var nearest: FaultMatch?
  /// Faults and events are on one clock: the trace's reaches around the fault.
  public var isTimed: Bool
}

/// A mapping near a fault.
public struct FaultMatch: Sendable {
  public var mapping: Finding.Subject
  /// Who released it; nil while it lives.
  public var release: TraceOrigin?
  /// Bytes from its beginning to the fault; negative in front of it.
  public var distance: Int64
}

/// Looks for the mappings of faults in a trace.
final class FaultSearch: TraceSink {
  let context: TraceContext
  private let faults: [FaultLine]

  private struct Life {
    var record: MappingRecord
    var release: TraceOrigin?
  }
  private var byKey: [Key: [Int]] = [:]
  private struct Key: Hashable {
    var address: UInt64
    var device: UInt32
    var space: UInt8
  }
  private var all: [Life] = []
  /// Only lives near a fault are worth keeping.
  private static let reach: UInt64 = 1 << 20
  private var lastTime: UInt64 = 0
  private var firstTime: UInt64?

  init(context: TraceContext, faults: [FaultLine]) {
    self.context = context
    self.faults = faults
  }

  func attachStack(_ stack: UInt32) {
    if let last = lastAdded { all[last].record.stack = stack }
  }
  private var lastAdded: Int?

  func accept(_ event: inout TraceEvent) {
    lastAdded = nil
    if event.flags.contains(.timed) {
      if firstTime == nil { firstTime = event.time }
      lastTime = max(lastTime, event.time)
    }
    switch event.kind {
    case .map, .allocate:
      guard !event.flags.contains(.failed) else { return }
      add(
        MappingRecord(
          event, space: event.kind == .map ? .streaming : .coherent, epoch: 0))
    case .mapScatter:
      guard !event.flags.contains(.failed) else { return }
      let bus = unsafe context.busAddresses(event)
      let lengths = unsafe context.lengths(event)
      let physical = unsafe context.physicalAddresses(event)
      for index in 0..<min(bus.count, lengths.count) {
        var record = MappingRecord(event, space: .scatter, epoch: 0)
        record.dmaAddress = unsafe bus[index]
        record.byteCount = unsafe lengths[index]
        record.physicalAddress = unsafe physical.first ?? 0
        record.flags.insert(.physical)
        add(record)
      }
    case .unmap, .free:
      release(event, event.dmaAddress, event.kind == .unmap ? .streaming : .coherent)
    case .unmapScatter:
      if let first = unsafe context.physicalAddresses(event).first {
        release(event, first, .scatter)
      }
    default: break
    }
  }

  private func add(_ record: MappingRecord) {
    let isNear = faults.contains { fault in
      record.dmaAddress < fault.address &+ Self.reach
        && record.dmaAddress &+ record.byteCount &+ Self.reach > fault.address
    }
    guard isNear else { return }
    lastAdded = all.count
    byKey[key(record), default: []].append(all.count)
    all.append(Life(record: record))
  }

  private func key(_ record: MappingRecord) -> Key {
    Key(
      address: MappingBook.key(record), device: record.device, space: record.space.rawValue)
  }

  private func release(_ event: TraceEvent, _ address: UInt64, _ space: MappingRecord.Space) {
    let key = Key(address: address, device: event.device, space: space.rawValue)
    guard let numbers = byKey.removeValue(forKey: key) else { return }
    // A list's segments share their key and go together; of repeated mappings the oldest goes.
    let going =
      space == .scatter
      ? numbers.filter { all[$0].record.line == all[numbers[0]].record.line } : [numbers[0]]
    for number in going { all[number].release = event.origin }
    let staying = numbers.filter { !going.contains($0) }
    if !staying.isEmpty { byKey[key] = staying }
  }

  /// What each fault is about.
  func reports() -> [FaultReport] { faults.map(report) }

  private func report(_ fault: FaultLine) -> FaultReport {
    // Log and trace are stamped by clocks that may differ by most of a second; outside the trace's
    // span a log's time says nothing.
    let isTimed =
      fault.time.map { time in
        context.isTimed && time &+ Self.slack >= (firstTime ?? 0)
          && time <= lastTime &+ Self.slack
      } ?? false
    let device = all.first { context.devices.name($0.record.device) == fault.device }?.record.device
    var result = FaultReport(fault: fault, isTimed: isTimed)
    var gone: [Life] = []
    var nearestDistance = UInt64.max
    for life in all where device == nil || life.record.device == device {
      let record = life.record
      // An IOMMU translates whole pages, so the page is what a fault tells.
      let holds =
        fault.address >= record.dmaAddress & ~0xfff
        && fault.address < (record.dmaAddress &+ max(record.byteCount, 1) &+ 0xfff) & ~0xfff
      if !holds {
        let match = self.match(life, fault)
        if match.distance.magnitude < nearestDistance {
          nearestDistance = match.distance.magnitude
          result.nearest = match
        }
      } else if life.release == nil {
        result.live = match(life, fault)
      } else {
        gone.append(life)
      }
    }
    result.released = lastReleased(gone, fault, isTimed: isTimed).map { match($0, fault) }
    return result
  }

  private static let slack: UInt64 = 2_000_000_000

  /// The release the fault follows: a fault needs a time in which nothing was mapped there.
  ///
  /// The gap the fault's time lies in is the one, if its clock is the trace's. If it lies in none,
  /// the clocks differ, and the gap in which a late access is most likely is the longest.
  private func lastReleased(_ gone: [Life], _ fault: FaultLine, isTimed: Bool) -> Life? {
    let ordered = gone.sorted { $0.record.line < $1.record.line }
    guard isTimed, let time = fault.time else {
      return ordered.max { ($0.release?.line ?? 0) < ($1.release?.line ?? 0) }
    }
    var best: Life?
    var bestGap: UInt64 = 0
    for (index, life) in ordered.enumerated() {
      guard let release = life.release else { continue }
      let next = ordered[(index + 1)...].first { $0.record.time >= release.time }?.record.time
      if release.time <= time, next.map({ time < $0 }) ?? true { return life }
      guard let next, release.time <= time &+ Self.slack, next &+ Self.slack >= time else {
        continue
      }
      if next &- release.time > bestGap {
        bestGap = next &- release.time
        best = life
      }
    }
    return best ?? ordered.last
  }

  private func match(_ life: Life, _ fault: FaultLine) -> FaultMatch {
    let finding = Finding(.leak, device: life.record.device, culprit: nil, mapping: life.record)
    let subject =
      finding.mapping
      ?? Finding.Subject(
        origin: life.record.origin, family: .none, dmaAddress: 0, physicalAddress: 0,
        hasPhysicalAddress: false, byteCount: 0, direction: 0xff, entryCount: 0)
    return FaultMatch(
      mapping: subject, release: life.release,
      distance: Int64(truncatingIfNeeded: fault.address &- life.record.dmaAddress))
  }
}

/// Faults of a kernel's log, explained by a trace.
public enum FaultExplanation {
  /// - Parameters:
  ///   - log: the kernel's messages.
  ///   - trace: the trace's file.
  /// - Throws: `TraceInputError` when the trace cannot be read.
  public static func explain(log: String, trace: String)
    throws(TraceInputError) -> (reports: [FaultReport], context: TraceContext)
  {
    let context = TraceContext()
    let search = FaultSearch(context: context, faults: FaultLine.all(in: log))
    try TraceReader(context: context).read(trace, into: search)
    return (search.reports(), context)
  }

  /// The explanations as text.
  public static func text(
    _ reports: [FaultReport], context: TraceContext, redact: Bool
  ) -> String {
    var trace = TraceSummary()
    trace.isTimed = context.isTimed
    var words = FindingWords(context: context, trace: trace, redact: redact)
    var lines: [String] = []
    for report in reports {
      let fault = report.fault
      let access = fault.isWrite.map { $0 ? "write" : "read" } ?? "access"
      lines.append(
        "\(words.deviceName(fault.device)): \(access) of "
          + "\(FindingWords.hex(words.redaction.address(fault.address))) refused "
          + "(log line \(fault.line), \(fault.iommu.rawValue): \(fault.reason))")
      if let live = report.live {
        lines.append("  mapped there and alive: \(words.subject(live.mapping))")
        lines.append("    \(words.place(live.mapping.origin))")
        if let isWrite = fault.isWrite, live.mapping.direction == (isWrite ? 1 : 2) {
          lines.append(
            "    it is mapped \(FindingWords.direction(live.mapping.direction)): "
              + "the device may not \(access) it. Wrong direction?")
        }
      }
      if let released = report.released, let release = released.release {
        lines.append("  released last there: \(words.subject(released.mapping))")
        lines.append("    mapped at   \(words.place(released.mapping.origin))")
        lines.append("    released at \(words.place(release))")
        if report.isTimed, let time = fault.time {
          lines.append(
            time >= release.time
              ? "    the fault was logged \(FindingWords.seconds(time - release.time)) s after the release"
              : "    log and trace run on different clocks: chosen because nothing was mapped there "
                + "for longest after it")
        }
      }
      if report.live == nil, report.released == nil {
        lines.append("  nothing in the trace was ever mapped there")
      }
      if report.live == nil, report.released == nil, let nearest = report.nearest {
        let distance = nearest.distance
        lines.append(
          "  nearest: \(words.subject(nearest.mapping)), the fault lies "
            + "\(distance.magnitude) bytes \(distance < 0 ? "in front of" : "behind") its beginning"
            + (nearest.release == nil ? "" : " (released)"))
        lines.append("    \(words.place(nearest.mapping.origin))")
      }
    }
    if reports.isEmpty {
      lines.append("The log holds no DMAR, AMD-Vi or SMMU fault with an address.")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
