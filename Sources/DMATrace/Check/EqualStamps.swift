import DMA

/// Events of one stamp from several CPUs, whose lines stand in the order of the CPUs.
///
/// Each CPU's own order holds. Among the CPUs goes first whatever makes sense: that is the order in
/// which a correct driver did it. A release that fits nothing waits for its mapping; where waiting
/// ends nowhere, it is set aside, and what another order could explain is unknown, never a finding.
extension TraceChecker {
  mutating func processMixed(_ count: Int) {
    if count == 2 {
      let first = unsafe urgency(group[0])
      let second = unsafe urgency(group[1])
      if first < .waits, second < .waits {
        let swaps = second < first ? 1 : 0
        unsafe process(group[swaps])
        unsafe process(group[1 - swaps])
        return
      }
    }
    var queues = unsafe StampQueues(group, count)
    // So many CPUs at once are damage; in the order of the lines they prove nothing.
    guard queues.heads.count * count < 1 << 24 else {
      unknown.mismatches += count
      return
    }
    var keys: StampKeys?
    var aside: [Int] = []
    while let choice = next(in: queues, &keys, count) {
      let event = unsafe group[queues.heads[choice]]
      queues.advance(choice)
      keys?.take(event, in: context)
      // The keys exist once something had to wait.
      if keys?.isAcquired(event, in: context) == true, event.isRelease, exactMatch(event) == nil {
        aside.append(queues.last)
      } else {
        process(event)
      }
    }
    for index in aside { processLate(unsafe group[index]) }
  }

  /// What was set aside: its mapping has come meanwhile, or nothing can be said.
  private mutating func processLate(_ event: TraceEvent) {
    if exactMatch(event) != nil {
      process(event)
    } else {
      unknown.releases += 1
      unsafe devices[Int(event.device)].unknownReleases += 1
    }
  }

  /// The queue whose first event should go next; nil when all are empty.
  private mutating func next(in queues: StampQueues, _ keys: inout StampKeys?, _ count: Int)
    -> Int?
  {
    var best: Int?
    var bestUrgency = Urgency.last
    for (queue, head) in queues.heads.enumerated() where head >= 0 {
      var urgency = unsafe urgency(group[head])
      if urgency == .waits {
        if keys == nil { keys = unsafe StampKeys(group, count, left: queues, context) }
        if unsafe keys?.mayCome(for: group[head], in: context) == true { urgency = .blocked }
      }
      if urgency < bestUrgency || best == nil {
        bestUrgency = urgency
        best = queue
      }
    }
    return best
  }

  /// What should go first.
  enum Urgency: Int, Comparable {
    /// A sync of what is mapped.
    case syncs
    /// A release that fits a live mapping in every respect.
    case releases
    /// Whatever needs nothing.
    case free
    /// Fits nothing, and nothing that waits elsewhere would change that.
    case waits
    /// Fits nothing yet, but another CPU's mapping of the same address is still to come.
    case blocked
    case last

    static func < (left: Urgency, right: Urgency) -> Bool { left.rawValue < right.rawValue }
  }

  private mutating func urgency(_ event: TraceEvent) -> Urgency {
    switch event.kind {
    case .syncForCPU, .syncForDevice:
      return containing(event) != nil ? .syncs : .waits
    case .syncScatterForCPU, .syncScatterForDevice: return .syncs
    case .unmap, .unmapScatter, .free:
      return exactMatch(event) != nil ? .releases : .waits
    default: return .free
    }
  }
}

/// The events of one stamp, one queue for each CPU.
struct StampQueues {
  /// The first event of each queue that was not taken; -1 when all were.
  private(set) var heads: [Int] = []
  /// The event taken last.
  private(set) var last = -1
  /// The event behind each in its queue, or -1.
  private var behind: [Int]

  init(_ group: UnsafeMutablePointer<TraceEvent>, _ count: Int) {
    behind = [Int](repeating: -1, count: count)
    var tails: [UInt64: Int] = [:]
    for index in 0..<count {
      let lane = unsafe group[index].lane
      if let tail = tails[lane] { behind[tail] = index } else { heads.append(index) }
      tails[lane] = index
    }
  }

  mutating func advance(_ queue: Int) {
    last = heads[queue]
    heads[queue] = behind[last]
  }

  /// The events that were not taken yet.
  var left: [Int] {
    var result: [Int] = []
    for head in heads {
      var index = head
      while index >= 0 {
        result.append(index)
        index = behind[index]
      }
    }
    return result
  }
}

/// The addresses that events of one stamp give out.
struct StampKeys {
  private struct Key: Hashable {
    var address: UInt64
    var device: UInt32
    var space: UInt8
  }
  /// By key and lane, how many mappings are still to come.
  private var coming: [Key: [UInt64: Int]] = [:]
  private var acquired: Set<Key> = []

  init(
    _ group: UnsafeMutablePointer<TraceEvent>, _ count: Int, left queues: StampQueues,
    _ context: TraceContext
  ) {
    for index in 0..<count {
      let event = unsafe group[index]
      if event.isAcquire, let key = Self.key(event, context) { acquired.insert(key) }
    }
    for index in queues.left {
      let event = unsafe group[index]
      guard event.isAcquire, let key = Self.key(event, context) else { continue }
      coming[key, default: [:]][event.lane, default: 0] += 1
    }
  }

  /// Whether another CPU will still map what this event needs.
  func mayCome(for event: TraceEvent, in context: TraceContext) -> Bool {
    guard let key = Self.key(event, context), let lanes = coming[key] else { return false }
    return lanes.count > 1 || lanes[event.lane] == nil
  }

  /// Whether any event of this stamp maps the key of this one.
  func isAcquired(_ event: TraceEvent, in context: TraceContext) -> Bool {
    Self.key(event, context).map(acquired.contains) ?? false
  }

  /// An event was taken out of its queue.
  mutating func take(_ event: TraceEvent, in context: TraceContext) {
    guard event.isAcquire, let key = Self.key(event, context),
      let left = coming[key]?[event.lane]
    else { return }
    coming[key]?[event.lane] = left > 1 ? left - 1 : nil
    if coming[key]?.isEmpty == true { coming[key] = nil }
  }

  private static func key(_ event: TraceEvent, _ context: TraceContext) -> Key? {
    switch event.kind {
    case .map, .unmap, .syncForCPU, .syncForDevice:
      return Key(address: event.dmaAddress, device: event.device, space: 0)
    case .mapScatter, .unmapScatter:
      guard let first = unsafe context.physicalAddresses(event).first else { return nil }
      return Key(address: first, device: event.device, space: 1)
    case .allocate, .free:
      return Key(address: event.dmaAddress, device: event.device, space: 2)
    default: return nil
    }
  }
}
