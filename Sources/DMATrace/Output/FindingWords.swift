import DMA

/// Findings in words: one place for every form of output.
struct FindingWords {
  let context: TraceContext
  let trace: TraceSummary
  var redaction: Redaction

  init(context: TraceContext, trace: TraceSummary, redact: Bool) {
    self.context = context
    self.trace = trace
    redaction = Redaction(isOn: redact)
  }

  static func hex(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }

  static func direction(_ number: UInt8) -> String {
    DMADirection(rawValue: number)?.description ?? (number == 3 ? "NONE" : "unknown")
  }

  static func family(_ family: DMAEvent.Family) -> String {
    switch family {
    case .coherent: "coherent memory"
    case .pages: "pages"
    case .noncontiguous: "noncontiguous memory"
    case .single: "a page or single buffer"
    case .resource: "device registers"
    case .physical: "a physical range"
    case .scatter: "a scatter list"
    case .pool: "a pool block"
    case .none: "memory"
    }
  }

  mutating func device(_ number: UInt32) -> String {
    redaction.name(context.devices.name(number), as: "device")
  }

  mutating func deviceName(_ name: String) -> String { redaction.name(name, as: "device") }

  /// Seconds with six digits, as traces print them.
  static func seconds(_ time: UInt64) -> String {
    let micro = String(time % 1_000_000_000 / 1000)
    return "\(time / 1_000_000_000)."
      + String(repeating: "0", count: 6 - micro.utf8.count) + micro
  }

  func time(_ time: UInt64) -> String {
    trace.isTimed ? Self.seconds(time) : "no time"
  }

  mutating func place(_ origin: TraceOrigin) -> String {
    var words = "line \(origin.line)"
    if trace.isTimed { words += ", \(Self.seconds(origin.time)) s" }
    if origin.cpu != .max { words += ", CPU \(origin.cpu)" }
    if origin.task >= 0 {
      words += ", \(redaction.name(context.tasks.name(origin.taskName), as: "task"))-\(origin.task)"
    }
    return words
  }

  mutating func subject(_ subject: Finding.Subject) -> String {
    var words = Self.family(subject.family)
    if subject.family == .scatter { words += " of \(subject.entryCount) entries" }
    words += ", \(subject.byteCount) bytes"
    switch subject.family {
    case .coherent, .pages, .noncontiguous: break
    default: words += " \(Self.direction(subject.direction))"
    }
    words += " at bus address \(Self.hex(redaction.address(subject.dmaAddress)))"
    if subject.hasPhysicalAddress, subject.physicalAddress != subject.dmaAddress {
      words += " (memory \(Self.hex(redaction.address(subject.physicalAddress))))"
    }
    return words
  }

  /// What was expected and what was found.
  mutating func difference(_ finding: Finding) -> String? {
    switch finding.rule {
    case .sizeDiffers: return "mapped \(finding.expected) bytes, released \(finding.found)"
    case .directionDiffers, .syncDirection, .syncReadOnly, .syncWriteOnly:
      let verb = finding.rule == .directionDiffers ? "released" : "synced"
      return "mapped \(Self.direction(UInt8(truncatingIfNeeded: finding.expected))), \(verb) "
        + Self.direction(UInt8(truncatingIfNeeded: finding.found))
    case .entryCountDiffers:
      return "mapped with \(finding.expected) entries, unmapped with \(finding.found)"
    case .wrongFunction:
      let expected = DMAEvent.Family(rawValue: UInt8(truncatingIfNeeded: finding.expected)) ?? .none
      let found = DMAEvent.Family(rawValue: UInt8(truncatingIfNeeded: finding.found)) ?? .none
      return "mapped as \(Self.family(expected)), released as \(Self.family(found))"
    case .syncOutside:
      return "the sync ends \(finding.found &- finding.expected) bytes behind the mapping"
    case .overlappingCacheLine:
      let lower = min(finding.expected, finding.found)
      let upper = max(finding.expected, finding.found)
      return "the buffers begin \(upper - lower) bytes apart, in one 64-byte line"
    case .beyondMask:
      return "last address \(Self.hex(finding.found)), mask \(Self.hex(finding.expected))"
    case .segmentTooLong: return "\(finding.found) bytes, limit \(finding.expected)"
    case .segmentAcrossBoundary: return "boundary mask \(Self.hex(finding.expected))"
    case .kernelImage:
      return "the kernel lies at \(Self.hex(redaction.address(finding.expected)))"
    case .wrongDevice:
      return "the mapping belongs to \(device(finding.otherDevice))"
    default: return nil
    }
  }

  /// A finding in one line.
  mutating func sentence(_ finding: Finding) -> String {
    var words = "\(device(finding.device)): \(finding.rule.summary) [\(finding.rule.rawValue)]"
    if let difference = difference(finding) { words += ": \(difference)" }
    if let culprit = finding.culprit { words += "; \(call(culprit)), \(place(culprit.origin))" }
    if let mapping = finding.mapping { words += "; mapped at \(place(mapping.origin))" }
    return words
  }

  /// A call in words: the event, and what it named.
  mutating func call(_ culprit: Finding.Culprit) -> String {
    var words = context.eventNames.name(UInt32(culprit.event))
    words += " of \(Self.hex(redaction.address(culprit.address)))"
    if culprit.byteCount > 0 { words += ", \(culprit.byteCount) bytes" }
    if culprit.entryCount > 0 { words += ", \(culprit.entryCount) entries" }
    if culprit.direction < 3 { words += " \(Self.direction(culprit.direction))" }
    return words
  }

  func stack(_ origin: TraceOrigin) -> [String] {
    context.stacks.name(origin.stack).split(separator: "\n").map(String.init)
  }
}
