import DMA

/// What a check found, and what it could not tell.
public struct CheckReport: Sendable {
  /// Root causes, in the order of the trace; what follows from one is inside it.
  public internal(set) var findings: [Finding] = []
  /// Findings that were counted and not kept, because there were too many.
  public internal(set) var findingsBeyond = 0
  public internal(set) var unknown = UnknownCounts()
  public internal(set) var devices: [DeviceSummary] = []
  /// The trace as it was read.
  public internal(set) var trace = TraceSummary()

  /// 0 without findings, 1 with.
  public var exitStatus: Int32 { findings.isEmpty ? 0 : 1 }
}

/// What a trace showed of one device.
public struct DeviceSummary: Sendable {
  public var name: String
  public var state: DeviceState
  /// Alive at the end, oldest first, as many as are worth showing.
  public var live: [Finding.Subject] = []
  /// Time since the oldest of them was made, in the trace's unit.
  public var oldestAge: UInt64 = 0
  /// Live mappings at the quarters of the trace.
  public var growth: [Int] = []

  /// The live count rose in every quarter, by a tenth at least.
  public var grows: Bool {
    guard growth.count == 4, growth[0] > 0 else { return false }
    return zip(growth, growth.dropFirst()).allSatisfy { $0 < $1 } && growth[3] * 10 > growth[0] * 13
  }
}

/// How a trace was read.
public struct TraceSummary: Sendable {
  public var path = ""
  public var form: TraceContext.Form = .unknown
  public var lines: UInt64 = 0
  public var events = 0
  public var eventCounts: [(name: String, count: Int)] = []
  public var skippedEvents = 0
  public var badLines = 0
  public var firstBadLines: [UInt64] = []
  public var undecodable = 0
  public var lossMarks = 0
  public var lostEvents: UInt64 = 0
  public var header: (kept: UInt64, written: UInt64)?
  public var isTimed = false
  public var firstTime: UInt64 = 0
  public var lastTime: UInt64 = 0
  public var nullFrees = 0
  public var truncatedLists = 0
  public var hasSyncEvents = false
  public var isComplete = false
  public var iomemIsHidden = false
}

extension TraceChecker {
  /// Everything found, once `finish` was called.
  func report(path: String) -> CheckReport {
    var report = CheckReport()
    report.findings = Folding.fold(findings.kept)
    report.findingsBeyond = findings.beyond
    report.unknown = unknown
    report.unknown.undecodable = max(unknown.undecodable, context.undecodableEvents)
    let oldest = oldestLive()
    for device in 1..<max(2, context.devices.count + 1) where device < deviceCapacity {
      let number = UInt32(device)
      let state = unsafe devices[device]
      guard state.firstTime != 0 || state.isSeen else { continue }
      var summary = DeviceSummary(name: context.devices.name(number), state: state)
      let live = (oldest[number] ?? []).map { unsafe book.records[$0] }
      summary.oldestAge = live.first.map { now &- $0.time } ?? 0
      summary.live = live.compactMap {
        Finding(.leak, device: number, culprit: nil, mapping: $0).mapping
      }
      summary.growth = growth(of: number)
      report.devices.append(summary)
    }
    report.trace = summary(path: path)
    return report
  }

  /// The records alive longest of each device, as many as are worth showing.
  private func oldestLive() -> [UInt32: [Int]] {
    let most = 100
    var oldest: [UInt32: [Int]] = [:]
    func isOlder(_ left: Int, _ right: Int) -> Bool {
      unsafe book.records[left].line < book.records[right].line
    }
    // There may be millions alive: no more than twice what is kept is ever collected.
    for number in 0..<book.recordCount
    where unsafe book.records[number].flags.contains(.live) {
      let device = unsafe book.records[number].device
      oldest[device, default: []].append(number)
      if oldest[device]?.count == 2 * most {
        oldest[device]?.sort(by: isOlder)
        oldest[device]?.removeLast(most)
      }
    }
    return oldest.mapValues { numbers in Array(numbers.sorted(by: isOlder).prefix(most)) }
  }

  /// Mean live counts of the quarters of the trace.
  private func growth(of device: UInt32) -> [Int] {
    let points = samples.points.filter { $0.device == device }
    guard points.count >= 16 else { return [] }
    return (0..<4).map { quarter in
      let part = points[(points.count * quarter / 4)..<(points.count * (quarter + 1) / 4)]
      return part.reduce(0) { $0 + $1.count } / max(part.count, 1)
    }
  }

  private func summary(path: String) -> TraceSummary {
    var summary = TraceSummary()
    summary.path = path
    summary.form = context.form
    summary.lines = context.lines
    for (number, count) in context.eventCounts.enumerated() where count > 0 {
      summary.eventCounts.append((context.eventNames.name(UInt32(number)), count))
      summary.events += count
    }
    summary.eventCounts.sort { $0.name < $1.name }
    summary.skippedEvents = context.skippedEvents
    summary.badLines = context.badLines
    summary.firstBadLines = context.firstBadLines
    summary.undecodable = context.undecodableEvents
    summary.lossMarks = lossMarks
    summary.lostEvents = context.lostEvents
    summary.header = context.header
    summary.isTimed = context.isTimed
    summary.firstTime = firstTime ?? 0
    summary.lastTime = now
    summary.nullFrees = nullFrees
    summary.truncatedLists = truncatedLists
    summary.hasSyncEvents = hasSyncEvents
    summary.isComplete = options.isComplete
    summary.iomemIsHidden = options.limits.iomemIsHidden
    return summary
  }
}

/// Puts findings into the order a reader wants: causes first, what follows under them, the same
/// again and again once.
enum Folding {
  static func fold(_ findings: [Finding]) -> [Finding] {
    var roots: [Finding] = []
    var byMapping: [UInt64: Int] = [:]
    var byKind: [Kind: Int] = [:]
    let ordered = findings.sorted { ($0.line, $0.rule.rawValue) < ($1.line, $1.rule.rawValue) }
    for finding in ordered {
      // A second complaint about the same mapping follows from the first.
      if let mapping = finding.mapping, let root = byMapping[mapping.origin.line],
        roots[root].device == finding.device, follows(finding, roots[root])
      {
        roots[root].consequences.append(finding)
        continue
      }
      let kind = Kind(finding)
      if let same = byKind[kind] {
        roots[same].repeats += 1 + finding.repeats
        if roots[same].repeatLines.count < 10 { roots[same].repeatLines.append(finding.line) }
        continue
      }
      if let mapping = finding.mapping { byMapping[mapping.origin.line] = roots.count }
      byKind[kind] = roots.count
      roots.append(finding)
    }
    return roots
  }

  private static func follows(_ finding: Finding, _ root: Finding) -> Bool {
    switch (root.rule, finding.rule) {
    case (.wrongFunction, .entryCountDiffers), (.wrongFunction, .sizeDiffers),
      (.wrongFunction, .directionDiffers), (.sizeDiffers, .directionDiffers),
      (.directionDiffers, .sizeDiffers), (.entryCountDiffers, .directionDiffers),
      (.syncOutside, .leak), (_, .leak):
      return true
    default:
      // The same call broke two rules at once.
      return root.line == finding.line && finding.rule != root.rule
    }
  }

  /// Findings alike enough to be shown once: the same rule by the same code on the same device.
  private struct Kind: Hashable {
    var rule: Rule
    var device: UInt32
    var stack: UInt32
    var taskName: UInt32
    var family: UInt8
    var direction: UInt8
    var byteCount: UInt64

    init(_ finding: Finding) {
      rule = finding.rule
      device = finding.device
      let origin = finding.culprit?.origin ?? finding.mapping?.origin
      stack = origin?.stack ?? 0
      taskName = origin?.taskName ?? 0
      family = finding.mapping?.family.rawValue ?? 0
      direction = finding.mapping?.direction ?? 0
      byteCount = finding.mapping?.byteCount ?? finding.culprit?.byteCount ?? 0
    }
  }
}
