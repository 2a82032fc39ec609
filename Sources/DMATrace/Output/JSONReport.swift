import DMA

/// A report as JSON, for other programs; `schema` is 1 until a field changes its meaning.
public struct JSONReport {
  private var words: FindingWords
  private let report: CheckReport

  public init(_ report: CheckReport, context: TraceContext, redact: Bool) {
    self.report = report
    words = FindingWords(context: context, trace: report.trace, redact: redact)
  }

  /// The whole report as one object.
  public mutating func text() -> String {
    var json = JSONText()
    json.object { json in
      json.field("schema", 1)
      json.object("trace") { addTrace(&$0) }
      json.array("findings") { json in
        for finding in report.findings { add(finding, &json) }
      }
      json.object("unknown") { addUnknown(&$0) }
      json.array("devices") { json in
        for device in report.devices { add(device, &json) }
      }
    }
    return json.text + "\n"
  }

  private mutating func add(_ finding: Finding, _ json: inout JSONText) {
    json.object { json in
      json.field("rule", finding.rule.rawValue)
      json.field("summary", finding.rule.summary)
      if let kernel = finding.rule.kernelWording { json.field("kernelWording", kernel) }
      json.field("advice", finding.rule.advice)
      json.field("device", words.device(finding.device))
      json.field("line", finding.line)
      if let difference = words.difference(finding) { json.field("difference", difference) }
      if let culprit = finding.culprit {
        json.object("culprit") { json in
          json.field("event", words.context.eventNames.name(UInt32(culprit.event)))
          json.field("address", FindingWords.hex(words.redaction.address(culprit.address)))
          json.field("bytes", culprit.byteCount)
          json.field("direction", FindingWords.direction(culprit.direction))
          add(culprit.origin, &json)
        }
      }
      if let mapping = finding.mapping {
        json.object("mapping") { json in
          json.field("kind", FindingWords.family(mapping.family))
          json.field("busAddress", FindingWords.hex(words.redaction.address(mapping.dmaAddress)))
          json.field("bytes", mapping.byteCount)
          json.field("direction", FindingWords.direction(mapping.direction))
          add(mapping.origin, &json)
        }
      }
      if let released = finding.released {
        json.object("firstReleased") { add(released, &$0) }
      }
      json.field("repeats", finding.repeats)
      json.array("consequences") { json in
        for consequence in finding.consequences { add(consequence, &json) }
      }
    }
  }

  private mutating func add(_ origin: TraceOrigin, _ json: inout JSONText) {
    json.field("line", origin.line)
    if report.trace.isTimed { json.field("nanoseconds", origin.time) }
    if origin.cpu != .max { json.field("cpu", origin.cpu) }
    if origin.task >= 0 {
      json.field("pid", origin.task)
      json.field(
        "task", words.redaction.name(words.context.tasks.name(origin.taskName), as: "task"))
    }
    let stack = words.stack(origin)
    if !stack.isEmpty {
      json.array("stack") { json in
        for frame in stack { json.element(frame) }
      }
    }
  }

  private func addTrace(_ json: inout JSONText) {
    let trace = report.trace
    json.field("file", trace.path)
    json.field("form", trace.form.rawValue)
    json.field("lines", trace.lines)
    json.field("events", trace.events)
    json.object("counts") { json in
      for (name, count) in trace.eventCounts { json.field(name, count) }
    }
    json.field("skippedEvents", trace.skippedEvents)
    json.field("badLines", trace.badLines)
    json.array("firstBadLines") { json in
      for line in trace.firstBadLines { json.element(line) }
    }
    json.field("lossMarks", trace.lossMarks)
    json.field("lostEvents", trace.lostEvents)
    json.field("nullFrees", trace.nullFrees)
    json.field("truncatedLists", trace.truncatedLists)
    json.field("hasSyncEvents", trace.hasSyncEvents)
    json.field("assumesNoLoss", trace.lossMarks == 0)
  }

  private func addUnknown(_ json: inout JSONText) {
    let unknown = report.unknown
    json.field("releases", unknown.releases)
    json.field("syncs", unknown.syncs)
    json.field("mismatches", unknown.mismatches)
    json.field("longLists", unknown.longLists)
    json.field("undecodableLists", unknown.undecodable)
    json.field("olderThanLoss", unknown.olderThanLoss)
    json.field("withdrawnByLoss", unknown.withdrawnByLoss)
    json.field("withdrawnAsPartial", unknown.withdrawnAsPartial)
  }

  private mutating func add(_ device: DeviceSummary, _ json: inout JSONText) {
    let state = device.state
    json.object { json in
      json.field("device", words.deviceName(device.name))
      json.object("mapped") { json in
        let all = [
          ("BIDIRECTIONAL", state.calls.0, state.bytes.0),
          ("TO_DEVICE", state.calls.1, state.bytes.1),
          ("FROM_DEVICE", state.calls.2, state.bytes.2), ("NONE", state.calls.3, state.bytes.3),
        ]
        for (name, calls, bytes) in all where calls > 0 {
          json.object(name) { json in
            json.field("calls", calls)
            json.field("bytes", bytes)
          }
        }
      }
      json.field("allocations", state.allocations)
      json.field("allocatedBytes", state.allocatedBytes)
      json.field("bouncedCalls", state.bouncedCalls)
      json.field("bouncedBytes", state.bouncedBytes)
      json.field("failedCalls", state.failedCalls)
      json.field("peakLive", state.peakCount)
      json.field("peakLiveBytes", state.peakBytes)
      json.field("liveAtEnd", state.liveCount)
      json.field("liveBytesAtEnd", state.liveBytes)
      json.field("oldestLiveNanoseconds", device.oldestAge)
      json.field("grows", device.grows)
    }
  }
}
