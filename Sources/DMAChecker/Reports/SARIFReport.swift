internal import DMA

/// Findings as a SARIF 2.1.0 log, which code review tools show at the lines they are about.
public enum SARIFReport {
  /// The whole log, with all rules.
  public static func text(_ findings: [Finding], _ options: ReportOptions = ReportOptions())
    -> String
  {
    var json = JSONText()
    json.open("{")
    json.add("$schema", "https://json.schemastore.org/sarif-2.1.0.json")
    json.add("version", "2.1.0")
    json.open("[", "runs")
    json.open("{")
    json.open("{", "tool")
    json.open("{", "driver")
    json.add("name", "DMAChecker")
    json.open("[", "rules")
    for rule in CheckRule.allCases { add(rule, to: &json) }
    json.close("]")
    json.close("}")
    json.close("}")
    json.open("[", "results")
    for finding in findings { add(finding, options, to: &json) }
    json.close("]")
    json.close("}")
    json.close("]")
    json.close("}")
    return json.text
  }

  private static func add(_ rule: CheckRule, to json: inout JSONText) {
    json.open("{")
    json.add("id", "\(rule.name)")
    json.open("{", "shortDescription")
    json.add("text", "\(rule.summary)")
    json.close("}")
    json.open("{", "help")
    json.add("text", "\(rule.advice)")
    json.close("}")
    json.close("}")
  }

  private static func add(
    _ finding: Finding, _ options: ReportOptions, to json: inout JSONText
  ) {
    json.open("{")
    json.add("ruleId", "\(finding.rule.name)")
    // Rules are written in the order of their raw values, which start at 1.
    json.add("ruleIndex", UInt64(finding.rule.rawValue - 1))
    json.add("level", "error")
    json.open("{", "message")
    json.add("text", finding.text(options))
    json.close("}")
    json.open("[", "locations")
    if let site = finding.site { add(site, nil, to: &json) }
    json.close("]")
    json.open("[", "relatedLocations")
    if let site = finding.mapping?.site { add(site, "the mapping was made here", to: &json) }
    if let site = finding.lastFreed?.site { add(site, "the mapping was made here", to: &json) }
    if let site = finding.lastFreed?.endSite { add(site, "the mapping ended here", to: &json) }
    json.close("]")
    json.close("}")
  }

  private static func add(_ site: CallSite, _ message: String?, to json: inout JSONText) {
    json.open("{")
    json.open("{", "physicalLocation")
    json.open("{", "artifactLocation")
    json.add("uri", Finding.fileName(site))
    json.close("}")
    json.open("{", "region")
    json.add("startLine", UInt64(site.line))
    json.close("}")
    json.close("}")
    if let message {
      json.open("{", "message")
      json.add("text", message)
      json.close("}")
    }
    json.close("}")
  }
}
