import DMA

/// What stands before an event's name: task, CPU, flags and time, in the layouts of each tool.
extension TextParser {
  /// Reads the context and stops at the event's name.
  ///
  /// The kernel and the tools print the task's name in sixteen columns, so a name that looks like
  /// the rest of a line cannot confuse it; text whose spaces were lost is read by its brackets.
  @inline(__always)
  mutating func parseContext(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> Bool
  {
    let start = unsafe at
    guard unsafe end - start > 22 else { return unsafe parseWithoutContext(&at, end) }
    var nameStart = unsafe start
    var nameEnd = unsafe start + 16
    if unsafe start[16] == 0x2d, unsafe Bytes.isDigit(start[17]) {
      unsafe at = unsafe start + 17
    } else if unsafe start[16] == 0x20, unsafe isPerf(start, end) {
      unsafe at = unsafe start + 16
      unsafe Bytes.skipSpaces(&at)
      context.form = .perfScript
    } else if unsafe start[8] == 0x2d, unsafe Bytes.isDigit(start[9]),
      unsafe isLatency(start + 9, end)
    {
      // latency-format prints eight columns
      unsafe nameEnd = start + 8
      unsafe at = start + 9
    } else if let pid = unsafe findTask(start, end) {
      unsafe nameEnd = unsafe pid - 1
      unsafe at = unsafe pid
    } else {
      return unsafe parseWithoutContext(&at, end)
    }
    while unsafe nameStart < nameEnd, unsafe nameStart.pointee == 0x20 { unsafe nameStart += 1 }
    while unsafe nameStart < nameEnd, unsafe nameEnd[-1] == 0x20 { unsafe nameEnd -= 1 }
    event.taskName = unsafe UInt32(
      truncatingIfNeeded: recentTasks.number(
        of: nameStart, nameEnd - nameStart, in: context.tasks))
    event.task = unsafe Int32(truncatingIfNeeded: Bytes.decimal(&at))
    if unsafe at.pointee == 0x2f {  // perf's pid/tid
      unsafe at += 1
      event.task = unsafe Int32(truncatingIfNeeded: Bytes.decimal(&at))
    }
    unsafe Bytes.skipSpaces(&at)
    if unsafe at.pointee == 0x28 {  // (tgid)
      while unsafe at < end, unsafe at.pointee != 0x29 { unsafe at += 1 }
      unsafe at += 1
      unsafe Bytes.skipSpaces(&at)
    }
    if unsafe at.pointee == 0x5b {  // [cpu]
      unsafe at += 1
      event.cpu = unsafe UInt32(truncatingIfNeeded: Bytes.decimal(&at))
      guard unsafe at.pointee == 0x5d else { return false }
      unsafe at += 1
      unsafe Bytes.skipSpaces(&at)
      if unsafe !Bytes.isDigit(at.pointee) { unsafe parseFlags(&at) }
    } else if unsafe Bytes.isDigit(at.pointee) {  // latency: the CPU is glued to the flags
      event.cpu = unsafe UInt32(truncatingIfNeeded: Bytes.decimal(&at))
      unsafe parseFlags(&at)
    }
    return unsafe parseTime(&at, end)
  }

  /// The flags of the context: their third character says what ran.
  @inline(__always)
  private mutating func parseFlags(_ at: inout UnsafePointer<UInt8>) {
    if unsafe at[0] != 0x20, unsafe at[1] != 0x20 {
      switch unsafe at[2] {
      case 0x2e: event.context = 0
      case 0x73: event.context = 1
      case 0x68, 0x48, 0x7a, 0x5a: event.context = 2
      default: break
      }
    }
    while unsafe at.pointee != 0x20, unsafe at.pointee != 0x0a, unsafe at.pointee != 0 {
      unsafe at += 1
    }
    unsafe Bytes.skipSpaces(&at)
  }

  @inline(__always)
  mutating func parseTime(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> Bool
  {
    guard unsafe Bytes.isDigit(at.pointee) else { return false }
    var time = unsafe Bytes.decimal(&at)
    if unsafe at.pointee == 0x2e {
      unsafe at += 1
      let digits = unsafe at
      var fraction = unsafe Bytes.decimal(&at)
      switch unsafe at - digits {
      case 6: fraction &*= 1000
      case 9: break
      default:
        var count = unsafe at - digits
        while count < 9 {
          fraction &*= 10
          count += 1
        }
      }
      time = time &* 1_000_000_000 &+ fraction
    } else if unsafe at[0] == 0x75, unsafe at[1] == 0x73 {  // latency: "29009us+:"
      time = time &* 1000
      unsafe at += 2
      if unsafe at.pointee != 0x3a { unsafe at += 1 }
      context.form = .latency
    }
    guard unsafe at < end, unsafe at.pointee == 0x3a else { return false }
    unsafe at += 1
    unsafe Bytes.skipSpaces(&at)
    event.time = time
    event.flags.insert(.timed)
    context.isTimed = true
    return unsafe at < end
  }

  /// perf prints name, space, number, `[cpu]`.
  private func isPerf(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var at = unsafe start + 16
    while unsafe at < end, unsafe at.pointee == 0x20 { unsafe at += 1 }
    guard unsafe at < end, unsafe Bytes.isDigit(at.pointee) else { return false }
    while unsafe at < end, unsafe Bytes.isDigit(at.pointee) || at.pointee == 0x2f { unsafe at += 1 }
    while unsafe at < end, unsafe at.pointee == 0x20 { unsafe at += 1 }
    return unsafe at < end && at.pointee == 0x5b
  }

  /// After the task's number the CPU stands glued to the flags, then a time in microseconds.
  private func isLatency(_ task: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var at = unsafe task
    while unsafe at < end, unsafe Bytes.isDigit(at.pointee) { unsafe at += 1 }
    while unsafe at < end, unsafe at.pointee == 0x20 { unsafe at += 1 }
    let cpu = unsafe at
    while unsafe at < end, unsafe Bytes.isDigit(at.pointee) { unsafe at += 1 }
    guard unsafe at > cpu, unsafe at < end, unsafe at.pointee != 0x20 else { return false }
    while unsafe at < end, unsafe at.pointee != 0x20 { unsafe at += 1 }
    while unsafe at < end, unsafe at.pointee == 0x20 { unsafe at += 1 }
    let time = unsafe at
    while unsafe at < end, unsafe Bytes.isDigit(at.pointee) { unsafe at += 1 }
    // Clocks that do not count nanoseconds have no unit: "counter", "x86-tsc".
    return unsafe at > time && at + 2 < end
      && (at[0] == 0x75 && at[1] == 0x73 || at[0] == 0x3a && at[1] == 0x20)
  }

  /// Where the task's number stands, when columns do not tell: before the first `[digits]`.
  private func findTask(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafePointer<UInt8>?
  {
    var at = unsafe start
    while unsafe at < end {
      guard unsafe at.pointee == 0x5b, unsafe at > start + 1 else {
        unsafe at += 1
        continue
      }
      var digits = unsafe at + 1
      while unsafe digits < end, unsafe Bytes.isDigit(digits.pointee) { unsafe digits += 1 }
      guard unsafe digits > at + 1, unsafe digits < end, unsafe digits.pointee == 0x5d else {
        unsafe at += 1
        continue
      }
      var task = unsafe at - 1
      if unsafe task.pointee == 0x29 {  // (tgid)
        while unsafe task > start, unsafe task.pointee != 0x28 { unsafe task -= 1 }
        unsafe task -= task > start ? 1 : 0
      }
      while unsafe task > start, unsafe task.pointee == 0x20 { unsafe task -= 1 }
      guard unsafe Bytes.isDigit(task.pointee) else { return nil }
      while unsafe task > start, unsafe Bytes.isDigit(task[-1]) || task[-1] == 0x2f {
        unsafe task -= 1
      }
      guard unsafe task > start, unsafe task[-1] == 0x2d || task[-1] == 0x20 else { return nil }
      return unsafe task
    }
    return nil
  }

  /// `context-info=0`: the line begins with the event's name.
  private mutating func parseWithoutContext(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Bool {
    var name = unsafe at
    while unsafe name < end, unsafe Bytes.isNameByte(name.pointee) { unsafe name += 1 }
    let length = unsafe name - at
    guard length > 2, unsafe name < end, unsafe name.pointee == 0x3a, unsafe name + 1 < end,
      unsafe name[1] == 0x20
    else {
      return false
    }
    let number = unsafe recentEvents.number(of: at, length, in: context.eventNames)
    while shapes.count <= context.eventNames.count {
      shapes.append(EventShape.named(context.eventNames.name(UInt32(shapes.count))))
    }
    guard shapes[number] != nil else { return false }
    context.form = .withoutContext
    return true
  }
}
