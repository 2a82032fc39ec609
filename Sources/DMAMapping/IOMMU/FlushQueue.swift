internal import DMA
internal import DMASupport
internal import Synchronization

/// Bus addresses that were unmapped but may still be cached by the IOMMU: the deferred mode.
///
/// Each thread slot has room for 256 ranges. They go back to the allocator only after the whole
/// domain was invalidated: when a slot's queue is full, when the oldest range of the domain is
/// 10 ms old on the platform's clock and somebody unmaps, waits or asks, when a device ends, or when
/// addresses run out.
@safe
struct FlushQueue: ~Copyable {
  struct Range: BitwiseCopyable {
    var first: UInt64
    var count: UInt64
  }

  @safe
  private struct Slot: ~Copyable {
    let gate: SlotGate
    /// Inside of the gate.
    var count = 0
    var ranges: UnsafeMutablePointer<Range>? = nil
  }

  private let slots: UnsafeMutableRawPointer
  /// When the oldest range was queued, on the platform's clock; 0 when none is.
  private let pendingSince = Atomic<UInt64>(0)
  private let isFlushing = Atomic<Bool>(false)

  static var capacity: Int { 256 }
  private static var slotByteCount: Int { 128 }

  init() {
    unsafe slots = UnsafeMutableRawPointer.allocate(
      byteCount: Self.slotByteCount * SlotGate.count, alignment: 128)
    for index in 0..<SlotGate.count {
      unsafe (slots + index * Self.slotByteCount).bindMemory(to: Slot.self, capacity: 1)
        .initialize(to: Slot(gate: SlotGate(slot: index)))
    }
  }

  deinit {
    for index in 0..<SlotGate.count { unsafe slot(index).pointee.ranges?.deallocate() }
    unsafe slots.deallocate()
  }

  @inline(__always)
  private func slot(_ index: Int) -> UnsafeMutablePointer<Slot> {
    // SAFETY: bound by init; indices are below SlotGate.count.
    unsafe (slots + index &* Self.slotByteCount).assumingMemoryBound(to: Slot.self)
  }

  /// Queues a range whose entries are cleared, if that takes nothing special.
  @inline(__always)
  func pushPlainly(_ first: UInt64, _ count: UInt64) -> Bool {
    let slot = unsafe slot(SlotGate.claimedSlot)
    if unsafe slot.pointee.gate.enterPlainly() {
      // SAFETY: inside of the gate the slot is this thread's; a queue with entries has its room.
      let queued = unsafe slot.pointee.count
      // The first four of a queue and every 16th look at the clock, which may cost more than the
      // rest: often while little happens, then seldom.
      if queued & 15 != 0 && queued > 3, queued < Self.capacity,
        let ranges = unsafe slot.pointee.ranges
      {
        unsafe ranges[queued] = Range(first: first, count: count)
        unsafe slot.pointee.count = queued &+ 1
        unsafe slot.pointee.gate.leavePlainly()
        return true
      }
      unsafe slot.pointee.gate.leavePlainly()
    }
    return false
  }

  /// Queues a range whose entries are cleared.
  @inline(never)
  func push(_ first: UInt64, _ count: UInt64, _ domain: UnsafeMutablePointer<DomainState>) {
    let index = SlotGate.currentSlot
    let slot = unsafe slot(index)
    unsafe slot.pointee.gate.enter(slot: index)
    // SAFETY: as above.
    var queued = unsafe slot.pointee.count
    if unsafe slot.pointee.ranges == nil || queued == Self.capacity {
      unsafe makeRoom(slot, domain)
      queued = unsafe slot.pointee.count
    }
    if let ranges = unsafe slot.pointee.ranges {
      unsafe ranges[queued] = Range(first: first, count: count)
    }
    unsafe slot.pointee.count = queued &+ 1
    unsafe slot.pointee.gate.leave(slot: index)
    if queued < 4 || queued & 15 == 0 { unsafe lookAtClock(domain) }
  }

  @inline(never)
  private func makeRoom(
    _ slot: UnsafeMutablePointer<Slot>, _ domain: UnsafeMutablePointer<DomainState>
  ) {
    if unsafe slot.pointee.ranges == nil {
      unsafe slot.pointee.ranges = .allocate(capacity: Self.capacity)
    }
    guard unsafe slot.pointee.count == Self.capacity else { return }
    unsafe giveBack(slot, domain, wasInvalidated: DomainState.invalidateAll(domain))
  }

  /// Empties a queue; what was not invalidated is never used again.
  private func giveBack(
    _ slot: UnsafeMutablePointer<Slot>, _ domain: UnsafeMutablePointer<DomainState>,
    wasInvalidated: Bool
  ) {
    // SAFETY: inside of the gate, or with it stopped.
    guard let ranges = unsafe slot.pointee.ranges else { return }
    for index in unsafe 0..<slot.pointee.count {
      let range = unsafe ranges[index]
      if wasInvalidated {
        unsafe domain.pointee.space.givePages(range.first, range.count)
      } else {
        unsafe DomainState.abandon(domain, range.first, range.count)
      }
    }
    unsafe slot.pointee.count = 0
  }

  @inline(never)
  private func lookAtClock(_ domain: UnsafeMutablePointer<DomainState>) {
    let now = unsafe max(1, domain.pointee.platform.pointee.now)
    let since = pendingSince.load(ordering: .relaxed)
    if since == 0 {
      _ = pendingSince.compareExchange(expected: 0, desired: now, ordering: .relaxed)
    } else if unsafe now &- since >= domain.pointee.flushInterval && now > since {
      unsafe flush(domain)
    }
  }

  /// Flushes when the oldest range is due.
  func flushIfDue(_ domain: UnsafeMutablePointer<DomainState>) {
    if pendingSince.load(ordering: .relaxed) != 0 { unsafe lookAtClock(domain) }
  }

  /// Invalidates the domain and gives every thread's ranges back.
  ///
  /// Not from inside of a gate.
  func flush(_ domain: UnsafeMutablePointer<DomainState>) {
    stopAll()
    pendingSince.store(0, ordering: .relaxed)
    // All entries in the queues are cleared: what is invalidated now stays gone.
    let wasInvalidated = unsafe waitingCount == 0 || DomainState.invalidateAll(domain)
    for index in 0..<SlotGate.count {
      if unsafe slot(index).pointee.count > 0 {
        unsafe giveBack(slot(index), domain, wasInvalidated: wasInvalidated)
      }
    }
    goOn()
  }

  /// How many ranges wait.
  var rangeCount: Int {
    stopAll()
    defer { goOn() }
    return waitingCount
  }

  /// With all gates stopped.
  private var waitingCount: Int {
    var sum = 0
    for index in 0..<SlotGate.count { sum += unsafe slot(index).pointee.count }
    return sum
  }

  /// Keeps every thread out of its queue.
  private func stopAll() {
    while isFlushing.exchange(true, ordering: .acquiring) { dma_cpu_relax() }
    for index in 0..<SlotGate.count { unsafe slot(index).pointee.gate.raise() }
    dma_fence_heavy()
    for index in 0..<SlotGate.count { unsafe slot(index).pointee.gate.waitUntilLeft() }
  }

  private func goOn() {
    for index in 0..<SlotGate.count { unsafe slot(index).pointee.gate.lower() }
    isFlushing.store(false, ordering: .releasing)
  }
}

extension PlatformCore {
  /// Nanoseconds on the machine's clock.
  var now: UInt64 { unsafe operations.now(context) }
}
