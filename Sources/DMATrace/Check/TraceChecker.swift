import DMA

/// Finds broken DMA rules in a trace, and only those the trace proves.
///
/// What a trace cannot prove is "unknown": counted, never a finding. The order of the lines is not
/// the order of things: an unmap is written after it was done, so a reused address may show its new
/// mapping first, and events with equal stamps are merged by CPU. Events of one stamp are therefore
/// put into an order that makes sense, if there is one, before they are judged.
///
/// It is a struct that `CheckSink` keeps behind a pointer: properties of a class would cost a test
/// of exclusive access at each use.
@safe
struct TraceChecker {
  /// Lists of events; and once the trace was read, all its names.
  var context: TraceContext
  let options: CheckOptions
  var book = MappingBook()
  var findings = FindingList()
  var unknown = UnknownCounts()
  /// States of devices by number.
  var devices: UnsafeMutablePointer<DeviceState>
  var deviceCapacity = 64
  /// The highest number a device had so far.
  var highestDevice = 0
  /// A loss of events begins a new epoch: what is older may have changed unseen.
  var epoch: UInt32 = 0
  /// A mark of a driver's coming was seen in this epoch.
  var arrivalSeen = false
  var leaveSeen = false
  var overlaps: [Overlap] = []
  /// Findings that stand only if their mapping is never released as it should be.
  var suspicions = 0
  static var mostSuspicions: Int { 4096 }
  var lastBounce = (device: UInt32(0), address: UInt64(0), task: Int32(0))
  /// Per CPU, when it last wrote an event: what it lost lies after that.
  var cpus = CPUClocks()
  var lossMarks = 0
  /// CPUs not heard of since they lost events, when each was heard last, and the last stamp before
  /// the mark.
  var losing: [(cpu: UInt32, since: UInt64, stamp: UInt64)] = []
  var now: UInt64 = 0
  var firstTime: UInt64?
  var scanBudget = 50_000_000
  var samples = LiveSamples()
  var nullFrees = 0
  var truncatedLists = 0
  var hasSyncEvents = false

  // SAFETY: owned; the first `groupCount` are initialized.
  /// Who hears of every event, in the order in which it is judged; asked for only when there is one.
  var hasFollower = false
  var follower: (TraceEvent) -> Void = { _ in }

  private(set) var group: UnsafeMutablePointer<TraceEvent>
  private var groupCapacity = 256
  private var groupCount = 0
  private var groupIsMixed = false

  /// Two live mappings in one cache line, until the older one's release decides.
  struct Overlap {
    var older: Int
    var olderRecord: MappingRecord
    var event: TraceEvent
  }

  init(context: TraceContext, options: CheckOptions) {
    self.context = context
    self.options = options
    unsafe group = .allocate(capacity: groupCapacity)
    unsafe devices = .allocate(capacity: deviceCapacity)
    unsafe devices.initialize(repeating: DeviceState(), count: deviceCapacity)
    context.forgetsLists = false
  }

  /// Gives back what it owns; it must not be used again.
  mutating func deallocate() {
    book.deallocate()
    cpus.deallocate()
    unsafe group.deallocate()
    unsafe devices.deinitialize(count: deviceCapacity)
    unsafe devices.deallocate()
  }

  mutating func accept(_ event: inout TraceEvent) {
    if groupCount > 0 {
      if unsafe event.kind == .loss || event.time != group[0].time
        || !event.flags.contains(.timed)
      {
        flush()
        keepLists(of: &event)
      } else if unsafe event.cpu != group[0].cpu
        || event.cpu == .max && event.lane != group[0].lane
      {
        groupIsMixed = true
      }
    }
    if event.kind == .loss {
      lose(event)
      return
    }
    if groupCount == groupCapacity { growGroup() }
    unsafe (group + groupCount).initialize(to: event)
    groupCount &+= 1
  }

  mutating func attachStack(_ stack: UInt32) {
    if groupCount > 0 { unsafe group[groupCount - 1].stack = stack }
  }

  /// Judges what is left, and what only the end shows.
  mutating func finish() {
    flush()
    judgeLeaving(atEnd: true)
    judgeEnd()
  }

  private mutating func growGroup() {
    let larger = UnsafeMutablePointer<TraceEvent>.allocate(capacity: groupCapacity * 2)
    unsafe larger.moveInitialize(from: group, count: groupCount)
    unsafe group.deallocate()
    unsafe group = unsafe larger
    groupCapacity *= 2
  }

  /// Moves a new event's lists to the front of the emptied arena.
  @inline(__always)
  private mutating func keepLists(of event: inout TraceEvent) {
    let start = Int(event.listStart)
    let count = context.listCount - start
    if start > 0 {
      if count > 0 { unsafe context.lists.update(from: context.lists + start, count: count) }
      context.listCount = max(count, 0)
      event.listStart = 0
    }
  }

  @inline(__always)
  private mutating func flush() {
    let count = groupCount
    groupCount = 0
    if count == 1 || !groupIsMixed {
      for index in 0..<count { unsafe process(group[index]) }
    } else {
      processMixed(count)
    }
    if !losing.isEmpty { endLosses(count) }
    groupIsMixed = false
  }

  /// The CPUs that lost events are heard again.
  ///
  /// Where stamps are so coarse that other CPUs share the stamp of the first event after a loss,
  /// what was lost may belong between their events, so they are on the far side of the gap too.
  private mutating func endLosses(_ count: Int) {
    var since: UInt64?
    losing.removeAll { loss in
      for index in 0..<count where unsafe group[index].cpu == loss.cpu {
        if unsafe groupIsMixed || group[0].time == loss.stamp {
          since = min(since ?? .max, loss.since)
        }
        return true
      }
      return false
    }
    if let since { beginEpoch(since: since) }
  }

  @inline(__always)
  mutating func process(_ event: TraceEvent) {
    note(event)
    if hasFollower { follower(event) }
    switch event.kind {
    case .map: map(event)
    case .unmap: unmap(event)
    case .mapScatter: mapScatter(event)
    case .unmapScatter: unmapScatter(event)
    case .allocate: allocate(event)
    case .free: free(event)
    case .syncForCPU, .syncForDevice: sync(event)
    case .syncScatterForCPU, .syncScatterForDevice: syncScatter(event)
    case .bounced: bounced(event)
    case .mark: mark(event)
    case .deviceJoined: unsafe devices[Int(event.device)].cameInTrace = true
    case .deviceLeft:
      leaveSeen = true
      unsafe devices[Int(event.device)].leaves = true
    default: break
    }
  }

  /// Times, CPUs and the device's first sight.
  @inline(__always)
  private mutating func note(_ event: TraceEvent) {
    if event.flags.contains(.timed) {
      now = event.time
      if firstTime == nil { firstTime = now }
      cpus.note(event.cpu, event.time, isCall: event.device != 0)
    }
    let device = Int(event.device)
    if device >= deviceCapacity { growDevices(device) }
    if device != 0 {
      let state = unsafe devices + device
      if unsafe !state.pointee.isSeen {
        unsafe state.pointee.isSeen = true
        highestDevice = max(highestDevice, device)
        unsafe state.pointee.firstTime = event.time
        unsafe state.pointee.followsArrival = arrivalSeen
      }
      unsafe state.pointee.lastTime = event.time
    }
    if samples.isDue() { takeSample() }
  }

  mutating func takeSample() {
    unsafe samples.take(
      devices, count: highestDevice, at: now)
  }

  private mutating func growDevices(_ device: Int) {
    let capacity = max(deviceCapacity * 2, device + 1)
    let larger = UnsafeMutablePointer<DeviceState>.allocate(capacity: capacity)
    unsafe larger.moveInitialize(from: devices, count: deviceCapacity)
    unsafe (larger + deviceCapacity).initialize(
      repeating: DeviceState(), count: capacity - deviceCapacity)
    unsafe devices.deallocate()
    unsafe devices = unsafe larger
    deviceCapacity = capacity
  }

  // MARK: Losses and marks

  /// Events of a CPU were lost between its last event and here.
  private mutating func lose(_ event: TraceEvent) {
    lossMarks += 1
    var since: UInt64 = 0
    if event.cpu == .max {
      since = cpus.earliest
    } else {
      since = cpus.lastTime(of: event.cpu)
    }
    losing.append((event.cpu, since, now))
    beginEpoch(since: since)
  }

  /// What is older may have changed unseen, and what was judged since then may be wrong.
  private mutating func beginEpoch(since: UInt64) {
    epoch += 1
    unknown.withdrawnByLoss += findings.withdraw {
      $0.rule.dependsOnCompleteness && $0.time >= since
    }
    overlaps.removeAll()
    arrivalSeen = false
    leaveSeen = false
    for device in 0..<min(deviceCapacity, highestDevice + 1) {
      unsafe devices[device].cameInTrace = false
      unsafe devices[device].followsArrival = false
      unsafe devices[device].allocatedSinceArrival = false
      unsafe devices[device].leaves = false
      unsafe devices[device].mayLeave = false
      unsafe devices[device].neverSynced = 0
    }
  }

  private mutating func mark(_ event: TraceEvent) {
    if event.flags.contains(.driverArrives) {
      if leaveSeen { judgeLeaving(atEnd: false) }
      arrivalSeen = true
      // A mark that names the device says that its driver was not there before.
      if event.device != 0 { unsafe devices[Int(event.device)].cameInTrace = true }
      for device in 1..<max(2, highestDevice + 1) where device < deviceCapacity {
        // One that went completely begins anew.
        if unsafe devices[device].leaves || devices[device].mayLeave {
          unsafe devices[device].isSeen = false
        }
        unsafe devices[device].leaves = false
        unsafe devices[device].mayLeave = false
      }
    } else if event.flags.contains(.driverLeaves) {
      leaveSeen = true
      for device in 1..<max(2, highestDevice + 1) where device < deviceCapacity {
        guard event.device == 0 || event.device == UInt32(device) else { continue }
        if event.device != 0 { unsafe devices[device].leaves = true }
        unsafe devices[device].mayLeave = true
        unsafe devices[device].releasesSinceLeaving = 0
        unsafe devices[device].freesSinceLeaving = 0
        unsafe devices[device].mapsSinceLeaving = 0
      }
    }
  }
}

/// Lends a checker to a reader.
@safe
final class CheckSink: TraceSink {
  // SAFETY: owned; initialized from `init` to `deinit`.
  let checker: UnsafeMutablePointer<TraceChecker>
  private var told = 0

  init(context: TraceContext, options: CheckOptions) {
    unsafe checker = .allocate(capacity: 1)
    unsafe checker.initialize(to: TraceChecker(context: context, options: options))
  }

  deinit {
    unsafe checker.pointee.deallocate()
    unsafe checker.deinitialize(count: 1)
    unsafe checker.deallocate()
  }

  @inline(__always)
  func accept(_ event: inout TraceEvent) { unsafe checker.pointee.accept(&event) }

  func attachStack(_ stack: UInt32) { unsafe checker.pointee.attachStack(stack) }

  /// What was found since the last call.
  func newFindings() -> [Finding] { unsafe checker.pointee.findings.new(after: &told) }

  /// Tells of every event, in the order in which it is judged.
  func follow(_ follower: @escaping (TraceEvent) -> Void) {
    unsafe checker.pointee.follower = follower
    unsafe checker.pointee.hasFollower = true
  }

  /// Judges what only the end shows.
  func finish() { unsafe checker.pointee.finish() }

  /// From now on all that was learnt of the trace stands here.
  func adopt(_ context: TraceContext) { unsafe checker.pointee.context = context }

  func report(path: String) -> CheckReport { unsafe checker.pointee.report(path: path) }
}
