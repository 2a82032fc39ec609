// Admin commands. SAFETY of every access to `state`: as in Queues.

extension NVMeController {
  /// - Returns: nil when the command completes later.
  func performAdmin(_ slot: Int, _ command: NVMeEntry) -> NVMeCode? {
    switch command.opcode {
    case NVMeOpcode.identify: return identify(command)
    case NVMeOpcode.createCompletionQueue: return createCompletionQueue(command)
    case NVMeOpcode.createSubmissionQueue: return createSubmissionQueue(command)
    case NVMeOpcode.deleteCompletionQueue: return deleteCompletionQueue(command)
    case NVMeOpcode.deleteSubmissionQueue: return deleteSubmissionQueue(command)
    case NVMeOpcode.setFeatures: return setFeatures(slot, command)
    case NVMeOpcode.getFeatures: return getFeatures(slot, command)
    case NVMeOpcode.getLogPage: return getLogPage(command)
    case NVMeOpcode.abort:
      // Commands are too short to be caught: bit 0 says that none was aborted.
      unsafe state.pointee.slots[slot].result = 1
      return .success
    case NVMeOpcode.asynchronousEvent:
      guard heldEventRequests.count < Self.eventRequestCountMax else { return .eventRequestLimit }
      unsafe state.pointee.slots[slot].state = .held
      heldEventRequests.append(slot)
      deliverEvents()
      return nil
    default: return .invalidOpcode
    }
  }

  static var eventRequestCountMax: Int { 4 }

  // MARK: Queues

  private func queueID(_ command: NVMeEntry) -> Int? {
    let id = Int(command.word10 & 0xffff)
    return unsafe id >= 1 && id < state.pointee.queueCount ? id : nil
  }

  private func entryCount(_ command: NVMeEntry) -> UInt32? {
    let count = command.word10 >> 16 + 1
    return count >= 2 && count <= UInt32(options.entryCountMax) ? count : nil
  }

  private func createCompletionQueue(_ command: NVMeEntry) -> NVMeCode {
    guard let id = queueID(command), unsafe !state.pointee.completion[id].isLive else {
      return .invalidQueueID
    }
    guard let entryCount = entryCount(command) else { return .invalidQueueSize }
    guard command.word11 & 1 != 0 else { return .invalidField }
    guard command.prp1 % UInt64(pageByteCount) == 0 else { return .invalidPRPOffset }
    let vector = Int(command.word11 >> 16)
    guard vector <= options.queuePairCount else { return .invalidInterruptVector }
    unsafe state.pointee.completion[id] = NVMeCompletionQueue(
      isLive: true, hasInterrupts: command.word11 & 2 != 0, base: command.prp1,
      entryCount: entryCount, vector: vector)
    return .success
  }

  private func createSubmissionQueue(_ command: NVMeEntry) -> NVMeCode {
    guard let id = queueID(command), unsafe !state.pointee.submission[id].isLive else {
      return .invalidQueueID
    }
    let completion = Int(command.word11 >> 16)
    guard unsafe completion >= 1 && completion < state.pointee.queueCount,
      unsafe state.pointee.completion[completion].isLive
    else { return .invalidCompletionQueue }
    guard let entryCount = entryCount(command) else { return .invalidQueueSize }
    guard command.word11 & 1 != 0 else { return .invalidField }
    guard command.prp1 % UInt64(pageByteCount) == 0 else { return .invalidPRPOffset }
    unsafe state.pointee.submission[id] = NVMeSubmissionQueue(
      isLive: true, base: command.prp1, entryCount: entryCount, completionQueue: completion)
    unsafe state.pointee.completion[completion].userCount += 1
    return .success
  }

  private func deleteSubmissionQueue(_ command: NVMeEntry) -> NVMeCode {
    guard let id = queueID(command), unsafe state.pointee.submission[id].isLive else {
      return .invalidQueueID
    }
    // What runs ends now, unanswered work included (NVM Express 1.4, 5.6).
    for slot in 0..<NVMeState.slotCount {
      let held = unsafe state.pointee.slots[slot]
      guard held.queue == id, held.state == .running || held.state == .held else { continue }
      complete(slot, .abortedByQueueDeletion)
    }
    let completion = unsafe state.pointee.submission[id].completionQueue
    unsafe state.pointee.completion[completion].userCount -= 1
    unsafe state.pointee.submission[id].isLive = false
    return .success
  }

  private func deleteCompletionQueue(_ command: NVMeEntry) -> NVMeCode {
    guard let id = queueID(command), unsafe state.pointee.completion[id].isLive else {
      return .invalidQueueID
    }
    guard unsafe state.pointee.completion[id].userCount == 0 else { return .invalidQueueDeletion }
    var waiting = unsafe state.pointee.completion[id].firstWaiting
    while waiting >= 0 {
      let next = unsafe state.pointee.slots[Int(waiting)].next
      unsafe state.pointee.freeSlot(Int(waiting))
      waiting = next
    }
    unsafe state.pointee.completion[id] = NVMeCompletionQueue()
    return .success
  }

  // MARK: Features

  private func setFeatures(_ slot: Int, _ command: NVMeEntry) -> NVMeCode {
    switch command.word10 & 0xff {
    case 0x06:
      hasWriteCache = command.word11 & 1 != 0
    case 0x07:
      // 65535 of either kind is not a number of queues.
      guard command.word11 & 0xffff != 0xffff, command.word11 >> 16 != 0xffff else {
        return .invalidField
      }
      unsafe state.pointee.slots[slot].result = queueCountResult
    case 0x0b:
      eventConfiguration = command.word11
    default: return .invalidField
    }
    return .success
  }

  private func getFeatures(_ slot: Int, _ command: NVMeEntry) -> NVMeCode {
    let result: UInt32
    switch command.word10 & 0xff {
    case 0x06: result = hasWriteCache ? 1 : 0
    case 0x07: result = queueCountResult
    case 0x0b: result = eventConfiguration
    default: return .invalidField
    }
    unsafe state.pointee.slots[slot].result = result
    return .success
  }

  /// How many of both kinds, counted from zero.
  private var queueCountResult: UInt32 {
    UInt32(options.queuePairCount - 1) | UInt32(options.queuePairCount - 1) << 16
  }

  // MARK: Events

  /// Tells the driver of a bad doorbell, once it has asked to hear of events (NVM Express 1.4,
  /// 5.2).
  func raiseEvent(_ information: UInt32) {
    // Type 0: error; the error log has more.
    guard waitingEvents.count < 16 else { return }
    waitingEvents.append(information << 8 | 0x01 << 16)
    deliverEvents()
  }

  private func deliverEvents() {
    while let slot = heldEventRequests.first, let event = waitingEvents.first {
      heldEventRequests.removeFirst()
      waitingEvents.removeFirst()
      unsafe state.pointee.slots[slot].result = event
      complete(slot, .success)
    }
  }
}
