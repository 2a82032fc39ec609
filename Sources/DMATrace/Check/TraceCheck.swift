import DMA

/// Checks traces: the whole way from a file to a report.
public enum TraceCheck {
  /// Reads and checks one trace.
  ///
  /// - Parameters:
  ///   - path: a file in any of the forms the readers know, packed or not; `-` is standard input.
  ///   - options: what the user knows about it.
  ///   - threads: 1, or more to read and check at once; the result is the same.
  /// - Returns: the report, and the context that has the names its numbers mean.
  /// - Throws: `TraceInputError` when the trace cannot be read; trying again helps only where the
  ///   error's system number says so.
  public static func check(
    _ path: String, options: CheckOptions = CheckOptions(), threads: Int = 1
  ) throws(TraceInputError) -> (report: CheckReport, context: TraceContext) {
    let context = TraceContext()
    // Limits of devices are found by name, which only the reader's thread may ask for.
    if threads > 1, options.limits.devices.isEmpty,
      let piped = PipedCheck(context: context, options: options)
    {
      let read = Result { () throws(TraceInputError) in
        try TraceReader(context: context).read(path, into: piped)
      }
      piped.finish()
      try read.get()
      return (piped.report(path: path), context)
    }
    let checker = CheckSink(context: context, options: options)
    try TraceReader(context: context).read(path, into: checker)
    checker.finish()
    return (checker.report(path: path), context)
  }

  /// Reads a trace that is still being written (`trace_pipe`), and tells findings as they come.
  ///
  /// - Parameter tell: gets each finding once, as soon as it depends on nothing to come, in words.
  /// - Returns: the report, when the trace has ended.
  /// - Throws: `TraceInputError`, as `check` does.
  public static func follow(
    _ path: String, options: CheckOptions = CheckOptions(), redact: Bool = false,
    tell: @escaping (String) -> Void
  ) throws(TraceInputError) -> (report: CheckReport, context: TraceContext) {
    let context = TraceContext()
    let checker = CheckSink(context: context, options: options)
    var reader = TraceReader(context: context)
    reader.afterEachRead = {
      let new = checker.newFindings()
      guard !new.isEmpty else { return }
      var trace = TraceSummary()
      trace.isTimed = context.isTimed
      var words = FindingWords(context: context, trace: trace, redact: redact)
      for finding in new { tell(words.sentence(finding)) }
    }
    try reader.read(path, into: checker)
    checker.finish()
    return (checker.report(path: path), context)
  }

  /// Checks several files of one recording, one for each CPU (`per_cpu/cpu*/trace`).
  ///
  /// Lines are counted through all files in the order given.
  ///
  /// - Throws: `TraceInputError`; `.notDecodable` when a file's events carry no times.
  public static func check(
    merging paths: [String], options: CheckOptions = CheckOptions()
  ) throws(TraceInputError) -> (report: CheckReport, context: TraceContext) {
    let context = TraceContext()
    let merger = TraceMerger(context: context)
    for path in paths {
      merger.beginFile()
      try TraceReader(context: context).read(path, into: merger)
      guard context.isTimed else {
        throw .notDecodable(path: path, reason: "events without times cannot be merged")
      }
    }
    let checker = CheckSink(context: context, options: options)
    merger.deliver(into: checker)
    checker.finish()
    return (checker.report(path: paths.joined(separator: ", ")), context)
  }

  /// Counts a trace in the order of its lines, without judging anything.
  ///
  /// - Throws: `TraceInputError`, as `check` does.
  public static func totals(_ path: String) throws(TraceInputError) -> String {
    let context = TraceContext()
    let totals = TraceTotals(context: context)
    try TraceReader(context: context).read(path, into: totals)
    return totals.text()
  }

  /// Reads one trace and hands out its events, put into an order that makes sense where stamps leave
  /// it open.
  ///
  /// - Parameter visit: gets each event, and the context whose numbers and lists it means; the
  ///   lists are good until it returns.
  /// - Throws: `TraceInputError`, as `check` does.
  package static func walk(
    _ path: String, visit: @escaping (TraceEvent, TraceContext) -> Void
  ) throws(TraceInputError) -> TraceContext {
    let context = TraceContext()
    let checker = CheckSink(context: context, options: CheckOptions())
    checker.follow { event in visit(event, context) }
    try TraceReader(context: context).read(path, into: checker)
    checker.finish()
    return context
  }

  /// Checks a trace that is in memory already.
  ///
  /// - Parameters:
  ///   - bytes: the trace's bytes, in any form but packed.
  ///   - options: what the user knows about it.
  /// - Throws: `TraceInputError` for a damaged binary trace, or a text that is no trace.
  public static func check(bytes: [UInt8], options: CheckOptions = CheckOptions())
    throws(TraceInputError) -> (report: CheckReport, context: TraceContext)
  {
    let context = TraceContext()
    let checker = CheckSink(context: context, options: options)
    var padded = bytes
    padded += [UInt8](repeating: 0, count: Bytes.readablePadding)
    let reader = TraceReader(context: context)
    let result = unsafe padded.withUnsafeBufferPointer { padded -> Result<Void, TraceInputError> in
      do throws(TraceInputError) {
        guard let base = padded.baseAddress else { return .success(()) }
        unsafe try reader.readMemory(base, bytes.count, "memory", into: checker)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
    checker.finish()
    return (checker.report(path: "memory"), context)
  }
}
