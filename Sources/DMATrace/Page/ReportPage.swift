import DMA

/// A trace as one page: self-contained, offline, for light and dark screens and phones.
public enum ReportPage {
  /// Reads a trace and makes its page.
  ///
  /// - Parameters:
  ///   - path: the trace.
  ///   - options: what the user knows about it.
  ///   - redact: names and addresses get stable pseudonyms.
  /// - Throws: `TraceInputError` when the trace cannot be read.
  public static func html(_ path: String, options: CheckOptions, redact: Bool)
    throws(TraceInputError) -> String
  {
    let context = TraceContext()
    let sink = PageSink(context: context, options: options)
    try TraceReader(context: context).read(path, into: sink)
    sink.check.finish()
    let report = sink.check.report(path: redact ? "a trace" : path)
    var page = PageText(
      sink: sink, report: report,
      words: FindingWords(context: context, trace: report.trace, redact: redact),
      poolSlots: options.limits.poolSlots)
    return page.html()
  }

  /// Text as HTML takes it.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}

/// The page's parts.
private struct PageText {
  let sink: PageSink
  let report: CheckReport
  var words: FindingWords
  /// Slots of the bounce pool, where the machine's facts say so.
  let poolSlots: Int?
  private static let steps = 160

  init(sink: PageSink, report: CheckReport, words: FindingWords, poolSlots: Int?) {
    self.poolSlots = poolSlots
    self.sink = sink
    self.report = report
    self.words = words
  }

  mutating func html() -> String {
    let title = ReportPage.escaped("DMA of \(report.trace.path)")
    var body = "<h1>\(title)</h1>" + overview() + findings()
    for (number, picture) in sink.devices.sorted(by: { $0.key < $1.key }) {
      body += section(number, picture)
    }
    body += pool() + tasks() + churn() + reading()
    return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
      + "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      + "<title>\(title)</title><style>\(Self.style)</style></head><body><main>\(body)"
      + "</main></body></html>\n"
  }

  private func overview() -> String {
    let trace = report.trace
    let length = trace.lastTime >= trace.firstTime ? trace.lastTime - trace.firstTime : 0
    let tiles = [
      ("\(report.findings.count)", report.findings.count == 1 ? "finding" : "findings"),
      (PageCharts.short(Double(trace.events)), "events"),
      ("\(sink.devices.count)", sink.devices.count == 1 ? "device" : "devices"),
      (trace.isTimed ? FindingWords.seconds(length) : "–", "seconds"),
      ("\(trace.lossMarks)", "losses"),
    ]
    return "<div class=\"tiles\">"
      + tiles.map { "<div><b>\($0.0)</b>\($0.1)</div>" }.joined() + "</div>"
  }

  private mutating func findings() -> String {
    guard !report.findings.isEmpty else { return "<p class=\"good\">No misuse found.</p>" }
    var text = "<h2>Findings</h2><ol>"
    for finding in report.findings { text += "<li>\(item(finding))</li>" }
    return text + "</ol>"
  }

  private mutating func item(_ finding: Finding) -> String {
    var text = "<strong>\(ReportPage.escaped(words.device(finding.device)))</strong>: "
    text += ReportPage.escaped(finding.rule.summary)
    if let difference = words.difference(finding) {
      text += "<br>\(ReportPage.escaped(difference))"
    }
    if let culprit = finding.culprit {
      text +=
        "<br>by \(ReportPage.escaped(words.call(culprit))), "
        + ReportPage.escaped(words.place(culprit.origin))
    }
    if let mapping = finding.mapping {
      text +=
        "<br>mapped: \(ReportPage.escaped(words.subject(mapping))), "
        + ReportPage.escaped(words.place(mapping.origin))
    }
    if finding.repeats > 0 { text += "<br>\(finding.repeats) more like it" }
    for consequence in finding.consequences {
      text += "<br>and so: \(ReportPage.escaped(consequence.rule.summary))"
    }
    return text + "<br><em>\(ReportPage.escaped(finding.rule.advice))</em>"
  }

  private mutating func section(_ number: UInt32, _ picture: PageSink.DevicePicture) -> String {
    let device = words.device(number)
    let from = sink.span.map { FindingWords.seconds($0.first) + " s" } ?? ""
    let to = sink.span.map { FindingWords.seconds($0.last) + " s" } ?? ""
    var text = "<section><h2>\(ReportPage.escaped(device))</h2><div class=\"charts\">"
    text += PageCharts.lines(
      "Bytes mapped over time",
      [
        ("to the device", sums(picture.mapped[1])), ("from it", sums(picture.mapped[2])),
        ("both ways", sums(picture.mapped[0])),
      ], from: from, to: to)
    text += PageCharts.lines(
      "Live mappings",
      [("mappings", levels(picture.live.map { ($0.time, Double($0.count)) }))], from: from, to: to)
    text += PageCharts.lines(
      "Live bytes", [("bytes", levels(picture.live.map { ($0.time, Double($0.bytes)) }))],
      from: from, to: to)
    text += PageCharts.bars("Lifetimes", picture.lifetimes, unit: "µs")
    text += PageCharts.bars("Sizes of mappings", picture.sizes, unit: "bytes")
    text += busRange(picture)
    if !picture.bounced.isEmpty {
      text += PageCharts.lines(
        "Bytes bounced, added up",
        [("bytes", levels(picture.bounced.map { ($0.time, Double($0.bytes)) }))], from: from,
        to: to)
    }
    return text + "</div></section>"
  }

  /// The bounce pool against its limit.
  private func pool() -> String {
    let pool = sink.pool
    guard pool.peak > 0 else { return "" }
    let slots = poolSlots ?? BouncePool.usualSlots
    let from = sink.span.map { FindingWords.seconds($0.first) + " s" } ?? ""
    let to = sink.span.map { FindingWords.seconds($0.last) + " s" } ?? ""
    let percent = Double(pool.peak) / Double(max(slots, 1)) * 100
    let source = poolSlots == nil ? " (Linux's usual 64 MiB; the trace does not tell)" : ""
    return "<section><h2>Bounce pool</h2><p>At the peak \(pool.peak) of \(slots) slots of 2 KiB "
      + "were in use\(source): \(PageCharts.short(percent)) %. The longest piece had "
      + "\(pool.longest) bytes; none can have more than \(BouncePool.longestPiece), however empty "
      + "the pool is.</p><div class=\"charts\">"
      + PageCharts.lines(
        "Slots in use",
        [("slots", levels(pool.used.map { ($0.time, Double($0.slots)) }))], from: from, to: to,
        limit: (Double(slots), "the pool's \(slots)"))
      + "</div></section>"
  }

  /// The bus addresses a device used, between the lowest and the highest.
  private mutating func busRange(_ picture: PageSink.DevicePicture) -> String {
    guard let low = picture.busPages.keys.min(), let high = picture.busPages.keys.max(), high > low
    else { return "" }
    var cells = [Int](repeating: 0, count: 128)
    for (page, count) in picture.busPages {
      cells[Int((page - low) * 127 / (high - low))] += count
    }
    let used = picture.busPages.count
    let percent = Double(used) / Double(high - low + 1) * 100
    return PageCharts.strip(
      "Bus addresses: \(used) pages used, \(PageCharts.short(percent)) % of their range", cells,
      from: words.redaction.isOn ? "lowest" : FindingWords.hex(low << 12),
      to: words.redaction.isOn ? "highest" : FindingWords.hex(high << 12))
  }

  /// Sums in equal steps of time.
  private func sums(_ points: [(time: UInt64, bytes: UInt64)]) -> [Double] {
    var result = [Double](repeating: 0, count: Self.steps)
    for point in points { result[step(point.time)] += Double(point.bytes) }
    return result
  }

  /// The last value of each step, held until the next.
  private func levels(_ points: [(UInt64, Double)]) -> [Double] {
    var result = [Double?](repeating: nil, count: Self.steps)
    for (time, value) in points {
      let at = step(time)
      result[at] = max(result[at] ?? 0, value)
    }
    var last = 0.0
    return result.map { value in
      last = value ?? last
      return last
    }
  }

  private func step(_ time: UInt64) -> Int {
    guard let span = sink.span, span.last > span.first, time >= span.first else { return 0 }
    return Int(
      Double(time - span.first) / Double(span.last - span.first) * Double(Self.steps - 1))
  }

  private mutating func tasks() -> String {
    let top = sink.tasks.sorted { ($0.value.bytes, $0.key) > ($1.value.bytes, $1.key) }.prefix(12)
    guard !top.isEmpty else { return "" }
    var text = "<h2>Tasks that map</h2><table><tr><th>task<th>calls<th>bytes</tr>"
    for (name, use) in top {
      let task = words.redaction.name(sink.context.tasks.name(name), as: "task")
      text += "<tr><td>\(ReportPage.escaped(task))<td>\(use.calls)<td>\(use.bytes)</tr>"
    }
    return text + "</table>"
  }

  private mutating func churn() -> String {
    let top = sink.pages.filter { $0.value > 1 }
      .sorted { ($0.value, $0.key.number) > ($1.value, $1.key.number) }.prefix(12)
    guard !top.isEmpty else { return "" }
    var text = "<h2>Pages mapped again and again</h2><table><tr><th>page<th>device<th>times</tr>"
    for (page, count) in top {
      let address = FindingWords.hex(words.redaction.address(page.number << 12))
      text +=
        "<tr><td>\(address)<td>\(ReportPage.escaped(words.device(page.device)))<td>\(count)</tr>"
    }
    return text + "</table>"
  }

  private func reading() -> String {
    let trace = report.trace
    var text = "<h2>How it was read</h2><p>\(trace.lines) lines, \(trace.events) events, "
    text += "\(trace.form.rawValue). \(trace.badLines) lines could not be read. "
    text += "\(report.unknown.total) things could not be judged."
    if !trace.hasSyncEvents {
      text += " There are no sync events: on a coherent machine without bouncing none are written."
    }
    return text + "</p>"
  }

  private static let style = """
    :root{color-scheme:light dark;--bg:#fff;--fg:#1c1e21;--soft:#667;--line:#dde;--a:#2563c9;\
    --b:#c2410c;--c:#15803d}\
    @media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e6e7ea;--soft:#9aa;--line:#333a;\
    --a:#7aa7f7;--b:#f59e6b;--c:#6bd08f}}\
    body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\
    main{max-width:1100px;margin:0 auto;padding:16px}h1{font-size:1.4em;overflow-wrap:anywhere}\
    .tiles{display:flex;flex-wrap:wrap;gap:12px}.tiles div{border:1px solid var(--line);\
    border-radius:8px;padding:8px 14px;color:var(--soft)}.tiles b{display:block;font-size:1.5em;\
    color:var(--fg)}.charts{display:grid;gap:16px;\
    grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr))}\
    figure{margin:0}figcaption{color:var(--soft)}svg{width:100%;height:auto;display:block}\
    svg text{font-size:11px;fill:var(--soft)}.axis{stroke:var(--line)}\
    polyline{fill:none;stroke-width:1.5}.s0{stroke:var(--a)}.s1{stroke:var(--b)}\
    .s2{stroke:var(--c)}svg .t0{fill:var(--a)}svg .t1{fill:var(--b)}svg .t2{fill:var(--c)}\
    .limit{stroke:var(--b);stroke-dasharray:6 4}svg .limit-text{fill:var(--b)}\
    .b{fill:var(--a)}table{border-collapse:collapse}td,th{text-align:left;padding:2px 14px 2px 0;\
    border-bottom:1px solid var(--line)}li{margin-bottom:10px;overflow-wrap:anywhere}\
    .good{color:var(--c);font-weight:600}\
    @media(max-width:520px){svg text{font-size:18px}}
    """
}
