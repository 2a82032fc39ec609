import DMA

/// A report as text for people.
public struct TextReport {
  private var words: FindingWords
  private let report: CheckReport
  private var lines: [String] = []

  /// - Parameters:
  ///   - report: what to write.
  ///   - context: the names its numbers mean.
  ///   - redact: devices, tasks and addresses get stable pseudonyms.
  public init(_ report: CheckReport, context: TraceContext, redact: Bool) {
    self.report = report
    words = FindingWords(context: context, trace: report.trace, redact: redact)
  }

  /// The whole report.
  public mutating func text() -> String {
    lines = []
    for (number, finding) in report.findings.enumerated() { add(finding, number + 1) }
    addDevices()
    addReading()
    addVerdict()
    return lines.joined(separator: "\n") + "\n"
  }

  private mutating func add(_ finding: Finding, _ number: Int) {
    lines.append(
      "\(number). \(words.device(finding.device)): \(finding.rule.summary) "
        + "[\(finding.rule.rawValue)]")
    addBody(finding, indent: "   ")
    if let kernel = finding.rule.kernelWording {
      lines.append("   the kernel's words: \(kernel)")
    }
    lines.append("   to mend it: \(finding.rule.advice)")
    if finding.repeats > 0 {
      let at = finding.repeatLines.map(String.init).joined(separator: ", ")
      lines.append(
        "   \(finding.repeats) more like it"
          + (at.isEmpty ? "" : ", at lines \(at)\(finding.repeats > 10 ? " ..." : "")"))
    }
    for consequence in finding.consequences {
      lines.append("   and so: \(consequence.rule.summary) [\(consequence.rule.rawValue)]")
      addBody(consequence, indent: "      ")
    }
    lines.append("")
  }

  private mutating func addBody(_ finding: Finding, indent: String) {
    if let difference = words.difference(finding) { lines.append("\(indent)\(difference)") }
    if let culprit = finding.culprit {
      lines.append("\(indent)by     \(words.call(culprit))")
      lines.append("\(indent)       \(words.place(culprit.origin))")
      addStack(culprit.origin, indent)
    }
    if let mapping = finding.mapping {
      lines.append("\(indent)mapped \(words.subject(mapping))")
      lines.append("\(indent)       \(words.place(mapping.origin))")
      addStack(mapping.origin, indent)
    }
    if let released = finding.released {
      lines.append("\(indent)first released at \(words.place(released))")
    }
  }

  private mutating func addStack(_ origin: TraceOrigin, _ indent: String) {
    for frame in words.stack(origin).prefix(12) { lines.append("\(indent)         \(frame)") }
  }

  private mutating func addDevices() {
    guard !report.devices.isEmpty else { return }
    lines.append("Devices")
    for device in report.devices {
      let state = device.state
      lines.append("  \(words.deviceName(device.name))")
      let streaming = [
        ("to the device", state.calls.1, state.bytes.1),
        ("from the device", state.calls.2, state.bytes.2),
        ("both ways", state.calls.0, state.bytes.0), ("no direction", state.calls.3, state.bytes.3),
      ]
      for (name, calls, bytes) in streaming where calls > 0 {
        lines.append("    mapped \(name): \(calls) calls, \(bytes) bytes")
      }
      if state.bouncedCalls > 0 {
        lines.append("    bounced: \(state.bouncedCalls) calls, \(state.bouncedBytes) bytes")
      }
      if state.allocations > 0 {
        lines.append("    allocated: \(state.allocations) calls, \(state.allocatedBytes) bytes")
      }
      if state.failedCalls > 0 { lines.append("    failed: \(state.failedCalls) calls") }
      lines.append("    most alive at once: \(state.peakCount), \(state.peakBytes) bytes")
      if state.liveCount > 0 {
        lines.append(
          "    live at end: \(state.liveCount), \(state.liveBytes) bytes, the oldest for "
            + "\(FindingWords.seconds(device.oldestAge)) s"
            + (device.grows ? "; growing: \(device.growth)" : ""))
      }
      if state.unknownReleases > 0 {
        lines.append(
          "    \(state.unknownReleases) releases of what was mapped before the trace or in a gap")
      }
    }
    lines.append("")
  }

  private mutating func addReading() {
    let trace = report.trace
    lines.append(
      "Read \(trace.lines) \(trace.form == .traceDat ? "records" : "lines"), "
        + "\(trace.events) events (\(trace.form.rawValue)).")
    if trace.badLines > 0 {
      let first = trace.firstBadLines.prefix(10).map(String.init).joined(separator: ", ")
      lines.append(
        "\(trace.badLines) lines could not be read: \(first)\(trace.badLines > 10 ? " ..." : "")")
    }
    if trace.skippedEvents > 0 {
      lines.append("\(trace.skippedEvents) events of other kinds were passed over.")
    }
    if let header = trace.header, header.kept < header.written {
      lines.append(
        "The buffer kept \(header.kept) of \(header.written) events: the beginning is missing.")
    }
    if trace.lossMarks > 0 {
      lines.append(
        "Events were lost at \(trace.lossMarks) places (\(trace.lostEvents) events counted): "
          + "nothing older than each is judged.")
    } else {
      lines.append("No loss is marked: findings assume that no event was lost.")
    }
    if !trace.isTimed {
      lines.append("Events carry no time and no CPU: their order proves nothing.")
    }
    if trace.iomemIsHidden { lines.append("The addresses in iomem are hidden: read it as root.") }
    addUnknown()
  }

  private mutating func addUnknown() {
    let unknown = report.unknown
    let counts = [
      (unknown.releases, "releases of memory mapped before the trace or in a gap"),
      (unknown.syncs, "syncs of such memory"),
      (unknown.mismatches, "releases that events not seen could explain"),
      (unknown.longLists, "long lists, whose release the kernel cannot record"),
      (unknown.undecodable, "lists printed without their addresses"),
      (unknown.olderThanLoss, "mappings older than a loss of events"),
      (unknown.withdrawnByLoss, "suspicions that a loss of events could explain"),
      (unknown.withdrawnAsPartial, "suspicions in a trace of one CPU only"),
    ]
    guard unknown.total > 0 else { return }
    lines.append("Unknown, and not judged:")
    for (count, what) in counts where count > 0 { lines.append("  \(count) \(what)") }
  }

  private mutating func addVerdict() {
    let count = report.findings.count
    lines.append(
      count == 0
        ? "No misuse found." : "\(count) \(count == 1 ? "finding" : "findings").")
  }
}
