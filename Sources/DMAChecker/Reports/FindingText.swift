public import DMA

extension Finding {
  /// The place to look at: the call's, or the mapping's where no call did it.
  public var site: CallSite? {
    if rule == .leak { return mapping?.site }
    return call?.site ?? lastFreed?.site ?? mapping?.site
  }

  /// The finding for people: a headline, and a line for each thing known.
  public func text(_ options: ReportOptions = ReportOptions()) -> String {
    let words = FindingWords(options: options)
    var text = site.map { "\($0): " } ?? ""
    text += "\(rule.name): \(device): \(rule.summary)"
    func line(_ name: String, _ value: String?) {
      guard let value else { return }
      text += "\n  " + name
      for _ in name.utf8.count..<10 { text += " " }
      text += value
    }
    if let call {
      line("call", words.call(call) + (call.site.map { " (\($0))" } ?? ""))
    }
    line("access", access.map { words.access($0) })
    if let touch { line("touch", words.touch(touch)) }
    let isNear = access != nil && lastFreed != nil || rule == .deviceUsedUnmapped
    line(isNear ? "nearest" : "mapping", mapping.map { words.subject($0) })
    line("ended", lastFreed.map { words.freed($0) })
    line("left", leak.map { words.leak($0) })
    if !otherDevice.utf8.isEmpty { line("belongs to", otherDevice) }
    line("expected", words.quantity(expected))
    line("seen", words.quantity(seen))
    line("do", "\(rule.advice)")
    if let kernel = rule.kernelWording { line("kernel", "DMA-API: \(kernel)") }
    return text
  }
}

extension DMAChecker.Statistics {
  /// What was seen, in a line; a second one says what was not remembered.
  public var text: String {
    var text =
      violationCount == 0
      ? "no rule broken" : "\(violationCount) broken rules, \(findingCount) different"
    text += "; \(eventCount) events, \(liveCount) live"
    if isIncomplete {
      text += "\nincomplete: \(lostMappingCount) mappings, \(lostSiteCount) places and"
      text += " \(lostFindingCount) findings were not remembered; \(unknownCount) calls or"
      text += " accesses could not be judged"
    }
    return text
  }
}
