internal import DMA

extension Finding {
  /// The finding as one JSON object on one line.
  public func json(_ options: ReportOptions = ReportOptions()) -> String {
    let words = FindingWords(options: options)
    var json = JSONText()
    json.open("{")
    json.add("rule", "\(rule.name)")
    json.add("summary", "\(rule.summary)")
    json.add("device", device)
    if let site {
      json.add("file", Self.fileName(site))
      json.add("line", UInt64(site.line))
    }
    if let call {
      json.open("{", "call")
      json.add("kind", FindingWords.name(call))
      Self.add(call.site, to: &json)
      if let address = call.address { json.add("address", FindingWords.hex(address)) }
      json.add("bytes", call.byteCount)
      if let direction = call.direction { json.add("direction", direction.description) }
      if call.entryCount > 0 { json.add("entries", UInt64(call.entryCount)) }
      json.close("}")
    }
    if let access {
      json.open("{", "access")
      json.add("address", FindingWords.hex(access.address))
      json.add("bytes", access.byteCount)
      json.add("write", isTrue: access.isWrite)
      json.add("refused", isTrue: access.reason != nil)
      json.close("}")
    }
    if let touch {
      json.open("{", "touch")
      json.add("write", isTrue: touch.isWrite)
      if let offset = touch.offset { json.add("offset", offset) }
      json.add("place", touch.place)
      json.close("}")
    }
    if let mapping { Self.add("mapping", mapping, words, to: &json) }
    if let lastFreed { Self.add("ended", lastFreed, words, to: &json) }
    if let leak {
      json.open("{", "leak")
      json.add("count", UInt64(leak.count))
      json.add("bytes", leak.byteCount)
      json.add("oldest_ns", leak.oldestAge)
      json.add("youngest_ns", leak.youngestAge)
      json.add("recent", UInt64(leak.recentCount))
      json.add("made", leak.madeCount)
      json.close("}")
    }
    if !otherDevice.utf8.isEmpty { json.add("other_device", otherDevice) }
    if let expected = words.quantity(expected) { json.add("expected", expected) }
    if let seen = words.quantity(seen) { json.add("seen", seen) }
    json.add("advice", "\(rule.advice)")
    if let kernel = rule.kernelWording { json.add("kernel", "\(kernel)") }
    json.close("}")
    return json.text
  }

  private static func add(
    _ key: StaticString, _ subject: Subject, _ words: FindingWords, to json: inout JSONText
  ) {
    json.open("{", key)
    json.add("kind", subject.family.description)
    json.add("address", FindingWords.hex(subject.address))
    if words.options.showsHostAddresses {
      json.add("cpu_address", FindingWords.hex(subject.cpuAddress))
    }
    json.add("bytes", subject.byteCount)
    if let direction = subject.direction { json.add("direction", direction.description) }
    if subject.entryCount > 0 { json.add("entries", UInt64(subject.entryCount)) }
    add(subject.site, to: &json)
    json.add("age_ns", subject.age)
    if let site = subject.endSite {
      json.add("end_file", fileName(site))
      json.add("end_line", UInt64(site.line))
      json.add("end_age_ns", subject.endAge)
    }
    json.close("}")
  }

  private static func add(_ site: CallSite?, to json: inout JSONText) {
    guard let site else { return }
    json.add("file", fileName(site))
    json.add("line", UInt64(site.line))
  }

  static func fileName(_ site: CallSite) -> String {
    // SAFETY: the name lives as long as the program.
    unsafe String(decoding: site.fileName, as: UTF8.self)
  }
}
