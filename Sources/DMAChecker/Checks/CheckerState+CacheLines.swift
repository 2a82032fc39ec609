internal import DMA

/// Cache lines that more than one mapping lets a device write.
///
/// Unlike the kernel's, both ends of a mapping are looked at: neighbours share the last line of one
/// and the first of the other. Keyed by physical address, as caches are. Lists are left out: their
/// entries may share lines with each other.
extension CheckerState {
  private var lineMask: UInt64 { ~UInt64(options.cacheLineByteCount - 1) }

  /// The first line, and the last where it is another that the mapping does not fill.
  private func ends(_ mapping: LiveMapping) -> (UInt64, UInt64?) {
    let end = mapping.word &+ mapping.byteCount
    let first = mapping.word & lineMask
    let last = (end &- 1) & lineMask
    return (first, last == first || end & ~lineMask == 0 ? nil : last)
  }

  mutating func addLines(
    _ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    let (first, last) = ends(mapping)
    unsafe addLine(first, mapping, event, device)
    if let last { unsafe addLine(last, mapping, event, device) }
  }

  private mutating func addLine(
    _ line: UInt64, _ mapping: LiveMapping, _ event: UnsafePointer<DMAEvent>,
    _ device: UnsafeMutablePointer<DeviceState>
  ) {
    // A quarter of the memory is for lines.
    guard lines.count < max(64, options.memoryLimit / 128) else {
      unknown()
      return
    }
    guard let old = lines.insert(LineUse(site: mapping.site, count: 1), for: line) else { return }
    lines.insert(LineUse(site: mapping.site, count: old.count &+ 1), for: line)
    let rule: CheckRule = old.count >= 7 ? .tooManyOverlaps : .overlappingCacheLine
    guard isNew(rule, mapping.site, old.site) else { return }
    let now = unsafe now(device)
    var finding = Finding(rule: rule, device: unsafe device.pointee.name)
    finding.call = unsafe call(event, mapping.site)
    finding.mapping = neighbour(line).map { subject($0, now: now) }
    finding.expected = .mappings(rule == .tooManyOverlaps ? 7 : 1)
    finding.seen = .mappings(UInt64(old.count) + 1)
    deliver(finding)
  }

  /// A live mapping that has this line at one of its ends; called before the new one is kept.
  private func neighbour(_ line: UInt64) -> LiveMapping? {
    var found: LiveMapping?
    live.forEach { _, mapping in
      guard mapping.family == .single, mapping.direction != .toDevice else { return }
      let (first, last) = ends(mapping)
      if first == line || last == line { found = mapping }
    }
    return found
  }

  mutating func removeLines(_ mapping: LiveMapping) {
    guard mapping.family == .single, mapping.direction != .toDevice else { return }
    let (first, last) = ends(mapping)
    removeLine(first)
    if let last { removeLine(last) }
  }

  private mutating func removeLine(_ line: UInt64) {
    guard let old = lines.remove(line), old.count > 1 else { return }
    lines.insert(LineUse(site: old.site, count: old.count - 1), for: line)
  }
}
