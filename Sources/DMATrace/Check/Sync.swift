import DMA

/// Syncs: they exist only where a sync does something.
extension TraceChecker {
  /// The live mapping or allocation a sync lies in.
  ///
  /// Most syncs begin where the mapping does, or in its first page; the rest is looked for among
  /// all.
  mutating func containing(_ event: TraceEvent) -> Int? {
    guard event.known.contains([.dmaAddress, .byteCount]) else { return nil }
    let end = event.dmaAddress &+ event.byteCount
    let start = event.dmaAddress
    let page = start & ~0xfff
    if let number = holder(start, start, end, event.device, .streaming)
      ?? holder(start, start, end, event.device, .coherent)
      ?? holder(page, start, end, event.device, .streaming)
      ?? holder(page, start, end, event.device, .coherent)
    {
      return number
    }
    return scan { record in
      guard record.device == event.device else { return false }
      if record.space != .scatter {
        return event.dmaAddress >= record.dmaAddress
          && end <= record.dmaAddress &+ record.byteCount
      }
      guard let lists = unsafe record.lists else { return false }
      for index in 0..<min(Int(record.busCount), Int(record.lengthCount)) {
        let start = unsafe lists[index]
        let length = unsafe lists[Int(record.busCount) + index]
        if event.dmaAddress >= start, end <= start &+ length { return true }
      }
      // What was not stored of a long list may hold it.
      return record.flags.contains(.truncated)
    }
  }

  /// A live mapping that begins at `base` and holds all bytes from `start` to `end`.
  private func holder(
    _ base: UInt64, _ start: UInt64, _ end: UInt64, _ device: UInt32,
    _ space: MappingRecord.Space
  ) -> Int? {
    var next = book.first(base, device, space)
    var steps = Self.longestChain
    while let number = next, steps > 0 {
      steps -= 1
      if unsafe base &+ book.records[number].byteCount >= end { return number }
      next = book.next(number)
    }
    return nil
  }

  @inline(__always)
  mutating func sync(_ event: TraceEvent) {
    hasSyncEvents = true
    if let number = book.first(event.dmaAddress, event.device, .streaming),
      unsafe book.records[number].byteCount >= event.byteCount,
      unsafe book.records[number].older == 0,
      unsafe book.records[number].direction == event.direction
    {
      unsafe book.records[number].flags.insert(.synced)
      return
    }
    oddSync(event)
  }

  private mutating func oddSync(_ event: TraceEvent) {
    if let number = containing(event) {
      unsafe book.records[number].flags.insert(.synced)
      judgeDirection(number, event)
      return
    }
    guard context.isTimed, scanBudget > 0 else {
      unknown.syncs += 1
      return
    }
    if let number = overlapping(event) {
      let record = unsafe book.records[number]
      if record.epoch == epoch {
        findings.append(
          Finding(
            .syncOutside, device: event.device, culprit: event, mapping: record,
            expected: record.dmaAddress &+ record.byteCount,
            found: event.dmaAddress &+ event.byteCount))
        return
      }
    } else if let past = book.released(event.dmaAddress, event.device, .streaming),
      past.epoch == epoch, past.record.epoch == epoch,
      past.release.time != event.time
        || past.release.cpu == event.cpu
          && (event.cpu != .max || past.release.task == event.task && event.task > 0),
      past.record.isUnique || isLikelyWhole(event.device)
    {
      var finding = Finding(
        .syncAfterRelease, device: event.device, culprit: event, mapping: past.record)
      finding.released = past.release
      findings.append(finding)
      return
    } else if isWhole(event.device) {
      findings.append(Finding(.syncUnknown, device: event.device, culprit: event, mapping: nil))
      return
    }
    unknown.syncs += 1
    unsafe devices[Int(event.device)].unknownSyncs += 1
  }

  /// A mapping that the sync touches without lying in it.
  private mutating func overlapping(_ event: TraceEvent) -> Int? {
    let end = event.dmaAddress &+ event.byteCount
    return scan { record in
      record.device == event.device && record.space != .scatter
        && event.dmaAddress >= record.dmaAddress
        && event.dmaAddress < record.dmaAddress &+ record.byteCount
        && end > record.dmaAddress &+ record.byteCount
    }
  }

  private mutating func judgeDirection(_ number: Int, _ event: TraceEvent) {
    let record = unsafe book.records[number]
    guard record.space != .coherent, record.direction < 3, record.direction != 0,
      event.known.contains(.direction), context.isTimed
    else { return }
    guard record.epoch == epoch, record.older == 0 else {
      unknown.mismatches += record.direction == event.direction ? 0 : 1
      return
    }
    let isForCPU = event.kind == .syncForCPU || event.kind == .syncScatterForCPU
    let rule: Rule
    if record.direction != event.direction {
      rule = .syncDirection
    } else if isForCPU, record.direction == 1, event.direction != 1 {
      rule = .syncReadOnly
    } else if !isForCPU, record.direction == 2, event.direction != 2 {
      rule = .syncWriteOnly
    } else {
      return
    }
    findings.append(
      Finding(
        rule, device: event.device, culprit: event, mapping: record,
        expected: UInt64(record.direction), found: UInt64(event.direction)))
  }

  mutating func syncScatter(_ event: TraceEvent) {
    hasSyncEvents = true
    guard let first = unsafe context.busAddresses(event).first else {
      unknown.undecodable += 1
      return
    }
    let found = scan { record in
      record.device == event.device && record.space == .scatter && record.dmaAddress == first
    }
    guard let found else {
      unknown.syncs += 1
      unsafe devices[Int(event.device)].unknownSyncs += 1
      return
    }
    unsafe book.records[found].flags.insert(.synced)
    judgeDirection(found, event)
  }
}
