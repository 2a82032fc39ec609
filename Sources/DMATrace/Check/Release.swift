import DMA

/// Releases, and what is wrong with them.
extension TraceChecker {
  /// The live record that a release fits in every respect.
  @inline(__always)
  func exactMatch(_ event: TraceEvent) -> Int? {
    switch event.kind {
    case .unmap:
      return best(book.first(event.dmaAddress, event.device, .streaming)) { record in
        record.byteCount == event.byteCount && record.direction == event.direction
          && record.family == event.family
      }
    case .unmapScatter:
      guard let first = unsafe context.physicalAddresses(event).first else { return nil }
      return best(book.first(first, event.device, .scatter)) { record in
        record.entryCount == event.entryCount && record.direction == event.direction
          && sharesPrefix(record, event)
      }
    case .free:
      return best(book.first(event.dmaAddress, event.device, .coherent)) { record in
        record.byteCount == event.byteCount && record.family == event.family
          && (!event.known.contains(.cpuAddress) || record.cpuAddress == 0
            || record.cpuAddress == event.cpuAddress)
      }
    default: return nil
    }
  }

  /// The best of a chain that fits: one nothing is suspected of, from this epoch, newest first.
  @inline(__always)
  private func best(_ first: Int?, _ fits: (MappingRecord) -> Bool) -> Int? {
    guard let first else { return nil }
    if unsafe book.records[first].older == 0 {
      return unsafe fits(book.records[first]) ? first : nil
    }
    var found: Int?
    var foundRank = -1
    var next: Int? = first
    var steps = Self.longestChain
    while let number = next, foundRank < 3, steps > 0 {
      steps -= 1
      let record = unsafe book.records[number]
      if fits(record) {
        let rank =
          (record.flags.contains(.suspected) ? 0 : 2) + (record.epoch == epoch ? 1 : 0)
        if rank > foundRank {
          found = number
          foundRank = rank
        }
      }
      next = book.next(number)
    }
    return found
  }

  /// How many mappings of one address are looked at; no driver has more alive at once.
  static var longestChain: Int { 1024 }

  /// Whether so many mappings of one address are alive that not all were looked at.
  func isCrowded(_ first: Int) -> Bool {
    var next: Int? = first
    for _ in 0..<Self.longestChain {
      guard let number = next else { return false }
      next = book.next(number)
    }
    return true
  }

  /// Whether the lists name the same memory, as far as both show it.
  func sharesPrefix(_ record: MappingRecord, _ event: TraceEvent) -> Bool {
    let list = unsafe context.physicalAddresses(event)
    guard let lists = unsafe record.lists else { return false }
    let own = unsafe lists + Int(record.busCount) + Int(record.lengthCount)
    for index in 0..<min(list.count, Int(record.physicalCount))
    where unsafe own[index] != list[index] {
      return false
    }
    return true
  }

  /// The record is released: nothing more can be wrong with it.
  @inline(__always)
  mutating func release(_ number: Int, by event: TraceEvent) {
    let record = unsafe book.records[number]
    unsafe devices[Int(record.device)].released(record.byteCount)
    if leaveSeen {
      unsafe devices[Int(record.device)].releasesSinceLeaving += 1
      if record.space == .coherent { unsafe devices[Int(record.device)].freesSinceLeaving += 1 }
    }
    if record.flags.contains(.overlapped) { judgeOverlap(number, event) }
    if record.flags.contains(.suspected) { withdraw(number) }
    if record.space == .streaming, record.deviceWrites { noteHandOver(record, event) }
    // With one stamp, a release by another CPU may stand for an older mapping nobody saw, and this
    // one may be released again: that proves nothing then.
    let isDoubtful =
      record.time == event.time && !record.isInLane(of: event)
      && event.flags.contains(.timed)
    book.remove(
      number, releasedBy: event.origin, epoch: isDoubtful ? Self.doubtfulEpoch : epoch)
  }

  /// The epoch of releases that prove nothing: no loss ever reaches it.
  static var doubtfulEpoch: UInt32 { .max - 1 }

  /// A finding that supposed this record would never be released properly was wrong.
  private mutating func withdraw(_ number: Int) {
    let withdrawn = findings.withdraw { $0.record == number }
    unknown.mismatches += withdrawn
    suspicions -= withdrawn
  }

  /// Whether bounced data was ever copied to where the CPU sees it.
  @inline(__always)
  private mutating func noteHandOver(_ record: MappingRecord, _ event: TraceEvent) {
    guard record.flags.contains(.bounced) else { return }
    let state = unsafe devices + Int(record.device)
    let skips = AttributeNames.skipCPUSync
    if record.attributes & skips == 0 || event.attributes & skips == 0 {
      unsafe state.pointee.handedOver += 1
    } else if record.flags.contains(.synced) {
      unsafe state.pointee.syncedSkipping += 1
    } else {
      unsafe state.pointee.neverSynced += 1
      if unsafe state.pointee.firstNeverSynced == nil {
        unsafe state.pointee.firstNeverSynced = Finding(
          .neverSynced, device: record.device, culprit: event, mapping: record)
      }
    }
  }

  /// The older of two mappings in one cache line is released: judges whether both were alive.
  ///
  /// An unmap is written after it was done, so the younger mapping may have come in between. It
  /// did not when the same task did both, or when much more time has passed than a task needs
  /// from one to the other.
  private mutating func judgeOverlap(_ number: Int, _ event: TraceEvent?) {
    overlaps.removeAll { overlap in
      guard overlap.older == number else { return false }
      let sameTask =
        event.map {
          $0.task == overlap.event.task && $0.context == overlap.event.context && $0.task > 0
            && $0.cpu == overlap.event.cpu
        } ?? false
      if sameTask || now &- overlap.event.time > 10_000_000 {
        findings.append(
          Finding(
            .overlappingCacheLine, device: overlap.event.device, culprit: overlap.event,
            mapping: overlap.olderRecord, expected: overlap.olderRecord.physicalAddress,
            found: overlap.event.physicalAddress))
      }
      return true
    }
  }

  // MARK: Each kind of release

  @inline(__always)
  mutating func unmap(_ event: TraceEvent) {
    if let number = exactMatch(event) {
      release(number, by: event)
    } else {
      oddUnmap(event)
    }
  }

  private mutating func oddUnmap(_ event: TraceEvent) {
    if event.dmaAddress == .max {
      findings.append(Finding(.invalidAddress, device: event.device, culprit: event, mapping: nil))
      return
    }
    if let number = mostLikely(book.first(event.dmaAddress, event.device, .streaming), event) {
      mismatch(number, event)
      return
    }
    if let number = book.first(event.dmaAddress, event.device, .coherent) {
      wrongFunction(number, event)
      return
    }
    if let number = scatterStarting(at: event) {
      suspect(number, .wrongFunction, event)
      return
    }
    released(event, event.dmaAddress, .streaming)
  }

  mutating func unmapScatter(_ event: TraceEvent) {
    if let number = exactMatch(event) {
      release(number, by: event)
      return
    }
    guard let first = unsafe context.physicalAddresses(event).first else {
      unknown.undecodable += 1
      return
    }
    var next = book.first(first, event.device, .scatter)
    var sharing: Int?
    var steps = Self.longestChain
    while let number = next, steps > 0 {
      steps -= 1
      if unsafe sharesPrefix(book.records[number], event), sharing == nil { sharing = number }
      next = book.next(number)
    }
    if let sharing {
      mismatch(sharing, event)
      return
    }
    if let number = streaming(withPhysical: first, event) {
      suspect(number, .wrongFunction, event)
      return
    }
    released(event, first, .scatter)
  }

  mutating func free(_ event: TraceEvent) {
    if leaveSeen { unsafe devices[Int(event.device)].freesSinceLeaving += 1 }
    if event.known.contains(.cpuAddress), event.cpuAddress == 0 {
      nullFrees += 1
      return
    }
    if let number = exactMatch(event) {
      release(number, by: event)
    } else if let number = mostLikely(
      book.first(event.dmaAddress, event.device, .coherent), event)
    {
      mismatch(number, event)
    } else if let number = book.first(event.dmaAddress, event.device, .streaming) {
      wrongFunction(number, event)
    } else {
      released(event, event.dmaAddress, .coherent)
    }
  }

  /// Which of several mappings a release that fits none most likely means.
  private func mostLikely(_ first: Int?, _ event: TraceEvent) -> Int? {
    var found: Int?
    var foundRank = -1
    var next = first
    var steps = Self.longestChain
    while let number = next, steps > 0 {
      steps -= 1
      let record = unsafe book.records[number]
      var rank = record.epoch == epoch ? 1 : 0
      if record.family == event.family { rank += 8 }
      if record.byteCount == event.byteCount { rank += 4 }
      if record.direction == event.direction { rank += 2 }
      if rank > foundRank {
        found = number
        foundRank = rank
      }
      next = book.next(number)
    }
    return found
  }
}
