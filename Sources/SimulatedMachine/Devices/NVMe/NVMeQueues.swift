/// A submission queue as the controller keeps it.
struct NVMeSubmissionQueue {
  var isLive = false
  var isFetchScheduled = false
  var base: UInt64 = 0
  var entryCount: UInt32 = 0
  /// The next entry to fetch.
  var head: UInt32 = 0
  /// One behind the last entry the driver told of.
  var tail: UInt32 = 0
  var completionQueue = 0

  /// Entries that were told of and not fetched.
  var waitingCount: UInt32 { (tail &+ entryCount &- head) % entryCount }
}

/// A completion queue as the controller keeps it.
struct NVMeCompletionQueue {
  var isLive = false
  var hasInterrupts = false
  var base: UInt64 = 0
  var entryCount: UInt32 = 0
  /// One behind the last entry the driver took.
  var head: UInt32 = 0
  /// The next entry to write.
  var tail: UInt32 = 0
  var phase: UInt16 = 1
  var vector = 0
  /// Submission queues that end here.
  var userCount = 0
  /// Slots whose completion found no room, oldest first; -1 for none.
  var firstWaiting: Int32 = -1
  var lastWaiting: Int32 = -1

  var isFull: Bool { (tail + 1) % entryCount == head }
  var isEmpty: Bool { tail == head }
  /// Entries the driver has not taken.
  var usedCount: UInt32 { (tail &+ entryCount &- head) % entryCount }
}

/// A command between fetch and completion.
struct NVMeSlot {
  enum State { case free, running, completing, held }

  var state = State.free
  /// Changes when the slot is freed: what was scheduled for its last command is dropped.
  var generation: UInt16 = 0
  var queue = 0
  /// The next slot of the list this one is in; -1 at the end.
  var next: Int32 = -1
  var command = NVMeEntry()
  var code = NVMeCode.success
  var result: UInt32 = 0
}

/// The controller's hot state, in plain memory.
@safe
struct NVMeState: ~Copyable {
  static var slotCount: Int { 4096 }

  let submission: UnsafeMutablePointer<NVMeSubmissionQueue>
  let completion: UnsafeMutablePointer<NVMeCompletionQueue>
  let slots: UnsafeMutablePointer<NVMeSlot>
  let queueCount: Int
  /// Bytes between a medium and memory: one command's at a time.
  let staging: UnsafeMutableRawBufferPointer
  /// One page of a PRP list.
  let list: UnsafeMutablePointer<UInt64>
  /// Entries being fetched.
  let fetched: UnsafeMutablePointer<NVMeEntry>
  static var fetchCount: Int { 32 }
  static var listByteCountMax: Int { 65536 }

  var firstFree: Int32 = 0
  var liveSlotCount = 0
  var isStarved = false

  /// - Parameter queueCount: with the admin queue.
  init(queueCount: Int, transferByteCountMax: Int) {
    self.queueCount = queueCount
    unsafe submission = .allocate(capacity: queueCount)
    unsafe completion = .allocate(capacity: queueCount)
    unsafe slots = .allocate(capacity: Self.slotCount)
    unsafe staging = .allocate(byteCount: transferByteCountMax, alignment: 4096)
    unsafe list = .allocate(capacity: Self.listByteCountMax / 8)
    unsafe fetched = .allocate(capacity: Self.fetchCount)
    // SAFETY: freshly allocated, each for as many as are stored.
    unsafe submission.initialize(repeating: NVMeSubmissionQueue(), count: queueCount)
    unsafe completion.initialize(repeating: NVMeCompletionQueue(), count: queueCount)
    unsafe slots.initialize(repeating: NVMeSlot(), count: Self.slotCount)
    _ = unsafe staging.initializeMemory(as: UInt8.self, repeating: 0)
    unsafe list.initialize(repeating: 0, count: Self.listByteCountMax / 8)
    unsafe fetched.initialize(repeating: NVMeEntry(), count: Self.fetchCount)
    reset()
  }

  deinit {
    unsafe submission.deallocate()
    unsafe completion.deallocate()
    unsafe slots.deallocate()
    unsafe staging.deallocate()
    unsafe list.deallocate()
    unsafe fetched.deallocate()
  }

  /// No queues, no commands.
  mutating func reset() {
    for index in 0..<queueCount {
      // SAFETY: the index is below the count.
      unsafe submission[index] = NVMeSubmissionQueue()
      unsafe completion[index] = NVMeCompletionQueue()
    }
    for index in 0..<Self.slotCount {
      // SAFETY: as above.
      unsafe slots[index].state = .free
      unsafe slots[index].generation &+= 1
      unsafe slots[index].next = index + 1 < Self.slotCount ? Int32(index + 1) : -1
    }
    firstFree = 0
    liveSlotCount = 0
    isStarved = false
  }

  mutating func takeSlot() -> Int? {
    guard firstFree >= 0 else { return nil }
    let slot = Int(firstFree)
    // SAFETY: the free list only has slots.
    unsafe firstFree = slots[slot].next
    liveSlotCount += 1
    return slot
  }

  mutating func freeSlot(_ slot: Int) {
    // SAFETY: the caller has the slot from takeSlot.
    unsafe slots[slot].state = .free
    unsafe slots[slot].generation &+= 1
    unsafe slots[slot].next = firstFree
    firstFree = Int32(slot)
    liveSlotCount -= 1
  }
}
