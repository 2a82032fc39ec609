public import DMA

/// One event as a reader found it: plain data, so that a hundred million of them cost nothing.
///
/// Names are numbers of `TraceContext`; lists are stretches of its arena. `dmaEvent(in:)` makes the
/// record that live drivers share with traces.
public struct TraceEvent: Sendable {
  public var kind: Kind = .unknown
  public var family: DMAEvent.Family = .none
  /// Linux's number of the direction; 3 is "none", 0xff says that the source does not tell.
  public var direction: UInt8 = 0xff
  /// What ran: 0 a task, 1 a soft interrupt, 2 a hard one, 0xff unknown.
  public var context: UInt8 = 0xff
  public var known: Known = []
  public var flags: Flags = []
  /// The event's name, by number in `TraceContext.eventNames`.
  public var name: UInt16 = 0
  /// `UInt32.max` when the source does not tell.
  public var cpu: UInt32 = .max
  public var task: Int32 = -1
  public var taskName: UInt32 = 0
  public var stack: UInt32 = 0
  public var device: UInt32 = 0
  public var attributes: UInt32 = 0
  public var time: UInt64 = 0
  public var line: UInt64 = 0
  public var dmaAddress: UInt64 = 0
  public var physicalAddress: UInt64 = 0
  public var cpuAddress: UInt64 = 0
  public var byteCount: UInt64 = 0
  /// Entries of the caller's list; for a loss the number of lost events.
  public var entryCount: UInt32 = 0
  public var segmentCount: UInt32 = 0
  /// Where its lists begin in the arena: bus addresses, then lengths, then physical addresses.
  var listStart: UInt32 = 0
  package var busCount: UInt16 = 0
  package var lengthCount: UInt16 = 0
  package var physicalCount: UInt16 = 0

  init() {}

  /// What a line says was done.
  public enum Kind: UInt8, Sendable {
    case unknown
    case allocate, free
    case map, unmap
    case mapScatter, unmapScatter
    case syncForCPU, syncForDevice
    case syncScatterForCPU, syncScatterForDevice
    /// A mapping that goes through bounce memory: it stands before its map event.
    case bounced
    /// The IOMMU's own events, which name no device.
    case translationAdded, translationRemoved
    case deviceJoined, deviceAttached, deviceLeft
    case fault
    /// Text that somebody wrote into the trace.
    case mark
    /// Events of this CPU were lost just before this point.
    case loss
  }

  /// Which fields hold something: the bits of `DMAEvent.Known`, repeated here so that the reader's
  /// inner loop calls nothing in another module.
  public struct Known: OptionSet, Sendable {
    public let rawValue: UInt16
    @inline(__always)
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let dmaAddress = Known(rawValue: 1 << 0)
    public static let physicalAddress = Known(rawValue: 1 << 1)
    public static let cpuAddress = Known(rawValue: 1 << 2)
    public static let byteCount = Known(rawValue: 1 << 3)
    public static let direction = Known(rawValue: 1 << 4)
    public static let entryCount = Known(rawValue: 1 << 5)
    public static let segmentCount = Known(rawValue: 1 << 6)
    public static let attributes = Known(rawValue: 1 << 7)
    public static let segmentAddresses = Known(rawValue: 1 << 8)
    public static let segmentPhysicalAddresses = Known(rawValue: 1 << 9)
    public static let segmentByteCounts = Known(rawValue: 1 << 10)
    public static let truncated = Known(rawValue: 1 << 11)
  }

  /// What else is known about it.
  public struct Flags: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The call failed: nothing came to be.
    public static let failed = Flags(rawValue: 1)
    /// `time` holds something.
    public static let timed = Flags(rawValue: 2)
    /// A bounce that was forced (`swiotlb=force`) rather than needed.
    public static let forced = Flags(rawValue: 4)
    /// A mark that says a driver was loaded or bound.
    public static let driverArrives = Flags(rawValue: 8)
    /// A mark that says a driver is being unloaded or unbound.
    public static let driverLeaves = Flags(rawValue: 16)
    /// Attributes held words this reader does not know.
    public static let unknownAttributes = Flags(rawValue: 32)
  }
}

extension TraceEvent {
  var isRelease: Bool {
    kind == .unmap || kind == .unmapScatter || kind == .free
  }
  var isAcquire: Bool {
    (kind == .map || kind == .mapScatter || kind == .allocate) && !flags.contains(.failed)
  }

  /// Events of one lane stand in the order in which they were written: a CPU's, and where the
  /// source names no CPU, a task's; what an idle CPU wrote then has a lane of its own.
  var lane: UInt64 {
    if cpu != .max { return UInt64(cpu) }
    return task > 0 ? 1 << 32 | UInt64(task) : 1 << 33 | line
  }

  /// Where the event stands and who made it, as the shared record says it.
  public var origin: TraceOrigin {
    TraceOrigin(
      line: line, time: time, cpu: cpu, task: task, taskName: taskName, stack: stack)
  }

  /// The record that live drivers and traces share; nil for what it has no word for.
  ///
  /// Its `segments` are empty: `TraceContext.segments(of:_:)` lends them.
  public var dmaEvent: DMAEvent? {
    let kind: DMAEvent.Kind
    switch self.kind {
    case .allocate: kind = .allocate
    case .free: kind = .free
    case .map: kind = .map
    case .unmap: kind = .unmap
    case .mapScatter: kind = .mapScatter
    case .unmapScatter: kind = .unmapScatter
    case .syncForCPU: kind = .syncForCPU
    case .syncForDevice: kind = .syncForDevice
    case .syncScatterForCPU: kind = .syncScatterForCPU
    case .syncScatterForDevice: kind = .syncScatterForDevice
    case .fault: kind = .fault
    case .loss: kind = .loss
    case .mark: kind = .mark
    case .deviceJoined: kind = .deviceAdded
    case .deviceLeft: kind = .deviceRemoved
    case .bounced, .translationAdded, .translationRemoved, .deviceAttached, .unknown: return nil
    }
    var event = DMAEvent(kind, family: family, device: device)
    event.known = DMAEvent.Known(rawValue: known.rawValue)
    event.direction = DMADirection(rawValue: direction)
    if flags.contains(.failed) { event.status = .outOfMemory }
    event.attributes = attributes
    event.dmaAddress = dmaAddress
    event.physicalAddress = physicalAddress
    event.cpuAddress = cpuAddress
    event.byteCount = byteCount
    event.entryCount = entryCount
    event.segmentCount = segmentCount
    event.origin = .trace(origin)
    return event
  }
}

/// Who takes what a reader finds.
///
/// The lists of an event are good until `accept` returns, unless the taker says otherwise to the
/// context (`TraceContext.keepLists`).
protocol TraceSink: AnyObject {
  func accept(_ event: inout TraceEvent)
  /// The event accepted last was made from this stack.
  func attachStack(_ stack: UInt32)
}
