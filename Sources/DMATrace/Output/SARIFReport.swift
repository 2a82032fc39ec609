import DMA

/// Reports as SARIF 2.1.0, which code-review services show beside the file.
public struct SARIFReport {
  private let reports: [(report: CheckReport, context: TraceContext)]
  private let redact: Bool

  public init(_ reports: [(report: CheckReport, context: TraceContext)], redact: Bool) {
    self.reports = reports
    self.redact = redact
  }

  /// One run with every finding of every report.
  public func text() -> String {
    var json = JSONText()
    json.object { json in
      json.field("$schema", "https://json.schemastore.org/sarif-2.1.0.json")
      json.field("version", "2.1.0")
      json.array("runs") { json in
        json.object { json in
          json.object("tool") { json in
            json.object("driver") { json in
              json.field("name", "dmatool")
              json.array("rules") { json in
                for rule in Rule.allCases { add(rule, &json) }
              }
            }
          }
          json.array("results") { json in
            for (report, context) in reports {
              var words = FindingWords(context: context, trace: report.trace, redact: redact)
              for finding in report.findings { add(finding, report, &words, &json) }
            }
          }
        }
      }
    }
    return json.text + "\n"
  }

  private func add(_ rule: Rule, _ json: inout JSONText) {
    json.object { json in
      json.field("id", rule.rawValue)
      json.object("shortDescription") { $0.field("text", rule.summary) }
      json.object("help") { $0.field("text", rule.advice) }
    }
  }

  private func add(
    _ finding: Finding, _ report: CheckReport, _ words: inout FindingWords,
    _ json: inout JSONText
  ) {
    var message = "\(words.device(finding.device)): \(finding.rule.summary)"
    if let difference = words.difference(finding) { message += ": \(difference)" }
    if let mapping = finding.mapping { message += "; \(words.subject(mapping))" }
    let mapped = finding.mapping.map { words.place($0.origin) }
    json.object { json in
      json.field("ruleId", finding.rule.rawValue)
      json.field("level", "error")
      json.object("message") { $0.field("text", message) }
      json.array("locations") { addLocation(report.trace.path, finding.line, nil, &$0) }
      if let mapping = finding.mapping, finding.culprit != nil {
        json.array("relatedLocations") {
          addLocation(report.trace.path, mapping.origin.line, mapped.map { "mapped at \($0)" }, &$0)
        }
      }
    }
  }

  private func addLocation(
    _ path: String, _ line: UInt64, _ message: String?, _ json: inout JSONText
  ) {
    json.object { json in
      json.object("physicalLocation") { json in
        json.object("artifactLocation") { $0.field("uri", path) }
        json.object("region") { $0.field("startLine", max(line, 1)) }
      }
      if let message { json.object("message") { $0.field("text", message) } }
    }
  }
}
