// Doorbells, fetching and completing. SAFETY of every access to `state`: it lives as long as the
// controller, the machine calls one at a time, and queue and slot numbers are checked where they
// come in.

extension NVMeController {
  func ringDoorbell(_ offset: Int, _ value: UInt32) {
    counters.doorbells += 1
    let stride = 4 << options.doorbellStride
    let index = (offset - NVMeRegister.doorbells) / stride
    let queue = index / 2
    guard isWorking, (offset - NVMeRegister.doorbells) % stride == 0,
      unsafe queue < state.pointee.queueCount
    else { return violate(.doorbellOfNoQueue(offset: offset)) }
    if index % 2 == 0 {
      ringSubmission(queue, offset, value)
    } else {
      ringCompletion(queue, offset, value)
    }
  }

  private func ringSubmission(_ queue: Int, _ offset: Int, _ value: UInt32) {
    guard unsafe state.pointee.submission[queue].isLive else {
      violate(.doorbellOfNoQueue(offset: offset))
      return raiseEvent(0x00)
    }
    let old = unsafe state.pointee.submission[queue]
    let added = (value &+ old.entryCount &- old.tail) % old.entryCount
    guard value < old.entryCount, added != 0, old.waitingCount + added < old.entryCount else {
      violate(.doorbellValue(queue: queue, isCompletion: false, value: value))
      return raiseEvent(0x01)
    }
    unsafe state.pointee.submission[queue].tail = value
    scheduleFetch(queue)
  }

  private func ringCompletion(_ queue: Int, _ offset: Int, _ value: UInt32) {
    guard unsafe state.pointee.completion[queue].isLive else {
      violate(.doorbellOfNoQueue(offset: offset))
      return raiseEvent(0x00)
    }
    let old = unsafe state.pointee.completion[queue]
    let taken = (value &+ old.entryCount &- old.head) % old.entryCount
    guard value < old.entryCount, taken != 0, taken <= old.usedCount else {
      violate(.doorbellValue(queue: queue, isCompletion: true, value: value))
      return raiseEvent(0x01)
    }
    unsafe state.pointee.completion[queue].head = value
    postWaiting(queue)
    updateWire()
  }

  /// Takes what a submission queue holds, as far as there are slots.
  func fetch(_ queue: Int) {
    unsafe state.pointee.submission[queue].isFetchScheduled = false
    guard isWorking, unsafe state.pointee.submission[queue].isLive else { return }
    while unsafe state.pointee.submission[queue].waitingCount > 0 {
      let from = unsafe state.pointee.submission[queue]
      // One run of memory at a time, as far as the queue's end.
      let run = min(from.waitingCount, from.entryCount - from.head)
      let free = unsafe NVMeState.slotCount - state.pointee.liveSlotCount
      let count = min(Int(run), NVMeState.fetchCount, free)
      guard count > 0 else {
        unsafe state.pointee.isStarved = true
        return
      }
      let buffer = unsafe UnsafeMutableRawBufferPointer(
        start: state.pointee.fetched, count: count * NVMeEntry.byteCount)
      let address = from.base + UInt64(from.head) * UInt64(NVMeEntry.byteCount)
      // A controller that cannot read its queues cannot go on.
      guard unsafe readMemory(address, into: buffer) == .done else { return die() }
      unsafe state.pointee.submission[queue].head = (from.head + UInt32(count)) % from.entryCount
      for index in 0..<count { unsafe start(state.pointee.fetched[index], from: queue) }
    }
  }

  private func start(_ command: NVMeEntry, from queue: Int) {
    guard let slot = unsafe state.pointee.takeSlot() else { return }
    counters.fetched += 1
    unsafe state.pointee.slots[slot].state = .running
    unsafe state.pointee.slots[slot].queue = queue
    unsafe state.pointee.slots[slot].command = command
    let generation = unsafe state.pointee.slots[slot].generation
    schedule(after: options.latency, tag: tag(Work.finish, generation, slot))
  }

  /// Does a command whose time has come, and completes it.
  func finish(_ slot: Int, _ generation: UInt16) {
    guard isWorking, unsafe state.pointee.slots[slot].generation == generation,
      unsafe state.pointee.slots[slot].state == .running
    else { return }
    let queue = unsafe state.pointee.slots[slot].queue
    let command = unsafe state.pointee.slots[slot].command
    if !faults.isEmpty, let effect = takeFault(queue, command) {
      return finish(slot, queue, command, effect)
    }
    guard let code = perform(slot, queue, command) else { return }
    complete(slot, code)
  }

  /// - Returns: nil when the command completes later.
  private func perform(_ slot: Int, _ queue: Int, _ command: NVMeEntry) -> NVMeCode? {
    unsafe state.pointee.slots[slot].result = 0
    // Fused operations and scatter-gather lists are not supported.
    guard command.flags & 0xc3 == 0 else { return .invalidField }
    return queue == 0 ? performAdmin(slot, command) : performIO(command)
  }

  private func takeFault(_ queue: Int, _ command: NVMeEntry) -> NVMeFault.Effect? {
    for index in faults.indices {
      let fault = faults[index]
      guard fault.queue.map({ Int($0) == queue }) ?? (queue != 0),
        fault.opcode.map({ $0 == command.opcode }) ?? true
      else { continue }
      if fault.skip > 0 {
        faults[index].skip -= 1
        continue
      }
      faults[index].count -= 1
      if faults[index].count <= 0 { faults.remove(at: index) }
      return fault.effect
    }
    return nil
  }

  private func finish(
    _ slot: Int, _ queue: Int, _ command: NVMeEntry, _ effect: NVMeFault.Effect
  ) {
    switch effect {
    case .fail(let type, let code):
      complete(slot, NVMeCode(UInt16(type & 7) << 8 | UInt16(code)))
    case .neverAnswer:
      // The slot stays taken until the next reset.
      unsafe state.pointee.slots[slot].state = .held
    case .answerTwice:
      guard let code = perform(slot, queue, command) else { return }
      let result = unsafe state.pointee.slots[slot].result
      complete(slot, code)
      if let again = unsafe state.pointee.takeSlot() {
        unsafe state.pointee.slots[again].queue = queue
        unsafe state.pointee.slots[again].command = command
        unsafe state.pointee.slots[again].result = result
        complete(again, code)
      }
    case .answerFor(let id):
      guard let code = perform(slot, queue, command) else { return }
      unsafe state.pointee.slots[slot].command.id = id
      complete(slot, code)
    case .die: die()
    }
  }

  /// Writes a completion, or has it wait for room.
  func complete(_ slot: Int, _ code: NVMeCode) {
    let submission = unsafe state.pointee.slots[slot].queue
    let queue = unsafe state.pointee.submission[submission].completionQueue
    unsafe state.pointee.slots[slot].code = code
    unsafe state.pointee.slots[slot].state = .completing
    guard unsafe state.pointee.completion[queue].isFull else { return post(slot, to: queue) }
    unsafe state.pointee.slots[slot].next = -1
    let last = unsafe state.pointee.completion[queue].lastWaiting
    if last < 0 {
      unsafe state.pointee.completion[queue].firstWaiting = Int32(slot)
    } else {
      unsafe state.pointee.slots[Int(last)].next = Int32(slot)
    }
    unsafe state.pointee.completion[queue].lastWaiting = Int32(slot)
  }

  private func postWaiting(_ queue: Int) {
    while unsafe !state.pointee.completion[queue].isFull,
      unsafe state.pointee.completion[queue].firstWaiting >= 0
    {
      let slot = unsafe Int(state.pointee.completion[queue].firstWaiting)
      let next = unsafe state.pointee.slots[slot].next
      unsafe state.pointee.completion[queue].firstWaiting = next
      if next < 0 { unsafe state.pointee.completion[queue].lastWaiting = -1 }
      post(slot, to: queue)
    }
  }

  private func post(_ slot: Int, to queue: Int) {
    let done = unsafe state.pointee.slots[slot]
    let target = unsafe state.pointee.completion[queue]
    let submission = unsafe state.pointee.submission[done.queue]
    var words: (UInt32, UInt32, UInt32, UInt32) = (
      done.result, 0, submission.head | UInt32(done.queue) << 16,
      UInt32(done.command.id) | UInt32(done.code.value << 1 | target.phase) << 16
    )
    let address = target.base + UInt64(target.tail) * 16
    // SAFETY: the words outlive the call. The word with the phase goes last, by itself: a driver
    // that sees it sees the others.
    let outcome = unsafe withUnsafeBytes(of: &words) { bytes in
      let body = unsafe writeMemory(address, from: UnsafeRawBufferPointer(rebasing: bytes[..<12]))
      let phase = unsafe writeMemory(
        address + 12, from: UnsafeRawBufferPointer(rebasing: bytes[12...]))
      return body == .done ? phase : body
    }
    unsafe state.pointee.freeSlot(slot)
    guard outcome == .done else { return die() }
    counters.completed += 1
    let tail = (target.tail + 1) % target.entryCount
    unsafe state.pointee.completion[queue].tail = tail
    if tail == 0 { unsafe state.pointee.completion[queue].phase = target.phase ^ 1 }
    if target.hasInterrupts {
      if hasMessageInterrupts { signal(vector: target.vector) } else { updateWire() }
    }
    resumeStarved()
  }

  private func resumeStarved() {
    guard unsafe state.pointee.isStarved else { return }
    unsafe state.pointee.isStarved = false
    for queue in 0..<(unsafe state.pointee.queueCount) {
      let submission = unsafe state.pointee.submission[queue]
      if submission.isLive, submission.waitingCount > 0 { scheduleFetch(queue) }
    }
  }
}
