import DMA

/// What a reader learnt beside the events: names, stacks, counts, and what it could not read.
@safe
public final class TraceContext {
  public let devices = NameTable()
  public let tasks = NameTable()
  /// Stacks, one frame a line, innermost first.
  public let stacks = NameTable()
  public let eventNames = NameTable()
  /// The texts of marks.
  public let marks = NameTable()
  /// Events by name, by `eventNames` number; names nobody knows are in it too.
  public internal(set) var eventCounts: [Int] = []
  /// Lines (or records) read.
  public internal(set) var lines: UInt64 = 0
  /// Lines that say nothing this reader understands.
  public internal(set) var badLines = 0
  /// The numbers of the first of them.
  public internal(set) var firstBadLines: [UInt64] = []
  /// Events whose names mean nothing to us.
  public internal(set) var skippedEvents = 0
  /// Events whose lists the source printed in a form nothing can be read from.
  public internal(set) var undecodableEvents = 0
  /// The header's `entries-in-buffer/entries-written`.
  public internal(set) var header: (kept: UInt64, written: UInt64)?
  /// The header's number of CPUs.
  public internal(set) var cpuCount: Int?
  /// Events the trace itself says were lost after its first line.
  public internal(set) var lostEvents: UInt64 = 0
  /// Whether events carry a time and a CPU at all.
  public internal(set) var isTimed = false
  /// The form the text has, once seen.
  public internal(set) var form: Form = .unknown

  /// The form of a trace.
  public enum Form: String, Sendable {
    case unknown, tracefs, latency, withoutContext = "no context"
    case traceCmdReport = "trace-cmd report"
    case perfScript = "perf script"
    case traceDat = "trace.dat"
    case raw
  }

  // SAFETY: owned; `listCount <= listCapacity`.
  private(set) var lists: UnsafeMutablePointer<UInt64>
  var listCount = 0
  private var listCapacity = 1024

  public init() {
    unsafe lists = .allocate(capacity: listCapacity)
  }

  deinit { unsafe lists.deallocate() }

  @inline(__always)
  func appendToList(_ value: UInt64) {
    if listCount == listCapacity { growLists() }
    unsafe lists[listCount] = value
    listCount &+= 1
  }

  private func growLists() {
    listCapacity *= 2
    let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: listCapacity)
    unsafe larger.update(from: lists, count: listCount)
    unsafe lists.deallocate()
    unsafe lists = larger
  }

  /// Whether readers may forget lists at each new event; a taker that buffers events clears it and
  /// empties the arena itself.
  var forgetsLists = true

  func noteBadLine(_ line: UInt64) {
    badLines += 1
    if firstBadLines.count < 20 { firstBadLines.append(line) }
  }

  @inline(__always)
  func countEvent(_ name: UInt16) {
    let name = Int(name)
    if name >= eventCounts.count {
      eventCounts += [Int](repeating: 0, count: name + 64 - eventCounts.count)
    }
    eventCounts[name] += 1
  }

  /// Bus addresses of an event's list.
  func busAddresses(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart), count: Int(event.busCount))
  }
  /// Lengths of an event's list.
  func lengths(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart) + Int(event.busCount), count: Int(event.lengthCount))
  }
  /// Physical addresses of an event's list.
  func physicalAddresses(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart) + Int(event.busCount) + Int(event.lengthCount),
      count: Int(event.physicalCount))
  }
}
