import DMA
import DMAChecker
import TestSupport
import Testing

@Suite struct ReportTests {
  /// A finding with most of what there is to say.
  private func sizeFinding() throws -> (Finding, UInt32, UInt32) {
    let trial = try Trial()
    let line = #line as UInt32 + 1
    let x = try trial.map(trial.page(), 640, .toDevice)
    try? trial.unmap(x, 64, .toDevice, trial.bad())
    return (try #require(trial.findings.first), line, trial.badLine)
  }

  @Test func `text names rule, device, call, mapping, expected, seen and what to do`() throws {
    let (finding, mapLine, badLine) = try sizeFinding()
    let text = finding.text()
    let file = "DMACheckerTests/ReportTests.swift"
    for part in [
      "\(file):\(badLine): release-with-different-size: card A:", "made at \(file):\(mapLine)",
      "unmap of 64 bytes at 0x", "single at 0x", "640 bytes, TO_DEVICE", "expected  640 bytes",
      "seen      64 bytes", "store the mapped length",
      "DMA-API: device driver frees DMA memory with different size",
    ] {
      #expect(text.contains(part), "\(part) in:\n\(text)")
    }
  }

  @Test func `host addresses are hidden unless asked for`() throws {
    let trial = try Trial()
    let p = trial.page()
    let x = try trial.map(p, 640, .toDevice)
    try? trial.unmap(x, 64, .toDevice, trial.bad())
    let finding = try #require(trial.findings.first)
    let address = String(p, radix: 16)
    #expect(!finding.text().contains(address) && !finding.json().contains(address))
    var options = ReportOptions()
    options.showsHostAddresses = true
    #expect(finding.text(options).contains(address) && finding.json(options).contains(address))
  }

  @Test func `JSON and SARIF are valid and carry rule and line`() throws {
    let (finding, mapLine, badLine) = try sizeFinding()
    let trial = try Trial()
    _ = try trial.allocate(64, trial.bad())
    trial.checker.finish()
    let leak = try #require(trial.findings.first)
    let program = """
      import json, sys
      one = json.loads(sys.argv[1])
      assert one["rule"] == "release-with-different-size" and one["line"] == \(badLine), one
      assert one["mapping"]["line"] == \(mapLine) and one["mapping"]["bytes"] == 640, one
      assert json.loads(sys.argv[3])["leak"]["count"] == 1
      log = json.loads(sys.argv[2])
      run = log["runs"][0]
      assert log["version"] == "2.1.0"
      rules = run["tool"]["driver"]["rules"]
      assert len(rules) == \(CheckRule.allCases.count)
      result = run["results"][0]
      assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == one["rule"]
      where = result["locations"][0]["physicalLocation"]
      assert where["region"]["startLine"] == \(badLine), where
      print("valid")
      """
    let result = try #require(
      runProgram([
        "python3", "-c", program, finding.json(), SARIFReport.text([finding, leak]), leak.json(),
      ]))
    #expect(result.output == "valid\n", "\(result.output)")
  }

  @Test func `E9 R94 leaks are grouped by place, with count, bytes, age and growth`() throws {
    let trial = try Trial()
    for index in 0..<50 {
      let x = try trial.map(trial.page(), 100, .toDevice, trial.bad())
      if index % 5 != 0 { try trial.unmap(x, 100, .toDevice) }
      for _ in 0..<10 { trial.platform.relax() }
    }
    _ = try trial.allocate(64)
    trial.a.remove()
    let findings = trial.findings
    #expect(findings.map(\.rule) == [.leak, .leak])
    let finding = try #require(findings.first { $0.mapping?.family == .single })
    let leak = try #require(finding.leak)
    #expect(leak.count == 10 && leak.byteCount == 1000 && leak.madeCount == 50)
    #expect(leak.oldestAge > leak.youngestAge && leak.youngestAge > 0)
    #expect((1..<10).contains(leak.recentCount))
    #expect(finding.site?.line == trial.badLine)
    #expect(finding.text().contains("10 mappings, 1000 bytes of 50 that this place made"))
    // Told once: the end of the program has nothing to add.
    trial.checker.finish()
    #expect(trial.findings.count == 2)
  }

  @Test func `a fault names the nearest live and the last freed mapping, and when`() throws {
    let trial = try Trial()
    let p = trial.page(8192)
    let near = try trial.map(p + 4096, 64, .fromDevice)
    let x = try trial.map(p, 64, .fromDevice, trial.bad())
    let endLine = #line as UInt32 + 1
    try trial.unmap(x, 64, .fromDevice)
    for _ in 0..<10 { trial.platform.relax() }
    trial.checker.reportFault(trial.a, address: x, isWrite: true, reason: .notMapped)
    let finding = try #require(trial.findings.first)
    #expect(finding.rule == .deviceUseAfterUnmap)
    #expect(finding.mapping?.address == near.rawValue)
    #expect(finding.lastFreed?.site?.line == trial.badLine)
    #expect(finding.lastFreed?.endSite?.line == endLine)
    #expect((finding.lastFreed?.endAge ?? 0) >= 10_000)
    #expect(finding.text().contains("refused: nothing is mapped there"))
  }

  @Test func `a fault that an IOMMU's driver tells as an event names both mappings, too`() throws {
    let trial = try Trial()
    let p = trial.page(8192)
    let near = try trial.map(p + 4096, 64, .toDevice)
    let x = try trial.map(p, 64, .fromDevice, trial.bad())
    try trial.unmap(x, 64, .fromDevice)
    for _ in 0..<10 { trial.platform.relax() }
    var event = DMAEvent(.fault, family: .none, device: trial.a.id)
    event.dmaAddress = x.rawValue + 8
    event.byteCount = 4
    event.direction = .fromDevice
    event.known = [.dmaAddress, .byteCount, .direction]
    trial.a.tell(event)
    let finding = try #require(trial.findings.first)
    #expect(finding.rule == .deviceUseAfterUnmap)
    #expect(finding.access?.isWrite == true)
    #expect(finding.mapping?.address == near.rawValue)
    #expect(finding.lastFreed?.site?.line == trial.badLine)
    #expect((finding.lastFreed?.endAge ?? 0) >= 10_000)
  }

  @Test func `the table of rules is what the source has`() throws {
    let path = PackageRoot.path + "/Documentation/checker-rules.md"
    let text = try #require(runProgram(["cat", path]))
    try #require(text.status == 0)
    let rows = text.output.split(separator: "\n").filter { $0.hasPrefix("| `") }
      .map { $0.split(separator: "|").map { $0.trimmingSpaces() } }
    #expect(rows.count == CheckRule.allCases.count)
    for (row, rule) in zip(rows, CheckRule.allCases) {
      #expect(row[0] == "`\(rule.name)`")
      #expect(row[1] == "\(rule.summary)")
      #expect(row[2] == (rule.kernelWording.map { "\($0)" } ?? "-"))
      #expect(!row[3].isEmpty)
    }
    // All 23 kinds of the kernel's, two of which our rules tell apart further (see the table).
    let wordings = Set(CheckRule.allCases.compactMap { $0.kernelWording.map { "\($0)" } })
    #expect(wordings.count == 23)
    #expect(Set(CheckRule.allCases.map { "\($0.name)" }).count == CheckRule.allCases.count)
  }
}

extension Substring {
  fileprivate func trimmingSpaces() -> String {
    var text = self
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
