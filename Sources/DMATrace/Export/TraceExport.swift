import DMA

/// The forms a trace can be exported in.
///
/// Columns of CSV and keys of JSON Lines are the same and stay as they are: `line`, `time_ns`,
/// `cpu`, `pid`, `task`, `event`, `device`, `direction`, `dma_addr`, `phys_addr`, `bytes`, `nents`,
/// `ents`, `attrs`, `failed`. Addresses are hexadecimal with `0x`; what a source does not tell is
/// empty (CSV) or missing (JSON Lines). For lists `bytes` is the sum of the lengths shown and
/// `dma_addr` the first address.
public enum ExportForm: String, Sendable, CaseIterable {
  /// Chrome's JSON, which Perfetto opens: each mapping an asynchronous pair, live bytes a counter.
  case chrome
  case csv
  /// One JSON object a line.
  case jsonl
  /// Stacks (or tasks) and a weight, for flame graphs.
  case folded
}

/// What a line of folded stacks weighs.
public enum FoldedWeight: String, Sendable, CaseIterable {
  case count, bytes
  /// Bytes times the seconds they were mapped.
  case byteSeconds = "byte-seconds"
}

/// Writes a trace in another form.
public enum TraceExport {
  /// Reads a trace and hands its export over in parts.
  ///
  /// - Parameters:
  ///   - path: the trace.
  ///   - form: what to write.
  ///   - weight: what folded stacks weigh.
  ///   - redact: names and addresses get stable pseudonyms.
  ///   - write: takes each part, in order.
  /// - Throws: `TraceInputError` when the trace cannot be read; parts may have been written by then.
  public static func export(
    _ path: String, as form: ExportForm, weight: FoldedWeight = .bytes, redact: Bool = false,
    write: @escaping (String) -> Void
  ) throws(TraceInputError) {
    let context = TraceContext()
    let reader = TraceReader(context: context)
    let redaction = Redaction(isOn: redact)
    switch form {
    case .csv, .jsonl:
      let sink = RowSink(context: context, form: form, redaction: redaction, write: write)
      try reader.read(path, into: sink)
      sink.finish()
    case .chrome:
      let sink = ChromeSink(context: context, redaction: redaction, write: write)
      try reader.read(path, into: sink)
      sink.finish()
    case .folded:
      let sink = FoldedSink(context: context, weight: weight, redaction: redaction)
      try reader.read(path, into: sink)
      write(sink.text())
    }
  }
}

/// A `dma:*` event's bytes: for lists the sum of the lengths.
func byteCount(of event: TraceEvent, in context: TraceContext) -> UInt64 {
  unsafe event.kind == .mapScatter ? context.lengths(event).reduce(0, &+) : event.byteCount
}

/// Rows: CSV and JSON Lines.
final class RowSink: TraceSink {
  private let context: TraceContext
  private let form: ExportForm
  private var redaction: Redaction
  private let write: (String) -> Void
  private var text = ""

  init(
    context: TraceContext, form: ExportForm, redaction: Redaction,
    write: @escaping (String) -> Void
  ) {
    self.context = context
    self.form = form
    self.redaction = redaction
    self.write = write
    if form == .csv { text = Self.columns.joined(separator: ",") + "\n" }
  }

  static let columns = [
    "line", "time_ns", "cpu", "pid", "task", "event", "device", "direction", "dma_addr",
    "phys_addr", "bytes", "nents", "ents", "attrs", "failed",
  ]

  func attachStack(_ stack: UInt32) {}

  func accept(_ event: inout TraceEvent) {
    guard event.kind != .loss, event.name != 0 else { return }
    let bus =
      unsafe event.known.contains(.dmaAddress)
      ? event.dmaAddress : context.busAddresses(event).first
    let physical =
      unsafe event.known.contains(.physicalAddress)
      ? event.physicalAddress : context.physicalAddresses(event).first
    let isList = event.kind == .mapScatter || event.kind == .unmapScatter
    let values: [String?] = [
      String(event.line),
      event.flags.contains(.timed) ? String(event.time) : nil,
      event.cpu == .max ? nil : String(event.cpu),
      event.task < 0 ? nil : String(event.task),
      event.task < 0 ? nil : redaction.name(context.tasks.name(event.taskName), as: "task"),
      context.eventNames.name(UInt32(event.name)),
      event.device == 0 ? nil : redaction.name(context.devices.name(event.device), as: "device"),
      event.direction < 3 ? FindingWords.direction(event.direction) : nil,
      bus.map { FindingWords.hex(redaction.address($0)) },
      physical.map { FindingWords.hex(redaction.address($0)) },
      event.known.contains(.byteCount) || event.kind == .mapScatter
        ? String(byteCount(of: event, in: context)) : nil,
      isList && event.known.contains(.entryCount) ? String(event.entryCount) : nil,
      isList && event.known.contains(.segmentCount) ? String(event.segmentCount) : nil,
      event.known.contains(.attributes) ? FindingWords.hex(UInt64(event.attributes)) : nil,
      event.flags.contains(.failed) ? "1" : "0",
    ]
    if form == .csv {
      text += values.map { Self.cell($0 ?? "") }.joined(separator: ",")
    } else {
      text += "{"
      var isFirst = true
      for (index, value) in values.enumerated() {
        guard let value else { continue }
        if !isFirst { text += "," }
        isFirst = false
        let isText = [4, 5, 6, 7, 8, 9, 13].contains(index)
        text += "\"\(Self.columns[index])\":" + (isText ? JSONText.quoted(value) : value)
      }
      text += "}"
    }
    text += "\n"
    if text.utf8.count > 1 << 16 { flush() }
  }

  func finish() { flush() }

  private func flush() {
    write(text)
    text.removeAll(keepingCapacity: true)
  }

  /// A CSV cell after RFC 4180.
  private static func cell(_ value: String) -> String {
    guard value.utf8.contains(where: { $0 == 0x2c || $0 == 0x22 || $0 < 0x20 }) else {
      return value
    }
    return "\""
      + value.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }
}
