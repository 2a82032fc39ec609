import DMA
import Glibc

/// Reads the text forms of a trace: tracefs, `trace-cmd report` and `perf script`, line by line.
///
/// Fields are found by their names, never by the kernel's version. A line that says nothing is
/// counted and remembered by number; no bytes stop the reader.
struct TextParser {
  let context: TraceContext
  var event = TraceEvent()
  /// Names seen lately, by a hash of their bytes: the tables are asked only on a miss.
  var recentEvents = RecentNames()
  var recentTasks = RecentNames()
  var recentDevices = RecentNames()
  var memo = LineMemo()
  /// Lines of the usual layout are read in one go; off only to compare.
  var readsQuickly = true
  var shapes: [EventShape?] = [nil]
  var line: UInt64 = 0
  /// The CPU and task whose event was delivered last: a stack belongs to it or to nobody.
  var lastCPU: UInt32 = .max
  var lastTask: Int32 = -1
  var mayAttachStack = false
  var frames: [UInt8] = []
  /// The line that is being read, where terminal escapes had to be taken out of it.
  var plain: [UInt8] = []
  var inStack = false
  /// The ring buffer overwrote its oldest events: a CPU's first event stands behind a loss.
  var overwrote = false
  var cpusSeen: [Bool] = []

  init(context: TraceContext) { self.context = context }

  /// Reads whole lines; the last one may lack its newline.
  ///
  /// `Bytes.readablePadding` bytes behind `end` must be readable.
  mutating func parse<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    var at = unsafe start
    while unsafe at < end {
      line &+= 1
      if readsQuickly, !inStack, let next = unsafe quickLine(at, end) {
        deliver(into: sink)
        unsafe at = unsafe next
        continue
      }
      let lineEnd: UnsafePointer<UInt8>
      if let newline = unsafe memchr(at, 10, end - at) {
        unsafe lineEnd = unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self))
      } else {
        unsafe lineEnd = unsafe end
      }
      if let plain = unsafe withoutEscapes(at, lineEnd), let base = plain.baseAddress {
        unsafe parseLine(base, base + plain.count, into: sink)
      } else {
        unsafe parseLine(at, lineEnd, into: sink)
      }
      unsafe at = unsafe lineEnd + 1
    }
    context.lines = line
  }

  /// Delivers what waits for a following line.
  mutating func finish<Sink: TraceSink>(into sink: Sink) {
    endStack(into: sink)
    context.lines = line
  }

  private mutating func parseLine<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    if inStack, unsafe parseFrame(start, end) { return }
    endStack(into: sink)
    guard unsafe start < end else { return }
    event = TraceEvent()
    event.line = line
    var at = unsafe start
    var isUsual = unsafe parseContext(&at, end) && at < end
    if unsafe !isUsual || Bytes.isDigit(at.pointee) {
      // A number where the name should be is perf's period, or what options/raw=1 leaves.
      let isOther = unsafe parsePerfLine(&at, start, end)
      guard unsafe isUsual || isOther || parseLogged(&at, start, end) else {
        unsafe parseOtherLine(start, end, into: sink)
        return
      }
      isUsual = isUsual && !isOther
    }
    let name = unsafe at
    guard let shape = unsafe parseName(&at, end, into: sink) else { return }
    event.kind = shape.kind
    event.family = shape.family
    if shape.failed { event.flags.insert(.failed) }
    if context.forgetsLists { context.listCount = 0 }
    event.listStart = UInt32(truncatingIfNeeded: context.listCount)
    guard unsafe parseFields(&at, end) else {
      context.noteBadLine(line)
      return
    }
    if isUsual { unsafe learn(start, name: name, end) }
    deliver(into: sink)
  }

  /// A line of a buffer that was dumped into the kernel's log.
  private mutating func parseLogged(
    _ at: inout UnsafePointer<UInt8>, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Bool {
    unsafe at = unsafe start
    guard unsafe Self.skipLogStamp(&at, end) else { return false }
    event = TraceEvent()
    event.line = line
    return unsafe parseContext(&at, end) && at < end
  }

  @inline(__always)
  mutating func deliver<Sink: TraceSink>(into sink: Sink) {
    context.countEvent(event.name)
    if overwrote { noteFirstEvent(into: sink) }
    lastCPU = event.cpu
    lastTask = event.task
    mayAttachStack = true
    sink.accept(&event)
  }

  /// The first event of a CPU whose buffer was overwritten stands behind a loss.
  private mutating func noteFirstEvent<Sink: TraceSink>(into sink: Sink) {
    let cpu = Int(event.cpu)
    guard event.cpu != .max, cpu < 1 << 16 else { return }
    if cpu >= cpusSeen.count {
      cpusSeen += [Bool](repeating: false, count: cpu + 1 - cpusSeen.count)
    }
    guard !cpusSeen[cpu] else { return }
    cpusSeen[cpu] = true
    var loss = TraceEvent()
    loss.kind = .loss
    loss.line = line
    loss.cpu = event.cpu
    loss.time = event.time
    loss.flags = event.flags.intersection(.timed)
    sink.accept(&loss)
  }

  // MARK: The event's name

  @inline(__always)
  private mutating func parseName<Sink: TraceSink>(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) -> EventShape? {
    let name = unsafe at
    while unsafe Bytes.isNameByte(at.pointee) { unsafe at += 1 }
    var nameStart = unsafe name
    if unsafe at.pointee == 0x3a, unsafe at[1] != 0x20, unsafe Bytes.isNameByte(at[1]) {
      // perf writes the system first: `dma:dma_map_page:`.
      unsafe at += 1
      unsafe nameStart = unsafe at
      while unsafe Bytes.isNameByte(at.pointee) { unsafe at += 1 }
    }
    let length = unsafe at - nameStart
    guard unsafe at < end, unsafe at.pointee == 0x3a, length > 0, length < 64 else {
      unsafe noteUnnamed(name, end, into: sink)
      return nil
    }
    unsafe at += 1
    unsafe Bytes.skipSpaces(&at)
    let number = unsafe recentEvents.number(of: nameStart, length, in: context.eventNames)
    if number >= shapes.count { learnNames() }
    event.name = UInt16(truncatingIfNeeded: number)
    guard let shape = shapes[number] else {
      context.countEvent(event.name)
      context.skippedEvents &+= 1
      mayAttachStack = false
      return nil
    }
    // Other systems may have events called map and unmap.
    if shape.kind == .translationAdded || shape.kind == .translationRemoved {
      guard unsafe Bytes.starts(at, end, "IOMMU:") || Bytes.starts(at, end, "iova=") else {
        context.countEvent(event.name)
        context.skippedEvents &+= 1
        return nil
      }
    }
    return shape
  }

  private mutating func learnNames() {
    while shapes.count <= context.eventNames.count {
      shapes.append(EventShape.named(context.eventNames.name(UInt32(shapes.count))))
    }
  }

  /// A context without an event: a stack of the event before, or nothing readable.
  private mutating func noteUnnamed<Sink: TraceSink>(
    _ name: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    if unsafe Bytes.starts(name, end, "<stack trace")
      || Bytes.starts(name, end, "<user stack trace")
    {
      inStack = true
      frames.removeAll(keepingCapacity: true)
      if event.cpu != lastCPU || event.task != lastTask { mayAttachStack = false }
    } else {
      if unsafe Bytes.starts(name, end, "PERF_RECORD_LOST") {
        unsafe noteLostRecords(name, end, into: sink)
      } else if unsafe Bytes.find(" <-", name, end) != nil {
        // A call that the function tracer wrote: `dma_map_page_attrs <-probe`.
        context.skippedEvents &+= 1
        mayAttachStack = false
      } else {
        if unsafe name < end, unsafe Bytes.isDigit(name.pointee) { context.form = .raw }
        context.noteBadLine(line)
      }
    }
  }
}

extension TextParser {
  /// Gives back what the parser owns; it must not be used again.
  func deallocate() {
    recentEvents.deallocate()
    recentTasks.deallocate()
    recentDevices.deallocate()
    memo.deallocate()
  }
}
