import DMA

/// Mappings and allocations that come to be.
extension TraceChecker {
  @inline(__always)
  mutating func map(_ event: TraceEvent) {
    let state = unsafe devices + Int(event.device)
    if event.flags.contains(.failed) {
      unsafe state.pointee.failedCalls += 1
      return
    }
    unsafe state.pointee.count(event.direction, event.byteCount)
    unsafe state.pointee.acquired(event.byteCount)
    if leaveSeen { unsafe state.pointee.mapsSinceLeaving += 1 }
    var record = MappingRecord(event, space: .streaming, epoch: epoch)
    if lastBounce.device == event.device, lastBounce.address == event.physicalAddress,
      lastBounce.task == event.task
    {
      record.flags.insert(.bounced)
      unsafe state.pointee.bouncedCalls += 1
      unsafe state.pointee.bouncedBytes &+= event.byteCount
      lastBounce.device = 0
    }
    dropStale(record)
    let number = book.add(record)
    if record.deviceWrites, event.known.contains(.physicalAddress), event.family != .resource,
      event.attributes & AttributeNames.skipCPUSync == 0
    {
      if let other = book.addLine(number), other != number,
        unsafe book.records[other].epoch == epoch, overlaps.count < Self.mostSuspicions
      {
        unsafe book.records[other].flags.insert(.overlapped)
        unsafe overlaps.append(
          Overlap(older: other, olderRecord: book.records[other], event: event))
      }
    }
    if !options.limits.isEmpty { judgeLimits(event, record) }
  }

  /// An older record of an address that can be given out only once, from before a loss: its
  /// release was among what was lost.
  @inline(__always)
  private mutating func dropStale(_ record: MappingRecord) {
    guard epoch > 0,
      let before = book.first(MappingBook.key(record), record.device, record.space)
    else { return }
    dropStale(before, record)
  }

  private mutating func dropStale(_ first: Int, _ record: MappingRecord) {
    guard record.isUnique else { return }
    var next: Int? = first
    while let number = next {
      next = book.next(number)
      let old = unsafe book.records[number]
      if old.epoch != epoch, old.cpu == record.cpu || record.time &- old.time > 10_000_000 {
        unknown.olderThanLoss += 1
        forget(number)
      }
    }
  }

  /// Takes a record out without anybody having released it.
  mutating func forget(_ number: Int) {
    let record = unsafe book.records[number]
    unsafe devices[Int(record.device)].released(record.byteCount)
    book.remove(number, releasedBy: nil, epoch: epoch)
  }

  mutating func mapScatter(_ event: TraceEvent) {
    let state = unsafe devices + Int(event.device)
    if event.flags.contains(.failed) {
      unsafe state.pointee.failedCalls += 1
      return
    }
    if leaveSeen { unsafe state.pointee.mapsSinceLeaving += 1 }
    let bus = unsafe context.busAddresses(event)
    let lengths = unsafe context.lengths(event)
    let physical = unsafe context.physicalAddresses(event)
    let byteCount = unsafe lengths.reduce(0, &+)
    unsafe state.pointee.count(event.direction, byteCount)
    guard let firstPhysical = unsafe physical.first else {
      unknown.undecodable += 1
      return
    }
    if event.known.contains(.truncated) { truncatedLists += 1 }
    var record = MappingRecord(event, space: .scatter, epoch: epoch)
    record.byteCount = byteCount
    record.dmaAddress = unsafe bus.first ?? 0
    record.physicalAddress = firstPhysical
    record.flags.insert(.physical)
    let count = bus.count + lengths.count + physical.count
    let lists = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
    unsafe lists.initialize(from: context.lists + Int(event.listStart), count: count)
    unsafe record.lists = unsafe lists
    record.busCount = event.busCount
    record.lengthCount = event.lengthCount
    record.physicalCount = event.physicalCount
    // The release of a very long list is never recorded: reuse of its memory shows that it was.
    var next = book.first(firstPhysical, event.device, .scatter)
    while let number = next {
      next = book.next(number)
      if unsafe book.records[number].releaseMayBeUnrecorded {
        unknown.longLists += 1
        forget(number)
      }
    }
    dropStale(record)
    unsafe state.pointee.acquired(byteCount)
    _ = book.add(record)
    if !options.limits.isEmpty { judgeLimits(event, record) }
  }

  mutating func allocate(_ event: TraceEvent) {
    let state = unsafe devices + Int(event.device)
    if event.flags.contains(.failed) {
      unsafe state.pointee.failedCalls += 1
      return
    }
    guard event.known.contains(.dmaAddress) else { return }
    unsafe state.pointee.allocations += 1
    unsafe state.pointee.allocatedBytes &+= event.byteCount
    unsafe state.pointee.allocatedSinceArrival = true
    if leaveSeen { unsafe state.pointee.mapsSinceLeaving += 1 }
    var record = MappingRecord(event, space: .coherent, epoch: epoch)
    if event.family == .noncontiguous { record.entryCount = UInt32(event.physicalCount) }
    dropStale(record)
    unsafe state.pointee.acquired(event.byteCount)
    _ = book.add(record)
    if !options.limits.isEmpty { judgeLimits(event, record) }
  }

  mutating func bounced(_ event: TraceEvent) {
    lastBounce = (event.device, event.physicalAddress, event.task)
  }

  /// What the machine and the device can do, where the user said so.
  private mutating func judgeLimits(_ event: TraceEvent, _ record: MappingRecord) {
    if event.kind == .map, event.family != .resource, event.known.contains(.physicalAddress) {
      let last = record.physicalAddress &+ max(record.byteCount, 1) &- 1
      for range in options.limits.kernel
      where record.physicalAddress <= range.last && last >= range.first {
        var finding = Finding(.kernelImage, device: event.device, culprit: event, mapping: record)
        finding.expected = range.first
        finding.found = range.last
        findings.append(finding)
        break
      }
    }
    guard !options.limits.devices.isEmpty,
      let limits = options.limits.devices[context.devices.name(event.device)]
    else { return }
    if event.kind == .map, let mask = limits.mask {
      let last = record.dmaAddress &+ max(record.byteCount, 1) &- 1
      if last > mask {
        findings.append(
          Finding(
            .beyondMask, device: event.device, culprit: event, mapping: record, expected: mask,
            found: last))
      }
    }
    guard event.kind == .mapScatter else { return }
    let bus = unsafe context.busAddresses(event)
    let lengths = unsafe context.lengths(event)
    for index in 0..<min(bus.count, lengths.count) {
      if let limit = limits.maxSegment, unsafe lengths[index] > limit {
        unsafe findings.append(
          Finding(
            .segmentTooLong, device: event.device, culprit: event, mapping: record,
            expected: limit, found: lengths[index]))
        break
      }
      if let boundary = limits.boundaryMask, unsafe lengths[index] > 0,
        unsafe (bus[index] ^ (bus[index] &+ lengths[index] &- 1)) & ~boundary != 0
      {
        unsafe findings.append(
          Finding(
            .segmentAcrossBoundary, device: event.device, culprit: event, mapping: record,
            expected: boundary, found: bus[index]))
        break
      }
    }
  }
}
