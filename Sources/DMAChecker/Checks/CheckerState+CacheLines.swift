internal import DMA

/// Cache lines that more than one mapping lets a device write.
///
/// Unlike the kernel's, both ends of a mapping are looked at: neighbours share the last line of one
/// and the first of the other. Of a long mapping its first 64 lines and its last 64 are kept,
/// aligned to such groups, and what lies between them is not. Lines are named by the CPU's address,
/// which no two machines share. Lists are left out: their entries may share lines with each other.
extension CheckerState {
  /// Lines of one group that a mapping covers.
  struct LineSpan {
    var group: UInt64
    var lines: UInt64
  }

  private var groupShift: UInt64 { lineShift &+ 6 }

  @inline(__always)
  private func span(_ start: UInt64, _ last: UInt64) -> LineSpan {
    let low = (start &>> lineShift) & 63
    let high = (last &>> lineShift) & 63
    // Bits low...high.
    return LineSpan(
      group: start &>> groupShift, lines: (.max &<< low) & (.max &>> (63 &- high)))
  }

  /// The lines of the first group, and those of the last where it is another.
  @inline(__always)
  private func spans(_ mapping: LiveMapping) -> (LineSpan, LineSpan?) {
    spans(mapping.cpuAddress, mapping.byteCount)
  }

  @inline(__always)
  private func spans(_ start: UInt64, _ byteCount: UInt64) -> (LineSpan, LineSpan?) {
    let last = start &+ (byteCount &- 1)
    if start &>> groupShift == last &>> groupShift { return (span(start, last), nil) }
    let groupMask = UInt64(1) &<< groupShift &- 1
    return (span(start, start | groupMask), span(last & ~groupMask, last))
  }

  /// Whether a mapping's lines are looked at.
  @inline(__always)
  private func hasLines(_ mapping: LiveMapping) -> Bool {
    mapping.bits & LiveMapping.familyMask == LiveMapping.singleBits
      && mapping.bits & LiveMapping.directionMask != UInt32(DMADirection.toDevice.rawValue)
      && mapping.cpuAddress != 0 && mapping.byteCount > 0
  }

  /// Asks for what is known of the first lines of some memory.
  @inline(__always)
  func prefetchLines(_ cpuAddress: UInt64) { lines.prefetch(cpuAddress &>> groupShift) }

  /// Notes lines that nobody has yet.
  ///
  /// - Returns: false, with nothing noted, when somebody has one, or there is no room.
  @inline(__always)
  mutating func addFreeLines(_ cpuAddress: UInt64, _ byteCount: UInt64) -> Bool {
    guard lines.count < lineGroupMax, cpuAddress != 0 else { return false }
    let (first, last) = spans(cpuAddress, byteCount)
    let shared = lines.insert(first.group, first.lines)
    if shared != 0 {
      lines.remove(first.group, first.lines & ~shared)
      return false
    }
    guard let last else { return true }
    let sharedLast = lines.insert(last.group, last.lines)
    if sharedLast != 0 {
      lines.remove(last.group, last.lines & ~sharedLast)
      lines.remove(first.group, first.lines)
      return false
    }
    return true
  }

  mutating func addLines(
    _ mapping: inout LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    guard hasLines(mapping) else { return }
    // A quarter of the memory is for lines.
    guard lines.count < lineGroupMax else {
      unknown()
      return
    }
    mapping.bits |= LiveMapping.Flags.lines
    let (first, last) = spans(mapping)
    let shared = lines.insert(first.group, first.lines)
    if shared != 0 { unsafe addShared(first.group, shared, mapping, event, device) }
    if let last {
      let shared = lines.insert(last.group, last.lines)
      if shared != 0 { unsafe addShared(last.group, shared, mapping, event, device) }
    }
  }

  /// Counts lines that had a mapping already, and reports the first of them.
  @inline(never)
  private mutating func addShared(
    _ group: UInt64, _ shared: UInt64, _ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    var left = shared
    var countMax: UInt32 = 0
    var worst: UInt64 = 0
    while left != 0 {
      let line = group << 6 | UInt64(left.trailingZeroBitCount)
      left &= left &- 1
      let count = (sharedLines[line] ?? 1) &+ 1
      sharedLines.insert(count, for: line)
      if count > countMax {
        countMax = count
        worst = line
      }
    }
    let rule: CheckRule = countMax > 7 ? .tooManyOverlaps : .overlappingCacheLine
    // Searching takes long: a place that goes on like this is not looked after for ever.
    let searchCount = unsafe sites.pointer(mapping.site).pointee.searchCount
    guard searchCount < 256 else {
      statistics.violationCount &+= 1
      ruleCounts[Int(rule.rawValue)] &+= 1
      return
    }
    unsafe sites.pointer(mapping.site).pointee.searchCount = searchCount + 1
    let neighbour = neighbour(worst)
    guard isNew(rule, mapping.site, neighbour?.site ?? 0) else { return }
    let now = unsafe now(device)
    var finding = Finding(rule: rule, device: unsafe device.pointee.name)
    finding.call = unsafe call(event, mapping.site)
    finding.mapping = neighbour.map { subject($0, now: now) }
    finding.expected = .mappings(rule == .tooManyOverlaps ? 7 : 1)
    finding.seen = .mappings(UInt64(countMax))
    deliver(finding)
  }

  /// A live mapping that covers this line; called before the new one is kept.
  private func neighbour(_ line: UInt64) -> LiveMapping? {
    var found: LiveMapping?
    live.forEach { _, mapping in
      guard mapping.has(LiveMapping.Flags.lines) else { return }
      let (first, last) = spans(mapping)
      let bit = UInt64(1) << (line & 63)
      let covers =
        first.group == line >> 6 && first.lines & bit != 0
        || last?.group == line >> 6 && last?.lines ?? 0 & bit != 0
      if covers, found == nil || mapping.time > found?.time ?? 0 { found = mapping }
    }
    return found
  }

  @inline(__always)
  mutating func removeLines(_ mapping: LiveMapping) {
    if mapping.has(LiveMapping.Flags.lines) { removeLines(mapping.cpuAddress, mapping.byteCount) }
  }

  @inline(__always)
  mutating func removeLines(_ cpuAddress: UInt64, _ byteCount: UInt64) {
    let (first, last) = spans(cpuAddress, byteCount)
    removeSpan(first)
    if let last { removeSpan(last) }
  }

  @inline(__always)
  private mutating func removeSpan(_ span: LineSpan) {
    var gone = span.lines
    if sharedLines.count > 0 { gone = unshare(span) }
    if gone != 0 { lines.remove(span.group, gone) }
  }

  /// Takes one off the count of lines with more than one mapping; returns the others.
  @inline(never)
  private mutating func unshare(_ span: LineSpan) -> UInt64 {
    var gone = span.lines
    var left = span.lines
    while left != 0 {
      let bit = left & (0 &- left)
      left &= left &- 1
      let line = span.group << 6 | UInt64(bit.trailingZeroBitCount)
      guard let count = sharedLines[line] else { continue }
      gone &= ~bit
      if count > 2 {
        sharedLines.insert(count - 1, for: line)
      } else {
        sharedLines.remove(line)
      }
    }
    return gone
  }
}
