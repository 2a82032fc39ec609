public import DMA
internal import PCI

/// A queue pair of a controller: where commands go in and completions come out.
///
/// Many commands run at a time and complete in any order. Reads, writes and polls of one queue are
/// for one thread at a time; different queues may be used by different threads at once. Calls that
/// wait must not be made in an interrupt or with a spin lock held.
@safe
public final class NVMeQueue {
  /// The queue's number; the first I/O queue is 1.
  public let id: UInt16
  /// How many commands can run at once.
  public let capacity: Int

  let shared: NVMeShared
  let transferByteCountMax: Int
  private let batch: Int
  private let submission: CoherentBuffer<UInt64>
  private let completion: CoherentBuffer<UInt32>
  private let submissionCount: Int
  private let completionCount: Int
  private var tail = 0
  private var head = 0
  private var phase: UInt32 = 1
  /// Commands the controller was not told of yet.
  private var unrungCount = 0
  /// Completions the controller was not told of yet.
  private var untoldCount = 0
  private var running: InFlightTable<NVMeRunning>
  private var lists: NVMeListStore
  /// The last generation of each slot: ids carry it, so that a late answer to an earlier command
  /// is not taken for one to the present.
  private let generations: UnsafeMutablePointer<UInt8>
  private var interrupt: PCIInterrupt?
  /// Since when `tryNext` has been called in vain.
  private var vainSince: UInt64?

  /// Words of an entry in each queue.
  private static var submissionWords: Int { 8 }
  private static var completionWords: Int { 4 }
  private static var slotBits: Int { 12 }
  static var capacityMax: Int { 1 << slotBits }
  private static var unused: UInt8 { 0xff }

  init(
    _ id: UInt16, _ shared: NVMeShared, capacity: Int, transferByteCountMax: Int, batch: Int
  ) throws(NVMeError) {
    self.id = id
    self.shared = shared
    self.transferByteCountMax = transferByteCountMax
    self.batch = batch
    // One entry of a queue always stays empty; the admin queues have at most 4096 each.
    let limit = id == 0 ? 4096 : shared.capabilities.entryCountMax
    self.capacity = max(1, min(capacity, limit - 1, Self.capacityMax))
    submissionCount = self.capacity + 1
    completionCount = min(2 * self.capacity + 1, limit)
    do throws(DMAError) {
      submission = try CoherentBuffer(
        count: submissionCount * Self.submissionWords, for: shared.device.dma)
      completion = try CoherentBuffer(
        count: completionCount * Self.completionWords, for: shared.device.dma)
    } catch { throw .dma(error) }
    running = InFlightTable(capacity: self.capacity)
    lists = NVMeListStore(
      shared.pools, capacity: self.capacity, transferByteCountMax: transferByteCountMax)
    unsafe generations = .allocate(capacity: self.capacity)
    // SAFETY: freshly allocated for that many.
    unsafe generations.initialize(repeating: Self.unused, count: self.capacity)
  }

  deinit {
    // The memory that is freed now must be safe from the controller.
    shared.stop()
    while let left = takeAborted() { _ = left.takeTransfer().unmap() }
    unsafe generations.deallocate()
  }

  /// What the controller is told of the queues: addresses and entries.
  var addresses: (submission: DMAAddress, completion: DMAAddress) {
    (submission.address, completion.address)
  }
  var entryCounts: (submission: Int, completion: Int) { (submissionCount, completionCount) }

  func setInterrupt(_ interrupt: PCIInterrupt) { self.interrupt = interrupt }

  /// What the queue's transfers are mapped for.
  public var device: DMADevice { shared.device.dma }

  /// How many commands have been given to the queue and did not complete.
  public var runningCount: Int { running.count }

  /// The I/O the queue takes in one command, in bytes.
  public var commandByteCountMax: Int { transferByteCountMax }

  // MARK: In

  /// Puts a command into the queue; the doorbell is not rung.
  func submit(
    _ command: NVMeCommand, _ transfer: consuming NVMeTransfer, tag: UInt64
  ) -> NVMeSubmission {
    guard !shared.isStopped else { return .refused(transfer, .stopped) }
    guard let slot = running.nextID.map({ Int($0) }) else { return .refused(transfer, .queueFull) }
    var location = NVMePRP()
    var listCount = 0
    do throws(NVMeError) {
      switch transfer {
      case .none: break
      case .read(let mapping):
        (location, listCount) = try describe(mapping.address, mapping.byteCount, slot)
      case .write(let mapping):
        (location, listCount) = try describe(mapping.address, mapping.byteCount, slot)
      case .readList(let mapping):
        try checkLength(mapping.byteCount)
        (location, listCount) = try lists.describe(mapping, slot: slot)
      case .writeList(let mapping):
        try checkLength(mapping.byteCount)
        (location, listCount) = try lists.describe(mapping, slot: slot)
      }
    } catch {
      return .refused(transfer, error)
    }
    start(command, location, NVMeRunning(tag: tag, transfer: transfer, listCount: listCount))
    return .accepted
  }

  /// Puts a command into the queue whose memory the caller keeps mapped until it completed.
  func submit(
    _ command: NVMeCommand, address: DMAAddress, byteCount: Int, tag: UInt64
  ) throws(NVMeError) {
    guard !shared.isStopped else { throw .stopped }
    guard let slot = running.nextID.map({ Int($0) }) else { throw .queueFull }
    let (location, listCount) = try describe(address, byteCount, slot)
    start(command, location, NVMeRunning(tag: tag, transfer: .none, listCount: listCount))
  }

  private func describe(
    _ address: DMAAddress, _ byteCount: Int, _ slot: Int
  ) throws(NVMeError) -> (NVMePRP, Int) {
    try checkLength(byteCount)
    return try lists.describe(address, byteCount, slot: slot)
  }

  private func checkLength(_ byteCount: Int) throws(NVMeError) {
    guard byteCount <= transferByteCountMax else {
      throw .tooLong(byteCount: byteCount, limit: transferByteCountMax)
    }
  }

  private func start(
    _ command: NVMeCommand, _ location: NVMePRP, _ record: consuming NVMeRunning
  ) {
    let slot = Int(running.start(record))
    // SAFETY: slots are below the capacity.
    let generation = unsafe (generations[slot] &+ 1) & 0xf
    unsafe generations[slot] = generation
    let commandID = UInt64(slot) | UInt64(generation) << UInt64(Self.slotBits)
    let base = tail * Self.submissionWords
    submission[base] = UInt64(command.opcode) | commandID << 16 | UInt64(command.namespace) << 32
    submission[base + 1] = 0
    submission[base + 2] = 0
    submission[base + 3] = location.first
    submission[base + 4] = location.second
    submission[base + 5] = UInt64(command.word10) | UInt64(command.word11) << 32
    submission[base + 6] = UInt64(command.word12)
    submission[base + 7] = 0
    tail = tail + 1 == submissionCount ? 0 : tail + 1
    unrungCount += 1
  }

  /// Tells the controller of the commands that were put into the queue.
  ///
  /// `poll` and `next` do it on their own when there is nothing else to do: one write for all.
  public func ring() {
    guard unrungCount > 0, !shared.isStopped else { return }
    unrungCount = 0
    // The write comes with a barrier: the entries are in memory before.
    shared.registers.write(UInt32(tail), at: doorbell(isCompletion: false))
  }

  private func doorbell(isCompletion: Bool) -> Int {
    NVMeRegister.doorbells
      + (2 * Int(id) + (isCompletion ? 1 : 0)) * shared.capabilities.doorbellStride
  }

  // MARK: Out

  /// A command that is done, if there is one; never waits.
  ///
  /// - Throws: `NVMeError.unknownCompletion`, `.duplicateCompletion`: the controller is stopped
  ///   then. The commands that were running come out of the calls that follow, with
  ///   `NVMeError.stopped`.
  public func poll() throws(NVMeError) -> NVMeCompletion? {
    guard !shared.isStopped else { return takeAborted() }
    let base = head * Self.completionWords
    let word3 = completion[base + 3]
    guard word3 >> 16 & 1 == phase else {
      if unrungCount >= batch || unrungCount == running.count { ring() }
      return nil
    }
    // The other words must not be read before the phase.
    DMABarrier.read()
    let word2 = completion[base + 2]
    let result = completion[base]
    head += 1
    if head == completionCount {
      head = 0
      phase ^= 1
    }
    untoldCount += 1
    // As late as possible, but before the controller can run out of room.
    if untoldCount >= max(1, completionCount - 1 - capacity) {
      untoldCount = 0
      shared.registers.write(UInt32(head), at: doorbell(isCompletion: true))
    }
    return try complete(UInt16(truncatingIfNeeded: word3), word2, result, word3)
  }

  private func complete(
    _ commandID: UInt16, _ word2: UInt32, _ result: UInt32, _ word3: UInt32
  ) throws(NVMeError) -> NVMeCompletion? {
    let slot = Int(commandID) & (Self.capacityMax - 1)
    let generation = UInt8(commandID >> UInt16(Self.slotBits))
    guard slot < capacity, word2 >> 16 == UInt32(id) else {
      return try fail(.unknownCompletion(queue: id, id: commandID))
    }
    // SAFETY: the slot is below the capacity.
    let last = unsafe generations[slot]
    guard generation == last else {
      let wasBefore = last != Self.unused && generation == (last &- 1) & 0xf
      return try fail(
        wasBefore
          ? .duplicateCompletion(queue: id, id: commandID)
          : .unknownCompletion(queue: id, id: commandID))
    }
    guard let record = running.complete(UInt16(slot)) else {
      return try fail(.duplicateCompletion(queue: id, id: commandID))
    }
    let listCount = record.listCount
    if listCount > 0 { lists.release(slot: slot, count: listCount) }
    let status = NVMeStatus(field: UInt16(truncatingIfNeeded: word3 >> 17))
    return NVMeCompletion(
      record, error: status.isSuccess ? nil : .failed(status), result: result)
  }

  private func fail(_ error: NVMeError) throws(NVMeError) -> NVMeCompletion? {
    shared.stop()
    throw error
  }

  /// A command that was running when the controller was stopped.
  func takeAborted() -> NVMeCompletion? {
    guard shared.isStopped, running.count > 0 else { return nil }
    for slot in 0..<capacity {
      guard let record = running.complete(UInt16(slot)) else { continue }
      lists.release(slot: slot, count: record.listCount)
      return NVMeCompletion(record, error: .stopped, result: 0)
    }
    return nil
  }

  /// `next()` in pieces, for callers with something else to do in between: looks once, and gives
  /// devices a moment when there is nothing.
  ///
  /// - Throws: as `next()`, when no command has completed in the device's time since the first of
  ///   these calls that found none.
  public func tryNext() throws(NVMeError) -> NVMeCompletion? {
    guard !ExecutionContext.current.isAtomic else { throw .dma(.wouldBlock) }
    let before = vainSince
    vainSince = nil
    guard running.count > 0 else { return nil }
    if let done = try poll() { return done }
    ring()
    let now = shared.platform.nanoseconds
    let begun = before ?? now
    guard now &- begun < UInt64(shared.timeoutMilliseconds) * 1_000_000 else {
      throw shared.stopAfterTimeout()
    }
    vainSince = begun
    // Completions are in memory whether or not an interrupt tells of them.
    shared.platform.relax(after: now &- begun)
    return nil
  }

  /// Waits for a command that is done; nil when none is running.
  ///
  /// - Throws: `NVMeError.timedOut` when no command of the queue completes in the device's time,
  ///   `.died`, `.gone` and as `poll()`: the controller is stopped then, as `poll()` says.
  ///   `.dma(.wouldBlock)` where waiting is forbidden; nothing has changed then.
  public func next() throws(NVMeError) -> NVMeCompletion? {
    guard !ExecutionContext.current.isAtomic else { throw .dma(.wouldBlock) }
    guard running.count > 0 else { return nil }
    if let done = try poll() { return done }
    ring()
    let platform = shared.platform
    let begun = platform.nanoseconds
    let limit = UInt64(shared.timeoutMilliseconds) * 1_000_000
    while true {
      if let done = try poll() { return done }
      let spent = platform.nanoseconds &- begun
      guard spent < limit else { throw shared.stopAfterTimeout() }
      guard let interrupt else {
        platform.relax(after: spent)
        continue
      }
      do throws(DMAError) {
        try interrupt.wait(nanoseconds: limit - spent)
      } catch {
        guard error == .timedOut else { throw .dma(error) }
      }
    }
  }
}

extension NVMeCompletion {
  init(_ record: consuming NVMeRunning, error: NVMeError?, result: UInt32) {
    tag = record.tag
    self.error = error
    self.result = result
    transfer = record.transfer
  }
}
