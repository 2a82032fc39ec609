import DMA

/// Releases that fit no live mapping: misuse where the trace proves it, else unknown.
extension TraceChecker {
  /// Whether nothing of this device can be older than what the trace shows.
  func isWhole(_ device: UInt32) -> Bool {
    unsafe options.isComplete && epoch == 0 || devices[Int(device)].cameInTrace
  }

  /// The same, from a mark that does not name the device.
  func isLikelyWhole(_ device: UInt32) -> Bool {
    unsafe isWhole(device) || devices[Int(device)].followsArrival
  }

  /// A release differs from the mapping it must mean.
  mutating func mismatch(_ number: Int, _ event: TraceEvent) {
    let record = unsafe book.records[number]
    // A mapping from before a gap may have been replaced in it. A release by another CPU soon
    // after a mapping of an address never seen before may mean what lay there before the trace.
    let isProven =
      record.epoch == epoch && context.isTimed && !isCrowded(number)
      && (record.isInLane(of: event) || event.time &- record.time > 10_000_000
        || isLikelyWhole(event.device)
        || book.released(MappingBook.key(record), record.device, record.space)?.epoch == epoch)
    guard isProven else {
      unknown.mismatches += 1
      release(number, by: event)
      return
    }
    if record.family != event.family {
      report(
        .wrongFunction, event, record, UInt64(record.family.rawValue),
        UInt64(event.family.rawValue))
    }
    if record.space == .scatter {
      if record.entryCount != event.entryCount {
        report(
          .entryCountDiffers, event, record, UInt64(record.entryCount),
          UInt64(event.entryCount))
      }
    } else if record.byteCount != event.byteCount {
      report(.sizeDiffers, event, record, record.byteCount, event.byteCount)
    }
    // The direction of an allocation was garbage in the kernels that first recorded it.
    if record.space != .coherent, record.direction != event.direction,
      event.known.contains(.direction)
    {
      report(.directionDiffers, event, record, UInt64(record.direction), UInt64(event.direction))
    }
    if record.space == .coherent, event.known.contains(.cpuAddress), record.cpuAddress != 0,
      record.cpuAddress != event.cpuAddress
    {
      report(.cpuAddressDiffers, event, record, record.cpuAddress, event.cpuAddress)
    }
    release(number, by: event)
  }

  private mutating func report(
    _ rule: Rule, _ event: TraceEvent, _ record: MappingRecord, _ expected: UInt64,
    _ found: UInt64
  ) {
    findings.append(
      Finding(
        rule, device: event.device, culprit: event, mapping: record, expected: expected,
        found: found))
  }

  /// Memory of one family was released as another, at the same bus address.
  mutating func wrongFunction(_ number: Int, _ event: TraceEvent) {
    let record = unsafe book.records[number]
    guard record.epoch == epoch, context.isTimed else {
      unknown.mismatches += 1
      return
    }
    suspect(number, .wrongFunction, event)
  }

  /// A finding that stands only if the mapping is never released as it should be.
  mutating func suspect(_ number: Int, _ rule: Rule, _ event: TraceEvent) {
    let record = unsafe book.records[number]
    guard record.epoch == epoch, context.isTimed, !record.flags.contains(.suspected),
      suspicions < Self.mostSuspicions
    else {
      unknown.mismatches += 1
      return
    }
    var finding = Finding(
      rule, device: event.device, culprit: event, mapping: record,
      expected: UInt64(record.family.rawValue), found: UInt64(event.family.rawValue))
    finding.record = number
    if record.device != event.device { finding.otherDevice = record.device }
    suspicions += 1
    findings.append(finding)
    unsafe book.records[number].flags.insert(.suspected)
    unsafe devices[Int(event.device)].releasesSinceLeaving += leaveSeen ? 1 : 0
  }

  /// Nothing live fits: it was released before, is another device's, or is older than the trace.
  mutating func released(_ event: TraceEvent, _ key: UInt64, _ space: MappingRecord.Space) {
    if let past = book.released(key, event.device, space), past.epoch == epoch,
      past.record.epoch == epoch, context.isTimed,
      past.record.isUnique || isLikelyWhole(event.device)
    {
      var finding = Finding(
        .doubleRelease, device: event.device, culprit: event, mapping: past.record)
      finding.released = past.release
      findings.append(finding)
      return
    }
    if context.isTimed, isLikelyWhole(event.device), let twin = twin(of: event, key, space) {
      suspect(twin, .wrongDevice, event)
      return
    }
    if isWhole(event.device), context.isTimed {
      findings.append(
        Finding(.unknownRelease, device: event.device, culprit: event, mapping: nil))
      return
    }
    unknown.releases += 1
    unsafe devices[Int(event.device)].unknownReleases += 1
  }

  /// A live mapping of another device that this release fits exactly.
  private func twin(of event: TraceEvent, _ key: UInt64, _ space: MappingRecord.Space) -> Int? {
    for device in 1...max(1, highestDevice) where UInt32(device) != event.device {
      guard let number = book.first(key, UInt32(device), space) else { continue }
      let record = unsafe book.records[number]
      if record.family == event.family, record.direction == event.direction,
        space == .scatter
          ? record.entryCount == event.entryCount
          : record.byteCount == event.byteCount
      {
        return number
      }
    }
    return nil
  }

  /// A live single mapping of this physical address: what `dma_unmap_sg` of it must mean.
  mutating func streaming(withPhysical address: UInt64, _ event: TraceEvent) -> Int? {
    scan { record in
      record.device == event.device && record.space == .streaming
        && record.flags.contains(.physical) && record.physicalAddress == address
        && record.direction == event.direction
    }
  }

  /// A live list whose first segment lies at this bus address.
  mutating func scatterStarting(at event: TraceEvent) -> Int? {
    scan { record in
      record.device == event.device && record.space == .scatter
        && record.dmaAddress == event.dmaAddress && record.direction == event.direction
    }
  }

  /// Looks at every live record; not at all once too much time went into that.
  mutating func scan(_ fits: (MappingRecord) -> Bool) -> Int? {
    guard scanBudget > 0 else { return nil }
    scanBudget -= book.recordCount
    for number in 0..<book.recordCount
    where unsafe book.records[number].flags.contains(.live) && fits(book.records[number]) {
      return number
    }
    return nil
  }
}
