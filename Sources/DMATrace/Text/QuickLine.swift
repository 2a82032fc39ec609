import DMA

/// The calls most lines are, read in one go.
///
/// A line is taken only when every byte of it is where it should be: task and event name as seen
/// before, and the fields in the kernel's order, each under its name. Everything else is left to
/// the full reader, which finds fields in any order; both give the same event.
extension TextParser {
  /// Reads one line into `event` and returns where the next begins; nil leaves the line alone.
  ///
  /// `Bytes.readablePadding` bytes behind `end` must be readable; the line's newline must stand
  /// before `end`.
  @inline(__always)
  mutating func quickLine(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafePointer<UInt8>?
  {
    guard unsafe end - start > LineMemo.tooFar else { return nil }
    // The CPU stands in the same column in every line of one tool.
    var at = unsafe start + memo.column
    let cpuWord = unsafe Bytes.load8(at)
    guard cpuWord & 0xff == 0x5b, cpuWord &>> 32 & 0xffff == 0x205d,
      let cpu = Digits.decimal(cpuWord &>> 8, 3), let task = unsafe memo.task(start)
    else { return nil }
    unsafe at += 6
    unsafe Bytes.skipSpaces(&at)
    var ran: UInt8 = 0xff
    if unsafe !Bytes.isDigit(at.pointee) {
      // Five characters of flags, of which the third says what ran.
      switch unsafe at[2] {
      case 0x2e: ran = 0
      case 0x73: ran = 1
      case 0x68, 0x48, 0x7a, 0x5a: ran = 2
      default: return nil
      }
      guard unsafe Digits.count(before: 0x20, in: Bytes.load8(at)) == 5 else { return nil }
      unsafe at += 6
      unsafe Bytes.skipSpaces(&at)
    }
    // Seconds, a point, microseconds, a colon.
    let secondsWord = unsafe Bytes.load8(at)
    let secondsCount = Digits.count(before: 0x2e, in: secondsWord)
    guard secondsCount &- 1 < 7, secondsCount > 0,
      let seconds = Digits.decimal(secondsWord, secondsCount)
    else { return nil }
    unsafe at += secondsCount &+ 1
    let fractionWord = unsafe Bytes.load8(at)
    guard fractionWord &>> 48 == 0x203a, let fraction = Digits.decimal(fractionWord, 6) else {
      return nil
    }
    unsafe at += 8
    unsafe Bytes.skipSpaces(&at)
    guard unsafe at < end, let name = unsafe memo.name(at) else { return nil }
    unsafe at += name.pointee.length &+ 2
    guard unsafe at[-1] == 0x20 else { return nil }
    event = TraceEvent()
    event.line = line
    event.kind = unsafe name.pointee.kind
    event.family = unsafe name.pointee.family
    event.name = unsafe name.pointee.number
    event.cpu = UInt32(truncatingIfNeeded: cpu)
    event.task = task.number
    event.taskName = task.name
    event.context = ran
    event.time = seconds &* 1_000_000_000 &+ fraction &* 1000
    event.flags = .timed
    guard unsafe quickFields(&at, end), unsafe at <= end else { return nil }
    if !context.isTimed { context.isTimed = true }
    if context.forgetsLists { context.listCount = 0 }
    event.listStart = UInt32(truncatingIfNeeded: context.listCount)
    return unsafe at
  }

  /// `DEVICE dir=.. dma_addr=.. size=..`, for a map ` phys_addr=..`, and ` attrs=..` if any.
  @inline(__always)
  private mutating func quickFields(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Bool {
    let device = unsafe at
    var deviceLength = unsafe Digits.count(before: 0x20, in: Bytes.load8(device))
    if deviceLength == 8 {
      deviceLength = unsafe 8 &+ Digits.count(before: 0x20, in: Bytes.load8(device + 8))
    }
    guard deviceLength &- 1 < 15, deviceLength > 0 else { return false }
    unsafe at += deviceLength
    guard unsafe Bytes.load8(at) & 0xff_ffff_ffff == Self.quickDirection else { return false }
    // Three directions in no order: a table costs less than a wrong guess.
    let letter = unsafe at[5]
    guard Digits.isDirection(letter) else { return false }
    event.direction = Digits.directionNumber(letter)
    unsafe at += Digits.directionLength(letter)
    guard unsafe Bytes.load8(at) == Self.quickBus, unsafe at[8] == 0x72, unsafe at[9] == 0x3d
    else { return false }
    unsafe at += 10
    guard let bus = unsafe Digits.hexField(&at),
      unsafe Bytes.load8(at) & 0xffff_ffff_ffff == Self.quickSize
    else { return false }
    unsafe at += 6
    let sizeWord = unsafe Bytes.load8(at)
    let ends = Digits.matches(sizeWord, 0x20) | Digits.matches(sizeWord, 0x0a)
    let sizeLength = ends.trailingZeroBitCount &>> 3
    guard sizeLength &- 1 < 7, sizeLength > 0, let size = Digits.decimal(sizeWord, sizeLength)
    else { return false }
    unsafe at += sizeLength
    event.dmaAddress = bus
    event.byteCount = size
    var known: TraceEvent.Known = [.dmaAddress, .byteCount, .direction]
    if event.kind == .map {
      guard unsafe Bytes.load8(at) == Self.quickPhysical, unsafe at[8] == 0x64,
        unsafe at[9] == 0x72, unsafe at[10] == 0x3d
      else { return false }
      unsafe at += 11
      guard let physical = unsafe Digits.hexField(&at) else { return false }
      event.physicalAddress = physical
      known.insert(.physicalAddress)
      if bus == .max { event.flags.insert(.failed) }
    }
    event.known = known
    event.device = unsafe UInt32(
      truncatingIfNeeded: recentDevices.number(of: device, deviceLength, in: context.devices))
    if unsafe Bytes.load8(at) & 0xff_ffff_ffff_ffff == Self.quickAttributes {
      unsafe at += 7
      unsafe parseAttributes(&at, end)
    }
    guard unsafe at.pointee == 0x0a else { return false }
    unsafe at += 1
    return true
  }

  private static let quickDirection = Bytes.word(" dir=")
  private static let quickBus = Bytes.word(" dma_add")
  private static let quickSize = Bytes.word(" size=")
  private static let quickPhysical = Bytes.word(" phys_ad")
  private static let quickAttributes = Bytes.word(" attrs=")

  /// Remembers a line the full reader understood, if others like it can be read quickly.
  mutating func learn(
    _ start: UnsafePointer<UInt8>, name: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) {
    switch event.kind {
    case .map, .unmap, .syncForCPU, .syncForDevice: break
    default: return
    }
    var length = 0
    while unsafe name + length + 1 < end,
      unsafe name[length] != 0x3a || name[length + 1] != 0x20
    { length += 1 }
    unsafe memo.learn(
      name, length: length, number: event.name, kind: event.kind, family: event.family)
    for column in 8..<LineMemo.tooFar where unsafe start + column + 6 < end {
      let word = unsafe Bytes.load8(start + column)
      guard word & 0xff == 0x5b, word &>> 32 & 0xffff == 0x205d,
        let cpu = Digits.decimal(word &>> 8, 3)
      else { continue }
      guard cpu == UInt64(event.cpu) else { return }
      unsafe memo.learn(start, bracket: column, task: event.task, name: event.taskName)
      return
    }
  }
}
