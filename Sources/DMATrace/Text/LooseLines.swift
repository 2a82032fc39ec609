import DMA
import Glibc

/// Lines that no tool writes by default: other columns of `perf script`, colours, a kernel log's
/// stamp in front.
extension TextParser {
  /// What is left of a line without terminal escapes, in memory of the parser's; nil when it has
  /// none.
  mutating func withoutEscapes(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafeBufferPointer<UInt8>?
  {
    guard unsafe memchr(start, Int32(Self.escape), end - start) != nil else { return nil }
    plain.removeAll(keepingCapacity: true)
    var at = unsafe start
    while unsafe at < end {
      guard unsafe at.pointee == Self.escape else {
        unsafe plain.append(at.pointee)
        unsafe at += 1
        continue
      }
      unsafe at += 1
      unsafe Self.skipSequence(&at, end)
    }
    let count = plain.count
    plain += [UInt8](repeating: 0, count: Bytes.readablePadding)
    // SAFETY: `plain` is not touched before its line was read.
    return unsafe plain.withUnsafeBufferPointer { plain in
      unsafe UnsafeBufferPointer(rebasing: plain[..<count])
    }
  }

  private static var escape: UInt8 { 0x1b }

  /// Moves past what follows an escape (ECMA-48): a control sequence, a string, or one character.
  private static func skipSequence(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) {
    guard unsafe at < end else { return }
    let kind = unsafe at.pointee
    unsafe at += 1
    switch kind {
    case 0x5b:  // [ parameters, then a letter
      while unsafe at < end {
        let byte = unsafe at.pointee
        unsafe at += 1
        if byte >= 0x40, byte < 0x7f { return }
      }
    case 0x5d:  // ] text, then a bell or ESC \
      while unsafe at < end {
        let byte = unsafe at.pointee
        unsafe at += 1
        if byte == 0x07 { return }
        if byte == escape {
          if unsafe at < end { unsafe at += 1 }
          return
        }
      }
    default: break
    }
  }

  /// Moves past `[   77.123456] `, which the kernel's log puts before the buffer it dumps when it
  /// oopses (ftrace_dump_on_oops); before it may stand a level, `<4>`.
  static func skipLogStamp(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    var next = unsafe at
    if unsafe next < end, unsafe next.pointee == 0x3c {
      unsafe next += 1
      let level = unsafe next
      _ = unsafe Bytes.decimal(&next)
      guard unsafe next > level, unsafe next.pointee == 0x3e else { return false }
      unsafe next += 1
    }
    guard unsafe next < end, unsafe next.pointee == 0x5b else { return false }
    unsafe next += 1
    unsafe Bytes.skipSpaces(&next)
    guard unsafe skipStamp(&next), unsafe next.pointee == 0x5d, unsafe next[1] == 0x20 else {
      return false
    }
    // A thread's or a CPU's number may follow: `[    1.0][  T1] `.
    unsafe next += 2
    guard unsafe next < end else { return false }
    unsafe at = unsafe next
    return true
  }

  /// Digits, a point, digits.
  private static func skipStamp(_ at: inout UnsafePointer<UInt8>) -> Bool {
    let start = unsafe at
    _ = unsafe Bytes.decimal(&at)
    guard unsafe at > start, unsafe at.pointee == 0x2e else { return false }
    unsafe at += 1
    let fraction = unsafe at
    _ = unsafe Bytes.decimal(&at)
    return unsafe at > fraction
  }

  /// A line of `perf script` with other columns (`-F`): stops at the event's `system:name:`.
  ///
  /// What stands before it is read from its end: perhaps a period, a time, a CPU, a task's numbers,
  /// and the rest is the task's name.
  mutating func parsePerfLine(
    _ at: inout UnsafePointer<UInt8>, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Bool {
    guard let name = unsafe perfName(start, end) else { return false }
    event = TraceEvent()
    event.line = line
    var last = unsafe name
    var word = unsafe Self.wordBefore(&last, start)
    // The period is a bare number that a time or a CPU stands before.
    if unsafe Self.isNumber(word), unsafe !Self.isTime(word) {
      var before = unsafe last
      let other = unsafe Self.wordBefore(&before, start)
      if unsafe Self.isTime(other) || Self.isCPU(other) {
        unsafe last = unsafe before
        unsafe word = unsafe other
      }
    }
    if unsafe Self.isTime(word), let first = word.baseAddress {
      var digits = unsafe first
      _ = unsafe parseTime(&digits, end)
      unsafe word = unsafe Self.wordBefore(&last, start)
    }
    if unsafe Self.isCPU(word), let first = word.baseAddress {
      var digits = unsafe first + 1
      event.cpu = unsafe UInt32(truncatingIfNeeded: Bytes.decimal(&digits))
      unsafe word = unsafe Self.wordBefore(&last, start)
    }
    var nameEnd = unsafe last
    if unsafe Self.isNumber(word), let first = word.baseAddress {
      // `pid/tid` or one of them; the thread's is the task.
      var digits = unsafe first
      event.task = unsafe Int32(truncatingIfNeeded: Bytes.decimal(&digits))
      if unsafe digits.pointee == 0x2f {
        unsafe digits += 1
        event.task = unsafe Int32(truncatingIfNeeded: Bytes.decimal(&digits))
      }
    } else if let first = word.baseAddress {
      unsafe nameEnd = unsafe first + word.count
    }
    var nameStart = unsafe start
    while unsafe nameStart < nameEnd, unsafe nameStart.pointee <= 0x20 { unsafe nameStart += 1 }
    while unsafe nameEnd > nameStart, unsafe nameEnd[-1] <= 0x20 { unsafe nameEnd -= 1 }
    if unsafe nameEnd > nameStart {
      event.taskName = unsafe UInt32(
        truncatingIfNeeded: recentTasks.number(
          of: nameStart, nameEnd - nameStart, in: context.tasks))
    }
    context.form = .perfScript
    unsafe at = unsafe name
    return true
  }

  /// Where `dma:`, `iommu:`, `swiotlb:` or `ftrace:` and an event's name stand, as a word.
  private func perfName(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UnsafePointer<UInt8>?
  {
    var at = unsafe start
    while let found = unsafe memchr(at, 0x3a, end - at) {
      let colon = unsafe UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
      unsafe at = unsafe colon + 1
      var name = unsafe colon
      while unsafe name > start, unsafe Bytes.isNameByte(name[-1]) { unsafe name -= 1 }
      guard unsafe name == start || name[-1] <= 0x20 else { continue }
      guard
        unsafe Bytes.starts(name, end, "dma:") || Bytes.starts(name, end, "iommu:")
          || Bytes.starts(name, end, "swiotlb:") || Bytes.starts(name, end, "ftrace:")
      else { continue }
      var last = unsafe at
      while unsafe last < end, unsafe Bytes.isNameByte(last.pointee) { unsafe last += 1 }
      if unsafe last > at, unsafe last < end, unsafe last.pointee == 0x3a { return unsafe name }
    }
    return nil
  }

  /// The word that ends before `last`, which moves to where it begins; empty when there is none.
  private static func wordBefore(
    _ last: inout UnsafePointer<UInt8>, _ start: UnsafePointer<UInt8>
  ) -> UnsafeBufferPointer<UInt8> {
    while unsafe last > start, unsafe last[-1] <= 0x20 { unsafe last -= 1 }
    let end = unsafe last
    while unsafe last > start, unsafe last[-1] > 0x20 { unsafe last -= 1 }
    return unsafe UnsafeBufferPointer(start: last, count: end - last)
  }

  /// A CPU's column: `[001]`.
  private static func isCPU(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
    unsafe word.count > 2 && word.first == 0x5b && word.last == 0x5d
      && word.dropFirst().dropLast().allSatisfy(Bytes.isDigit)
  }

  /// A time's column: `47.857049:`.
  private static func isTime(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
    unsafe word.count > 1 && word.last == 0x3a && word.first.map(Bytes.isDigit) == true
      && word.dropLast().allSatisfy { Bytes.isDigit($0) || $0 == 0x2e }
  }

  /// A task's column, `180` or `180/181`, or a period's.
  private static func isNumber(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
    unsafe word.first.map(Bytes.isDigit) == true
      && word.allSatisfy { Bytes.isDigit($0) || $0 == 0x2f }
  }
}
