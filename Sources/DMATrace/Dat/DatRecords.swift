import DMA

/// Turns records into events, in the order of their times.
extension TraceDat {
  mutating func read<Sink: TraceSink>(into sink: Sink) throws(TraceInputError) {
    var streams: [DatPages] = []
    for part in cpus {
      var pages = DatPages(part, pageSize: pageSize)
      if pages.advance() { streams.append(pages) }
    }
    context.isTimed = true
    context.form = .traceDat
    while !streams.isEmpty {
      // The kernel merges equal stamps in the order of the CPUs.
      var first = 0
      for index in streams.indices.dropFirst()
      where streams[index].time < streams[first].time { first = index }
      deliver(streams[first], into: sink)
      if !streams[first].advance() { streams.remove(at: first) }
    }
    for bytes in unpacked { unsafe UnsafeMutablePointer(mutating: bytes.base).deallocate() }
    unpacked = []
  }

  private func deliver<Sink: TraceSink>(_ pages: DatPages, into sink: Sink) {
    context.lines += 1
    if let lost = pages.lost {
      var loss = TraceEvent()
      loss.kind = .loss
      loss.line = context.lines
      loss.cpu = pages.cpu
      loss.time = pages.time
      loss.entryCount = UInt32(truncatingIfNeeded: min(lost, UInt64(UInt32.max)))
      context.lostEvents &+= lost
      sink.accept(&loss)
    }
    let record = unsafe DatBytes(base: pages.bytes.base + pages.record, count: pages.length)
    guard let description = events[Int(record.number(0, 2) ?? 0)] else {
      context.noteBadLine(context.lines)
      return
    }
    context.countEvent(description.name)
    guard let shape = description.shape else {
      context.skippedEvents += 1
      return
    }
    var event = TraceEvent()
    event.kind = shape.kind
    event.family = shape.family
    if shape.failed { event.flags.insert(.failed) }
    event.name = description.name
    event.line = context.lines
    event.time = pages.time
    event.flags.insert(.timed)
    event.cpu = pages.cpu
    if context.forgetsLists { context.listCount = 0 }
    event.listStart = UInt32(truncatingIfNeeded: context.listCount)
    fill(&event, record, description.fields)
    if event.kind == .mark {
      guard markText(&event, record, description.fields) else { return }
    }
    sink.accept(&event)
  }

  /// Fields that hold a number.
  private func fill(_ event: inout TraceEvent, _ record: DatBytes, _ fields: DatFields) {
    func value(_ field: DatEvent.Field) -> UInt64? {
      field.exists && !field.isIndirect ? record.number(field.offset, field.size) : nil
    }
    if let task = value(fields.task) {
      event.task = Int32(truncatingIfNeeded: task)
      event.taskName = tasks[event.task] ?? (event.task == 0 ? context.tasks.intern("<idle>") : 0)
    }
    if let flags = value(fields.flags) {
      event.context = flags & 8 != 0 ? 2 : flags & 16 != 0 ? 1 : 0
    }
    if fields.device.exists, let name = indirect(fields.device, record) {
      var length = 0
      while length < name.count, unsafe name.base[length] != 0 { length += 1 }
      event.device = unsafe context.devices.intern(name.base, length)
    }
    if let address = value(fields.bus) {
      event.dmaAddress = address
      event.known.insert(.dmaAddress)
    }
    if let address = value(fields.physical) {
      event.physicalAddress = address
      event.known.insert(.physicalAddress)
    }
    if let address = value(fields.virtual) {
      event.cpuAddress = address
      event.known.insert(.cpuAddress)
    }
    if let size = value(fields.size) {
      event.byteCount = size
      event.known.insert(.byteCount)
    }
    if let direction = value(fields.direction), direction < 4 {
      event.direction = UInt8(direction)
      if direction < 3 { event.known.insert(.direction) }
    }
    if let attributes = value(fields.attributes) {
      event.attributes = UInt32(truncatingIfNeeded: attributes)
      event.known.insert(.attributes)
    }
    if let count = value(fields.entries) {
      event.entryCount = UInt32(truncatingIfNeeded: count)
      event.known.insert(.entryCount)
    }
    if let count = value(fields.segments) {
      event.segmentCount = UInt32(truncatingIfNeeded: count)
      event.known.insert(.segmentCount)
    }
    if let truncated = value(fields.truncated), truncated != 0 { event.known.insert(.truncated) }
    if let forced = value(fields.forced), forced != 0 { event.flags.insert(.forced) }
    addLists(&event, record, fields)
    if event.kind == .map, event.dmaAddress == .max { event.flags.insert(.failed) }
    if event.kind == .allocate, event.family != .noncontiguous, event.cpuAddress == 0 {
      event.flags.insert(.failed)
    }
  }

  private func addLists(_ event: inout TraceEvent, _ record: DatBytes, _ fields: DatFields) {
    event.busCount = add(fields.busList, 8, record)
    event.lengthCount = add(fields.lengthList, 4, record)
    event.physicalCount = add(fields.physicalList, 8, record)
    if fields.busList.exists { event.known.insert(.segmentAddresses) }
    if fields.lengthList.exists { event.known.insert(.segmentByteCounts) }
    if fields.physicalList.exists { event.known.insert(.segmentPhysicalAddresses) }
    if event.kind == .unmapScatter {
      event.entryCount = UInt32(event.physicalCount)
      event.known.insert(.entryCount)
    } else if event.kind == .mapScatter, !fields.entries.exists {
      event.entryCount = UInt32(event.physicalCount)
      event.segmentCount = UInt32(event.busCount)
      event.known.formUnion([.entryCount, .segmentCount])
    }
  }

  private func add(_ field: DatEvent.Field, _ size: Int, _ record: DatBytes) -> UInt16 {
    guard field.exists, let list = indirect(field, record) else { return 0 }
    let count = min(list.count / size, 65535)
    for index in 0..<count { context.appendToList(list.number(index * size, size) ?? 0) }
    return UInt16(count)
  }

  /// What a `__data_loc` word points to.
  private func indirect(_ field: DatEvent.Field, _ record: DatBytes) -> DatBytes? {
    guard field.isIndirect, let word = record.number(field.offset, 4) else { return nil }
    let offset = Int(word & 0xffff)
    let count = Int(word >> 16)
    guard offset + count <= record.count else { return nil }
    return unsafe DatBytes(base: record.base + offset, count: count)
  }

  /// The text of a mark lies at the end of its record.
  private func markText(_ event: inout TraceEvent, _ record: DatBytes, _ fields: DatFields) -> Bool
  {
    guard fields.text.exists, fields.text.offset < record.count else { return false }
    let start = unsafe record.base + fields.text.offset
    var length = 0
    while length < record.count - fields.text.offset, unsafe start[length] != 0 { length += 1 }
    var parser = TextParser(context: context)
    parser.event = event
    _ = unsafe parser.parseMark(start, start + length)
    event = parser.event
    parser.deallocate()
    return true
  }
}
