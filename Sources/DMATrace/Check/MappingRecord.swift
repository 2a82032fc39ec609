import DMA

/// What the checker knows about one mapping or allocation, alive or just released.
@safe
struct MappingRecord {
  var dmaAddress: UInt64 = 0
  var physicalAddress: UInt64 = 0
  var cpuAddress: UInt64 = 0
  var byteCount: UInt64 = 0
  var time: UInt64 = 0
  var line: UInt64 = 0
  var device: UInt32 = 0
  var cpu: UInt32 = .max
  var task: Int32 = -1
  var taskName: UInt32 = 0
  var stack: UInt32 = 0
  var attributes: UInt32 = 0
  var entryCount: UInt32 = 0
  var segmentCount: UInt32 = 0
  /// The epoch it was made in: a loss of events begins a new one.
  var epoch: UInt32 = 0
  /// An older live record with the same key, plus one.
  var older: UInt32 = 0
  var family: DMAEvent.Family = .none
  var direction: UInt8 = 0xff
  var context: UInt8 = 0xff
  var space: Space = .streaming
  var flags: Flags = []
  /// Lists of a scatter mapping: bus addresses, lengths, physical addresses; else nil.
  // SAFETY: owned by the book the record lives in; the counts below say how long it is.
  var lists: UnsafeMutablePointer<UInt64>?
  var busCount: UInt16 = 0
  var lengthCount: UInt16 = 0
  var physicalCount: UInt16 = 0

  init() {}

  /// The kinds of keys: releases of one kind never find records of another.
  enum Space: UInt8 {
    case streaming, scatter, coherent
  }

  struct Flags: OptionSet {
    let rawValue: UInt8
    static let live = Flags(rawValue: 1)
    /// Its data goes through bounce memory.
    static let bounced = Flags(rawValue: 2)
    /// It was synced for the CPU at least once.
    static let synced = Flags(rawValue: 4)
    /// A second mapping shares its cache line: its release decides whether that was misuse.
    static let overlapped = Flags(rawValue: 8)
    /// A finding depends on it: an ordinary release withdraws the finding.
    static let suspected = Flags(rawValue: 16)
    /// It is in the table of cache lines.
    static let lined = Flags(rawValue: 32)
    /// `physicalAddress` holds something.
    static let physical = Flags(rawValue: 64)
    /// The list is longer than what is stored of it.
    static let truncated = Flags(rawValue: 128)
  }

  init(_ event: TraceEvent, space: Space, epoch: UInt32) {
    dmaAddress = event.dmaAddress
    physicalAddress = event.physicalAddress
    cpuAddress = event.cpuAddress
    byteCount = event.byteCount
    time = event.time
    line = event.line
    device = event.device
    cpu = event.cpu
    task = event.task
    taskName = event.taskName
    stack = event.stack
    attributes = event.attributes
    entryCount = event.entryCount
    segmentCount = event.segmentCount
    self.epoch = epoch
    family = event.family
    direction = event.direction
    context = event.context
    self.space = space
    flags = event.known.contains(.physicalAddress) ? [.live, .physical] : .live
    if event.known.contains(.truncated) { flags.insert(.truncated) }
  }

  /// Whether an event stands behind the record's own for certain, even with an equal stamp.
  @inline(__always)
  func isInLane(of event: TraceEvent) -> Bool {
    cpu == event.cpu && (cpu != .max || task == event.task && task > 0)
  }

  /// Whether the device may write here.
  var deviceWrites: Bool { direction == 0 || direction == 2 }

  /// Whether no second mapping can have this bus address at the same time.
  ///
  /// An IOMMU and bounce memory hand out each address once; 1:1 addresses repeat when the memory
  /// is mapped twice, which is legal only for memory the device does not write.
  var isUnique: Bool {
    if space == .coherent { return true }
    if flags.contains(.physical), dmaAddress != physicalAddress { return true }
    if space == .scatter {
      return direction == 2 || direction == 0
    }
    return direction == 2 || direction == 0
  }

  /// Lists this long may lack the event of their release: the kernel cannot write one above
  /// a page, which is 504 addresses less what the device's name takes.
  static let longestRecordedList: UInt32 = 490

  var releaseMayBeUnrecorded: Bool {
    switch space {
    case .scatter: entryCount >= Self.longestRecordedList
    case .coherent: entryCount >= Self.longestRecordedList
    case .streaming: false
    }
  }

  var origin: TraceOrigin {
    TraceOrigin(
      line: line, time: time, cpu: cpu, task: task, taskName: taskName, stack: stack)
  }
}
