internal import DMA
internal import DMASupport

/// All a checker knows, in plain memory, behind one lock.
///
/// The paths of a correct driver take the lock, touch one slot of the table of live mappings and
/// one of cache lines, and allocate nothing once the tables have grown.
@safe
struct CheckerState: ~Copyable {
  let options: DMAChecker.Options
  let lock = BiasedLock()
  var live: LiveTable
  /// Blocks of pools: many to a page, and never looked for by an address inside but by devices.
  var blocks: LiveTable
  /// Lines that devices may write.
  var lines = LineTable()
  /// Of those, the lines of more than one mapping: how many.
  var sharedLines = AddressTable<UInt32>()
  /// Lines are 2 to this many bytes.
  let lineShift: UInt64
  let lineGroupMax: Int
  var sites: SiteTable
  var freed: FreedRing
  var devices: [KnownDevice] = []
  /// Segments of scatter lists after the first, and which places are free.
  var segments: [[UInt64]] = []
  var freeSegments: [UInt32] = []
  /// What was reported, by rule and places: how often.
  var reported = AddressTable<UInt32>()
  var ruleCounts: [UInt64] = Array(repeating: 0, count: 256)
  var statistics = DMAChecker.Statistics()
  /// Findings that the handler has not got yet.
  var pending: [Finding] = []
  var hasPending = false

  init(_ options: DMAChecker.Options) {
    self.options = options
    let slots =
      max(options.memoryLimit, 0)
      / (MemoryLayout<LiveSlot>.stride + MemoryLayout<LiveRest>.stride)
    // While a table grows the old half is still there.
    live = LiveTable(capacityMax: max(32, slots / 2))
    blocks = LiveTable(granuleShift: 4, capacityMax: max(32, slots / 4))
    lineShift = UInt64(options.cacheLineByteCount.trailingZeroBitCount)
    lineGroupMax = max(64, options.memoryLimit / 128)
    sites = SiteTable(countMax: min(60_000, max(8, options.memoryLimit / 256)))
    freed = FreedRing(countMax: max(0, options.freedCountMax))
  }

  deinit {
    for device in devices {
      // SAFETY: made by `DMAChecker.attach`; the checker's end means that nobody delivers events.
      unsafe device.state.deinitialize(count: 1)
      unsafe device.state.deallocate()
    }
  }

  // MARK: Time and subjects

  /// When a mapping is made, in nanoseconds of a device's machine; 0 when that is not asked for.
  ///
  /// A real clock takes longer to read than all else here: it is read again when a microsecond or
  /// so has passed. A simulated one is read every time.
  @inline(__always)
  func time(_ device: UnsafeMutablePointer<DeviceState>) -> UInt64 {
    guard options.recordsTime else { return 0 }
    // SAFETY: the device's state is valid during an event.
    let moment = unsafe device.pointee.moment
    if moment > 0 {
      let counter = dma_counter()
      if unsafe counter &- device.pointee.counter < moment {
        return unsafe device.pointee.time
      }
      unsafe device.pointee.counter = counter
    }
    unsafe device.pointee.time = now(device)
    return unsafe device.pointee.time
  }

  /// Nanoseconds of a device's machine; only while that lives, as during an event.
  func now(_ device: UnsafeMutablePointer<DeviceState>) -> UInt64 {
    // SAFETY: a device that delivers an event has its core and its platform.
    let platform = unsafe device.pointee.core.pointee.platform
    return unsafe platform.pointee.operations.now(platform.pointee.context)
  }

  func site(_ number: UInt32) -> CallSite? { number == 0 ? nil : sites[number] }

  func subject(_ mapping: LiveMapping, now: UInt64) -> Finding.Subject {
    Finding.Subject(
      family: mapping.family, address: mapping.address, cpuAddress: mapping.cpuAddress,
      byteCount: mapping.byteCount, direction: mapping.direction, site: site(mapping.site),
      age: now &- min(mapping.time, now),
      entryCount: mapping.family == .scatter ? mapping.entryCount : 0, endSite: nil)
  }

  func subject(_ freed: FreedMapping, now: UInt64) -> Finding.Subject {
    var subject = subject(freed.mapping, now: now)
    subject.endSite = site(freed.site)
    subject.endAge = now &- min(freed.time, now)
    return subject
  }

  // MARK: Findings

  /// Counts a violation; true when it is the first of its rule at these places.
  mutating func isNew(_ rule: CheckRule, _ site: UInt32, _ other: UInt32, _ salt: UInt32 = 0)
    -> Bool
  {
    statistics.violationCount &+= 1
    ruleCounts[Int(rule.rawValue)] &+= 1
    let key =
      UInt64(rule.rawValue) | UInt64(site) << 8 | UInt64(other) << 24
      | UInt64(site | other == 0 ? salt & 0x7fff : 0) << 40
    if let count = reported[key] {
      reported.insert(count &+ 1, for: key)
      return false
    }
    // An eighth of the memory is for what was reported.
    guard reported.count < max(64, options.memoryLimit / 256) else {
      statistics.lostFindingCount &+= 1
      return false
    }
    reported.insert(1, for: key)
    return true
  }

  mutating func deliver(_ finding: Finding) {
    statistics.findingCount &+= 1
    pending.append(finding)
    hasPending = true
  }

  /// Reports a call, once for its place and that of the mapping.
  mutating func report(
    _ rule: CheckRule, _ device: UnsafeMutablePointer<DeviceState>,
    _ event: UnsafePointer<DMAEvent>, _ mapping: LiveMapping? = nil,
    expected: Finding.Quantity = .none, seen: Finding.Quantity = .none,
    lastFreed: FreedMapping? = nil, otherDevice: String = ""
  ) {
    let number = unsafe sites.number(of: event.pointee.origin)
    let other = mapping?.site ?? lastFreed?.mapping.site ?? 0
    guard isNew(rule, number, other, unsafe device.pointee.number) else { return }
    let now = unsafe now(device)
    var finding = Finding(rule: rule, device: unsafe device.pointee.name)
    finding.call = unsafe call(event, number)
    finding.mapping = mapping.map { subject($0, now: now) }
    finding.lastFreed = lastFreed.map { subject($0, now: now) }
    finding.expected = expected
    finding.seen = seen
    finding.otherDevice = otherDevice
    deliver(finding)
  }

  func call(_ event: UnsafePointer<DMAEvent>, _ number: UInt32) -> Finding.Call {
    // SAFETY: the event is valid while it is delivered.
    let known = unsafe event.pointee.known
    return unsafe Finding.Call(
      kind: event.pointee.kind, family: event.pointee.family, site: site(number),
      address: known.contains(.dmaAddress) ? event.pointee.dmaAddress : nil,
      byteCount: event.pointee.byteCount, direction: event.pointee.direction,
      entryCount: event.pointee.entryCount)
  }

  mutating func unknown() { statistics.unknownCount &+= 1 }

  // MARK: What has ended

  mutating func remember(_ mapping: LiveMapping, _ site: UInt32, _ time: UInt64) {
    let (slot, rest) = mapping.packed
    if let rest { freed.note(rest) }
    freed.add(slot, site, time)
  }

  /// The mapping that ended last and that `accepts` takes.
  func lastFreed(_ owner: UInt32, where accepts: (LiveMapping) -> Bool) -> FreedMapping? {
    freed.last { $0.mapping.owner == owner && accepts($0.mapping) }
  }
}
