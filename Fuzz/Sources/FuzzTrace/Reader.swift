import DMATrace

/// What is fuzzed, and what it begins with.
enum Reader: String, CaseIterable {
  case tracefs, latency, fields
  case traceCmd = "trace-cmd"
  case perf, dat6, dat7
  /// The kernel's log, for faults.
  case log
  /// Masks and `/proc/iomem`.
  case limits
  /// The quick count.
  case count

  var corpus: [[UInt8]] {
    switch self {
    case .tracefs, .count: TextCorpus.tracefs.map { Array($0.utf8) }
    case .latency: [Array(TextCorpus.latency.utf8)]
    case .fields: [Array(TextCorpus.fields.utf8)]
    case .traceCmd: [Array(TextCorpus.traceCmd.utf8)]
    case .perf: [Array(TextCorpus.perf.utf8)]
    case .dat6: [DatCorpus.version6]
    case .dat7: [DatCorpus.version7]
    case .log: [Array(TextCorpus.log.utf8)]
    case .limits: [Array(TextCorpus.limits.utf8)]
    }
  }

  /// Runs the reader once; false when it refused the bytes.
  ///
  /// - Parameter isFull: makes the reports, too.
  func run(_ bytes: [UInt8], isFull: Bool) -> Bool {
    switch self {
    case .log:
      _ = FaultLine.all(in: String(decoding: bytes, as: UTF8.self))
      return true
    case .limits:
      var limits = TraceLimits()
      limits.add(String(decoding: bytes, as: UTF8.self))
      return true
    case .count:
      return LeakCount.count(bytes: bytes, threads: isFull ? 2 : 1).events > 0
    default:
      do {
        let (report, context) = try TraceCheck.check(bytes: bytes)
        guard isFull else { return true }
        var text = TextReport(report, context: context, redact: true)
        _ = text.text()
        var json = JSONReport(report, context: context, redact: false)
        _ = json.text()
        return true
      } catch {
        return false
      }
    }
  }
}
