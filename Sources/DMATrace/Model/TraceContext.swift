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
  public var eventCounts: [Int] {
    unsafe Array(UnsafeBufferPointer(start: hot.pointee.counts, count: hot.pointee.countCapacity))
  }
  /// Lines (or records) read.
  public internal(set) var lines: UInt64 {
    get { unsafe hot.pointee.lines }
    set { unsafe hot.pointee.lines = newValue }
  }
  /// Lines that say nothing this reader understands.
  public internal(set) var badLines = 0
  /// The numbers of the first of them.
  public internal(set) var firstBadLines: [UInt64] = []
  /// Events whose names mean nothing to us.
  public internal(set) var skippedEvents: Int {
    get { unsafe hot.pointee.skipped }
    set { unsafe hot.pointee.skipped = newValue }
  }
  /// Events whose lists the source printed in a form nothing can be read from.
  public internal(set) var undecodableEvents = 0
  /// The header's `entries-in-buffer/entries-written`.
  public internal(set) var header: (kept: UInt64, written: UInt64)?
  /// The header's number of CPUs.
  public internal(set) var cpuCount: Int?
  /// Events the trace itself says were lost after its first line.
  public internal(set) var lostEvents: UInt64 = 0
  /// Whether events carry a time and a CPU at all.
  public internal(set) var isTimed: Bool {
    get { unsafe hot.pointee.isTimed }
    set { unsafe hot.pointee.isTimed = newValue }
  }
  /// The form the text has, once seen.
  public internal(set) var form: Form {
    get { unsafe hot.pointee.form }
    set { unsafe hot.pointee.form = newValue }
  }

  /// The form of a trace.
  public enum Form: String, Sendable {
    case unknown, tracefs, latency, withoutContext = "no context"
    case traceCmdReport = "trace-cmd report"
    case perfScript = "perf script"
    case traceDat = "trace.dat"
    case raw
  }

  /// What changes with every line lies behind a pointer: a class's own properties would cost a test
  /// of exclusive access each time.
  @safe
  private struct Hot {
    var lists: UnsafeMutablePointer<UInt64>
    var listCount = 0
    var listCapacity = 1024
    var counts: UnsafeMutablePointer<Int>
    var countCapacity = 64
    var lines: UInt64 = 0
    var skipped = 0
    var isTimed = false
    var form = Form.unknown
    var forgetsLists = true
  }
  // SAFETY: owned, initialized; `listCount <= listCapacity`, all counts initialized.
  private let hot: UnsafeMutablePointer<Hot>

  public init() {
    unsafe hot = .allocate(capacity: 1)
    let counts = UnsafeMutablePointer<Int>.allocate(capacity: 64)
    unsafe counts.initialize(repeating: 0, count: 64)
    unsafe hot.initialize(to: Hot(lists: .allocate(capacity: 1024), counts: counts))
  }

  deinit {
    unsafe hot.pointee.lists.deallocate()
    unsafe hot.pointee.counts.deallocate()
    unsafe hot.deallocate()
  }

  /// The arena of lists.
  var lists: UnsafeMutablePointer<UInt64> {
    @inline(__always) get { unsafe hot.pointee.lists }
  }
  var listCount: Int {
    @inline(__always) get { unsafe hot.pointee.listCount }
    @inline(__always) set { unsafe hot.pointee.listCount = newValue }
  }

  @inline(__always)
  func appendToList(_ value: UInt64) {
    if unsafe hot.pointee.listCount == hot.pointee.listCapacity { growLists() }
    unsafe hot.pointee.lists[hot.pointee.listCount] = value
    unsafe hot.pointee.listCount &+= 1
  }

  private func growLists() {
    let larger = unsafe UnsafeMutablePointer<UInt64>.allocate(
      capacity: hot.pointee.listCapacity * 2)
    unsafe larger.update(from: hot.pointee.lists, count: hot.pointee.listCount)
    unsafe hot.pointee.lists.deallocate()
    unsafe hot.pointee.lists = unsafe larger
    unsafe hot.pointee.listCapacity *= 2
  }

  /// Whether readers may forget lists at each new event; a taker that buffers events clears it and
  /// empties the arena itself.
  var forgetsLists: Bool {
    @inline(__always) get { unsafe hot.pointee.forgetsLists }
    @inline(__always) set { unsafe hot.pointee.forgetsLists = newValue }
  }

  func noteBadLine(_ line: UInt64) {
    badLines += 1
    if firstBadLines.count < 20 { firstBadLines.append(line) }
  }

  @inline(__always)
  func countEvent(_ name: UInt16) {
    if unsafe Int(name) >= hot.pointee.countCapacity { growCounts(Int(name)) }
    unsafe hot.pointee.counts[Int(name)] &+= 1
  }

  private func growCounts(_ name: Int) {
    let capacity = unsafe max(hot.pointee.countCapacity * 2, name + 1)
    let larger = UnsafeMutablePointer<Int>.allocate(capacity: capacity)
    unsafe larger.moveInitialize(from: hot.pointee.counts, count: hot.pointee.countCapacity)
    unsafe (larger + hot.pointee.countCapacity).initialize(
      repeating: 0, count: capacity - hot.pointee.countCapacity)
    unsafe hot.pointee.counts.deallocate()
    unsafe hot.pointee.counts = unsafe larger
    unsafe hot.pointee.countCapacity = capacity
  }

  /// Bus addresses of an event's list.
  package func busAddresses(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart), count: Int(event.busCount))
  }
  /// Lengths of an event's list.
  package func lengths(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart) + Int(event.busCount), count: Int(event.lengthCount))
  }
  /// Physical addresses of an event's list.
  package func physicalAddresses(_ event: TraceEvent) -> UnsafeBufferPointer<UInt64> {
    unsafe UnsafeBufferPointer(
      start: lists + Int(event.listStart) + Int(event.busCount) + Int(event.lengthCount),
      count: Int(event.physicalCount))
  }
}
