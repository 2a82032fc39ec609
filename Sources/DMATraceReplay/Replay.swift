package import DMA
import DMATrace

/// Makes the calls of a trace again, through this package's own mappings on a simulated machine:
/// what would have been, with another mapping, mask, pool or memory.
package struct Replay {
  /// What a device's calls came to.
  package struct Device: Sendable {
    package var name: String
    package var maskBits: Int
    package var isMaskGiven: Bool
    package var calls = 0
    package var byteCount: UInt64 = 0
    package var bouncedCalls = 0
    package var bouncedBytes: UInt64 = 0
    package var segments = 0
    package var longestSegment = 0
    package var allocations = 0
    package var allocatedBytes: UInt64 = 0
    /// Calls that failed here, by their reason, and the first of them.
    package var failures: [DMAStatus.RawValue: Int] = [:]
    package var firstFailure: Failure?
    /// Calls that could not be made again.
    package var notReplayed = 0
  }

  package struct Failure: Sendable {
    package var line: UInt64
    package var time: UInt64
    package var error: DMAError
  }

  package let traced: TracedPlatform
  package let mapping: ReplayMapping
  package let isForced: Bool
  /// The platform is like the traced one, so results are compared.
  package let isLikeTraced: Bool
  package private(set) var devices: [UInt32: Device] = [:]
  package private(set) var agreement = ReplayAgreement()
  package private(set) var peakSlots = 0
  package private(set) var totalSlots = 0
  package private(set) var copiedBytes: UInt64 = 0
  package private(set) var peakPages = 0
  package private(set) var tablePages = 0
  package private(set) var rangeInvalidations = 0
  package private(set) var domainInvalidations = 0
  /// Releases and syncs of what was mapped before the trace, in a gap, or not at all.
  package private(set) var unmatched = 0

  private let trace: ReplayTrace
  private let options: ReplayOptions
  private let machine: ReplayMachine
  private var live: [Key: [Live]] = [:]
  private var livePages = 0

  private struct Key: Hashable {
    var device: UInt32
    var space: UInt8
    var address: UInt64
  }

  /// A mapping that is alive on both sides.
  private struct Live {
    var direction: UInt8
    var traced: UInt64
    var byteCount: UInt64
    /// Here: its address, and its list or allocation.
    var address: UInt64
    var entries: [ScatterEntry] = []
    var allocation = DMAStatusNumbers()
    var pages = 0
  }

  /// Reads a trace and replays it.
  package init(_ path: String, options: ReplayOptions) throws(ReplayError) {
    do throws(TraceInputError) {
      trace = try ReplayTrace(path)
    } catch {
      throw .trace(error)
    }
    self.options = options
    traced = TracedPlatform(trace)
    mapping = options.mapping ?? traced.mapping
    isForced = options.isForced ?? (mapping == .bounce && traced.isForced)
    isLikeTraced =
      (mapping == traced.mapping || mapping.isIOMMU && traced.mapping.isIOMMU)
      && options.maskBits == nil && isForced == traced.isForced
    machine = try ReplayMachine(mapping, options, isForced: isForced)
    for call in trace.calls where devices[call.device] == nil { try addDevice(call.device) }
    for call in trace.calls { replay(call) }
    peakSlots = machine.peakSlots
    totalSlots = machine.totalSlots
    copiedBytes = machine.copiedBytes
    tablePages = machine.tablePages
    rangeInvalidations = machine.rangeInvalidations
    domainInvalidations = machine.domainInvalidations
  }

  private mutating func addDevice(_ number: UInt32) throws(ReplayError) {
    let name = trace.devices[Int(number)]
    let limits = options.limits.devices[name]
    var bits = traced.inferredMaskBits(number)
    if let mask = limits?.mask { bits = 64 - mask.leadingZeroBitCount }
    if let given = options.maskBits { bits = given }
    var constraints = DMAConstraints.pci
    let longest = traced.longestSegment[number] ?? 0
    constraints.segmentByteCountMax = Int(
      clamping: limits?.maxSegment ?? max(65536, longest))
    if let boundary = limits?.boundaryMask, boundary & (boundary &+ 1) == 0 {
      constraints.segmentBoundaryMask = boundary
    }
    constraints.minimumAlignmentMask = traced.inferredAlignmentMask(number)
    try machine.add(
      number, name: name, mask: DMAMask(bitCount: bits), constraints: constraints)
    devices[number] = Device(
      name: name, maskBits: bits, isMaskGiven: options.maskBits != nil || limits?.mask != nil)
  }

  private mutating func replay(_ call: ReplayTrace.Call) {
    switch call.kind {
    case .map: map(call)
    case .mapScatter: mapScatter(call)
    case .allocate: allocate(call)
    case .unmap, .unmapScatter, .free: release(call)
    case .syncForCPU, .syncForDevice: sync(call)
    default: break
    }
  }

  private func traits(_ direction: UInt8) -> MappingTraits {
    MappingTraits(DMADirection(rawValue: direction) ?? .bidirectional)
  }

  // MARK: Mapping

  private mutating func map(_ call: ReplayTrace.Call) {
    guard !call.isFailed else {
      if isLikeTraced { agreement.note(.failure, false, line: call.line) }
      devices[call.device]?.notReplayed += 1
      return
    }
    devices[call.device]?.calls += 1
    devices[call.device]?.byteCount &+= call.byteCount
    // Registers of other devices are never copied: without an IOMMU they are passed through.
    if call.family == .resource, !mapping.isIOMMU {
      if isLikeTraced {
        agreement.note(.busAddress, call.bus == call.physical, line: call.line)
      }
      add(
        call, space: 0,
        Live(
          direction: call.direction, traced: call.bus, byteCount: call.byteCount,
          address: call.physical))
      return
    }
    guard call.byteCount > 0,
      let answer = machine.map(
        call.device, physical: call.physical, byteCount: Int(clamping: call.byteCount),
        traits(call.direction))
    else {
      devices[call.device]?.notReplayed += 1
      return
    }
    guard answer.status == .success else {
      fail(call, answer)
      return
    }
    let address = answer.numbers.first
    note(segment: call.device, Int(clamping: call.byteCount))
    noteBounce(call.device, physical: call.physical, address, call.byteCount)
    if isLikeTraced {
      compare(
        call, traced: call.bus, here: address, physical: call.physical, byteCount: call.byteCount)
    }
    var live = Live(
      direction: call.direction, traced: call.bus, byteCount: call.byteCount, address: address)
    live.pages = pageCount(call.physical, call.byteCount)
    add(call, space: 0, live)
  }

  private mutating func mapScatter(_ call: ReplayTrace.Call) {
    let physical = Array(trace.physicalAddresses(call))
    let lengths = Array(trace.lengths(call))
    let bus = Array(trace.busAddresses(call))
    guard !call.isFailed, let first = physical.first else {
      if isLikeTraced, call.isFailed { agreement.note(.failure, false, line: call.line) }
      devices[call.device]?.notReplayed += 1
      return
    }
    devices[call.device]?.calls += 1
    devices[call.device]?.byteCount &+= lengths.reduce(0, &+)
    // The lengths of a merged list are those of its segments: its entries' own are in no event.
    guard call.entryCount == call.segmentCount, physical.count == lengths.count,
      !lengths.contains(0)
    else {
      devices[call.device]?.notReplayed += 1
      if isLikeTraced { agreement.note(.merged, false, line: call.line) }
      return
    }
    if call.isTruncated, isLikeTraced { agreement.note(.truncated, false, line: call.line) }
    var entries = zip(physical, lengths).map {
      machine.entry(physical: $0, byteCount: Int(clamping: $1))
    }
    guard
      let answer = machine.list(
        call.device, &entries, isMap: true, traits(call.direction))
    else { return }
    guard answer.status == .success else {
      fail(call, answer)
      return
    }
    let segmentCount = Int(answer.numbers.first)
    for entry in entries.prefix(segmentCount) { note(segment: call.device, entry.dmaByteCount) }
    if segmentCount == entries.count {
      for entry in entries {
        noteBounce(
          call.device, physical: entry.physicalAddress, entry.dmaAddress, UInt64(entry.byteCount))
      }
    }
    if isLikeTraced { compare(call, entries, segmentCount, bus) }
    var live = Live(
      direction: call.direction, traced: first, byteCount: UInt64(entries.count),
      address: entries[0].dmaAddress)
    live.entries = entries
    live.pages = entries.reduce(0) {
      $0 + pageCount($1.physicalAddress, UInt64($1.byteCount))
    }
    add(call, space: 1, live)
  }

  private mutating func allocate(_ call: ReplayTrace.Call) {
    guard !call.isFailed, call.byteCount > 0, call.byteCount <= 1 << 32 else { return }
    devices[call.device]?.allocations += 1
    devices[call.device]?.allocatedBytes &+= call.byteCount
    var byteCount = 4096
    while byteCount < Int(call.byteCount) { byteCount *= 2 }
    guard let answer = machine.allocate(call.device, byteCount: byteCount) else { return }
    guard answer.status == .success else {
      fail(call, answer)
      return
    }
    if isLikeTraced {
      agreement.note(.coherent, answer.numbers.first == call.bus, line: call.line)
    }
    var live = Live(
      direction: call.direction, traced: call.bus, byteCount: UInt64(byteCount),
      address: answer.numbers.first)
    live.allocation = answer.numbers
    live.pages = byteCount / 4096
    add(call, space: 2, live)
  }

  private mutating func fail(_ call: ReplayTrace.Call, _ answer: ReplayMachine.Answer) {
    devices[call.device]?.failures[answer.status.rawValue, default: 0] += 1
    if devices[call.device]?.firstFailure == nil {
      devices[call.device]?.firstFailure = Failure(
        line: call.line, time: call.time,
        error: DMAError(status: answer.status, numbers: answer.numbers))
    }
    // What worked there and fails here, on a platform alike, is a difference of its kind.
    guard isLikeTraced, call.kind != .allocate else { return }
    agreement.note(
      mapping == .bounce && !isMaskKnown(call.device) ? .bouncesByRule : .bounces, false,
      line: call.line)
  }

  // MARK: Releases and syncs

  private func key(_ call: ReplayTrace.Call) -> Key? {
    switch call.kind {
    case .map, .unmap: Key(device: call.device, space: 0, address: call.bus)
    case .mapScatter, .unmapScatter:
      trace.physicalAddresses(call).first.map {
        Key(device: call.device, space: 1, address: $0)
      }
    case .allocate, .free: Key(device: call.device, space: 2, address: call.bus)
    default: nil
    }
  }

  private mutating func add(_ call: ReplayTrace.Call, space: UInt8, _ mapping: Live) {
    guard let key = key(call) else { return }
    live[key, default: []].append(mapping)
    livePages += mapping.pages
    peakPages = max(peakPages, livePages)
  }

  private mutating func release(_ call: ReplayTrace.Call) {
    guard let key = key(call), var chain = live[key],
      let index = chain.lastIndex(where: {
        $0.direction == call.direction
          && (key.space == 2 || $0.byteCount == call.byteCount || key.space == 1)
      }) ?? chain.indices.last
    else {
      unmatched += 1
      return
    }
    var mapping = chain.remove(at: index)
    live[key] = chain.isEmpty ? nil : chain
    livePages -= mapping.pages
    switch key.space {
    case 0:
      guard call.family != .resource || self.mapping.isIOMMU else { return }
      _ = machine.unmap(
        call.device, address: mapping.address, byteCount: Int(clamping: mapping.byteCount),
        traits(mapping.direction))
    case 1:
      _ = machine.list(
        call.device, &mapping.entries, isMap: false, traits(mapping.direction))
    default:
      machine.free(call.device, mapping.allocation, byteCount: Int(mapping.byteCount))
    }
  }

  private mutating func sync(_ call: ReplayTrace.Call) {
    let key = Key(device: call.device, space: 0, address: call.bus)
    guard let mapping = live[key]?.last, call.byteCount <= mapping.byteCount, call.byteCount > 0
    else {
      unmatched += 1
      return
    }
    let traits = traits(mapping.direction)
    _ = machine.sync(
      call.device, address: mapping.address, byteCount: Int(clamping: call.byteCount),
      call.kind == .syncForCPU ? traits.forCPU : traits)
  }

  // MARK: Counting

  private func pageCount(_ physical: UInt64, _ byteCount: UInt64) -> Int {
    Int(clamping: (physical & 0xfff &+ byteCount &+ 0xfff) >> 12)
  }

  private mutating func note(segment device: UInt32, _ byteCount: Int) {
    devices[device]?.segments += 1
    let longest = devices[device]?.longestSegment ?? 0
    if byteCount > longest { devices[device]?.longestSegment = byteCount }
  }

  private mutating func noteBounce(
    _ device: UInt32, physical: UInt64, _ address: UInt64, _ byteCount: UInt64
  ) {
    guard mapping == .bounce, address != physical else { return }
    devices[device]?.bouncedCalls += 1
    devices[device]?.bouncedBytes &+= byteCount
  }

  private func isMaskKnown(_ device: UInt32) -> Bool {
    isForced || devices[device]?.isMaskGiven == true
  }

  // MARK: Comparing

  private mutating func compare(
    _ call: ReplayTrace.Call, traced: UInt64, here: UInt64, physical: UInt64, byteCount: UInt64
  ) {
    switch mapping {
    case .direct:
      agreement.note(.busAddress, traced == here, line: call.line)
    case .bounce:
      let didBounce = traced != physical
      agreement.note(
        isMaskKnown(call.device) ? .bounces : .bouncesByRule,
        didBounce == (here != physical), line: call.line)
      guard didBounce, here != physical else {
        agreement.note(.busAddress, traced == here, line: call.line)
        return
      }
      agreement.note(.slotPlace, samePlace(traced, here, byteCount), line: call.line)
      agreement.note(.slot, traced == here, line: call.line)
    case .strict, .lazy:
      agreement.note(.place, traced & 0xfff == here & 0xfff, line: call.line)
      agreement.note(.below4GiB, (traced >> 32 == 0) == (here >> 32 == 0), line: call.line)
      agreement.note(.busPage, traced == here, line: call.line)
    }
  }

  /// Copies begin at a slot of 2 KiB, those of a page and more at a page, unless the device keeps
  /// the place within the page.
  private func samePlace(_ traced: UInt64, _ here: UInt64, _ byteCount: UInt64) -> Bool {
    traced & 0x7ff == here & 0x7ff && (byteCount < 4096 || traced & 0xfff == here & 0xfff)
  }

  private mutating func compare(
    _ call: ReplayTrace.Call, _ entries: [ScatterEntry], _ segmentCount: Int, _ bus: [UInt64]
  ) {
    let isLimitGiven =
      options.limits.devices[devices[call.device]?.name ?? ""]?.maxSegment != nil
    agreement.note(
      mapping.isIOMMU && !isLimitGiven ? .segmentsByRule : .segments,
      segmentCount == entries.count, line: call.line)
    guard segmentCount == entries.count, bus.count == entries.count else { return }
    for (entry, traced) in zip(entries, bus) {
      compare(
        call, traced: traced, here: entry.dmaAddress, physical: entry.physicalAddress,
        byteCount: UInt64(entry.byteCount))
    }
  }
}
