import DMA

/// Events of other systems that tell something about DMA, and lines that are no events.
extension TextParser {
  /// `iommu:*`, `swiotlb:*`.
  mutating func parseNeighbour(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> Bool
  {
    var isRaw = true
    if unsafe Bytes.starts(at, end, "IOMMU:") {
      unsafe at += 6
      isRaw = false
      if event.kind == .fault { return unsafe parseIOFault(&at, end) }
    }
    while unsafe at < end {
      unsafe Bytes.skipSpaces(&at)
      let key = unsafe at
      while unsafe at < end, unsafe at.pointee > 0x20, unsafe at.pointee != 0x3d,
        unsafe at.pointee != 0x3a
      { unsafe at += 1 }
      let length = unsafe at - key
      guard unsafe at < end, unsafe at.pointee != 0x20 else {
        if length == 5, unsafe Bytes.starts(key, end, "FORCE") { event.flags.insert(.forced) }
        if unsafe at < end { unsafe at += 1 }
        continue
      }
      unsafe at += 1
      unsafe Bytes.skipSpaces(&at)
      func isKey(_ text: StaticString) -> Bool {
        unsafe length == text.utf8CodeUnitCount && Bytes.starts(key, end, text)
      }
      if isKey("dev_name") || isKey("device") {
        unsafe parseDevice(&at, end)
        continue
      } else if isKey("iova") {
        event.dmaAddress = unsafe Bytes.number(&at, hexByDefault: !isRaw)
        event.known.insert(.dmaAddress)
      } else if isKey("paddr") {
        event.physicalAddress = unsafe Bytes.number(&at, hexByDefault: !isRaw)
        event.known.insert(.physicalAddress)
      } else if isKey("dev_addr") {
        // swiotlb prints the memory's own address, in hexadecimal without a prefix.
        event.physicalAddress = unsafe Bytes.number(&at, hexByDefault: true)
        event.known.insert(.physicalAddress)
      } else if isKey("size") {
        event.byteCount = unsafe Bytes.number(&at, hexByDefault: false)
        event.known.insert(.byteCount)
      } else if isKey("force") {
        if unsafe Bytes.number(&at, hexByDefault: false) != 0 { event.flags.insert(.forced) }
      } else if isKey("groupID") {
        event.entryCount = unsafe UInt32(truncatingIfNeeded: Bytes.number(&at, hexByDefault: false))
      }
      while unsafe at < end, unsafe at.pointee > 0x20 { unsafe at += 1 }
    }
    switch event.kind {
    case .translationAdded, .translationRemoved: return event.known.contains(.dmaAddress)
    default: return event.device != 0
    }
  }

  /// `IOMMU:driver device iova=0x... flags=0x...`.
  private mutating func parseIOFault(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Bool {
    unsafe Bytes.skipSpaces(&at)
    while unsafe at < end, unsafe at.pointee > 0x20 { unsafe at += 1 }
    unsafe Bytes.skipSpaces(&at)
    unsafe parseDevice(&at, end)
    guard let address = unsafe Bytes.find("iova=", at, end) else { return false }
    unsafe at = unsafe address + 5
    event.dmaAddress = unsafe Bytes.number(&at, hexByDefault: true)
    event.known.insert(.dmaAddress)
    return true
  }

  /// Text written into the trace: a driver's coming and going may be said in it.
  mutating func parseMark(_ at: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var text = unsafe at
    // trace-cmd says `print: tracing_mark_write: text`.
    if unsafe Bytes.starts(text, end, "tracing_mark_write: ") { unsafe text += 20 }
    var last = unsafe end
    while unsafe last > text, unsafe last[-1] <= 0x20 { unsafe last -= 1 }
    event.entryCount = unsafe context.marks.intern(text, last - text)
    func says(_ words: StaticString) -> Bool { unsafe Bytes.find(words, text, last) != nil }
    if says("module unload") || says("driver unload") || says("unbind") || says("rmmod")
      || says("modprobe -r")
    {
      event.flags.insert(.driverLeaves)
    } else if says("module load") || says("driver load") || says("insmod") || says("modprobe")
      || says("bind ")
    {
      event.flags.insert(.driverArrives)
    }
    if let name = unsafe findDevice(text, last) {
      event.device = unsafe UInt32(
        truncatingIfNeeded: recentDevices.number(of: name, 12, in: context.devices))
    }
    return true
  }

  /// A PCI address, `dddd:bb:dd.f`, in a text.
  private func findDevice(_ from: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafePointer<UInt8>?
  {
    var at = unsafe from
    while unsafe end - at >= 12 {
      if unsafe at[4] == 0x3a, unsafe at[7] == 0x3a, unsafe at[10] == 0x2e,
        unsafe Bytes.hexDigit(at[0]) < 16,
        unsafe Bytes.hexDigit(at[5]) < 16, unsafe Bytes.hexDigit(at[8]) < 16,
        unsafe Bytes.isDigit(at[11])
      {
        return unsafe at
      }
      unsafe at += 1
    }
    return nil
  }

  // MARK: Lines without an event

  /// Headers, loss marks, and lines nobody understands.
  mutating func parseOtherLine<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    if unsafe start.pointee == 0x23 {
      unsafe parseHeader(start, end, into: sink)
    } else if unsafe Bytes.starts(start, end, "CPU:") {
      unsafe parseLoss(start + 4, end, into: sink)
    } else if unsafe Bytes.find("PERF_RECORD_LOST", start, end) != nil {
      unsafe noteLostRecords(start, end, into: sink)
    } else if unsafe Bytes.starts(start, end, "cpus=") {
      var at = unsafe start + 5
      context.cpuCount = unsafe Int(truncatingIfNeeded: Bytes.decimal(&at) & 0xffff_ffff)
      context.form = .traceCmdReport
    } else if unsafe Bytes.starts(start, end, "version = ") || Bytes.starts(start, end, "trace-cmd")
    {
      context.form = .traceCmdReport
    } else if unsafe (start.pointee == 0x20 || start.pointee == 0x09), unsafe isFrame(start, end) {
      mayAttachStack = mayAttachStack && context.form == .perfScript
      inStack = true
      frames.removeAll(keepingCapacity: true)
      _ = unsafe parseFrame(start, end)
    } else if unsafe Bytes.find("is empty", start, end) == nil || !Bytes.starts(start, end, "CPU") {
      var at = unsafe start
      while unsafe at < end, unsafe at.pointee <= 0x20 { unsafe at += 1 }
      if unsafe at < end { context.noteBadLine(line) }
    }
  }

  private mutating func parseHeader<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    if let kept = unsafe Bytes.find("entries-written: ", start, end) {
      var at = unsafe kept + 17
      let inBuffer = unsafe Bytes.decimal(&at)
      guard unsafe at.pointee == 0x2f else { return }
      unsafe at += 1
      let written = unsafe Bytes.decimal(&at)
      context.header = (inBuffer, written)
      context.form = .tracefs
      if inBuffer < written { overwrote = true }
      if let cpus = unsafe Bytes.find("#P:", at, end) {
        unsafe at = unsafe cpus + 3
        context.cpuCount = unsafe Int(truncatingIfNeeded: Bytes.decimal(&at) & 0xffff_ffff)
      }
    } else if let kept = unsafe Bytes.find("us, #", start, end) {
      // The latency header: "# latency: 0 us, #1184/1184, CPU#0 | (... #P:2)".
      var at = unsafe kept + 5
      let inBuffer = unsafe Bytes.decimal(&at)
      guard unsafe at.pointee == 0x2f else { return }
      unsafe at += 1
      context.header = unsafe (inBuffer, Bytes.decimal(&at))
      if let header = context.header, header.kept < header.written { overwrote = true }
      context.form = .latency
    } else if unsafe Bytes.starts(start, end, "##### CPU ") {
      var at = unsafe start + 10
      let cpu = unsafe Bytes.decimal(&at)
      if unsafe Bytes.find("buffer started", at, end) != nil {
        deliverLoss(cpu: UInt32(truncatingIfNeeded: cpu), count: 0, sink)
      }
    }
  }

  /// `CPU:1 [LOST 25070 EVENTS]`, `CPU:1 [25070 EVENTS DROPPED]`.
  private mutating func parseLoss<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    var at = unsafe start
    let cpu = unsafe Bytes.decimal(&at)
    guard unsafe Bytes.find("LOST", at, end) != nil || Bytes.find("DROPPED", at, end) != nil else {
      context.noteBadLine(line)
      return
    }
    while unsafe at < end, unsafe !Bytes.isDigit(at.pointee) { unsafe at += 1 }
    unsafe deliverLoss(
      cpu: UInt32(truncatingIfNeeded: cpu), count: at < end ? Bytes.decimal(&at) : 0, sink)
  }

  /// perf's own records of a loss: of whichever CPU, since the one it stands on may be another's.
  mutating func noteLostRecords<Sink: TraceSink>(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into sink: Sink
  ) {
    var count: UInt64 = 0
    if var at = unsafe Bytes.find("lost ", start, end) {
      unsafe at += 5
      count = unsafe Bytes.decimal(&at)
    }
    deliverLoss(cpu: .max, count: count, sink)
  }

  mutating func deliverLoss<Sink: TraceSink>(cpu: UInt32, count: UInt64, _ sink: Sink) {
    var loss = TraceEvent()
    loss.kind = .loss
    loss.line = line
    loss.cpu = cpu
    loss.entryCount = UInt32(truncatingIfNeeded: min(count, UInt64(UInt32.max)))
    context.lostEvents &+= count
    mayAttachStack = false
    sink.accept(&loss)
  }

  // MARK: Stacks

  /// A line of a stack; false when the stack is over.
  mutating func parseFrame(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var at = unsafe start
    while unsafe at < end, unsafe at.pointee == 0x20 || at.pointee == 0x09 { unsafe at += 1 }
    if unsafe at + 2 < end, unsafe at[0] == 0x3d, unsafe at[1] == 0x3e {
      unsafe at += 2
      unsafe Bytes.skipSpaces(&at)
    } else if unsafe isFrame(start, end) {
      _ = unsafe Bytes.hex(&at)
      unsafe Bytes.skipSpaces(&at)
    } else {
      return false
    }
    guard frames.count < 8192 else { return true }
    while unsafe at < end, unsafe at.pointee > 0x20 {
      unsafe frames.append(at.pointee)
      unsafe at += 1
    }
    frames.append(0x0a)
    return true
  }

  /// perf's frames: white space, a hexadecimal address, a space, a name.
  private func isFrame(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var at = unsafe start
    while unsafe at < end, unsafe at.pointee == 0x20 || at.pointee == 0x09 { unsafe at += 1 }
    guard unsafe at > start else { return false }
    let address = unsafe at
    while unsafe at < end, unsafe Bytes.hexDigit(at.pointee) < 16 { unsafe at += 1 }
    return unsafe at - address >= 6 && at < end && at.pointee == 0x20
  }

  @inline(__always)
  mutating func endStack<Sink: TraceSink>(into sink: Sink) {
    if inStack { attachStack(to: sink) }
  }

  private mutating func attachStack<Sink: TraceSink>(to sink: Sink) {
    inStack = false
    guard mayAttachStack, !frames.isEmpty else { return }
    let number = unsafe frames.withUnsafeBufferPointer { frames in
      unsafe frames.baseAddress.map { unsafe context.stacks.intern($0, frames.count) } ?? 0
    }
    sink.attachStack(number)
    mayAttachStack = false
  }
}
