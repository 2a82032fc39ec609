import DMA
import DMAChecker
import DMAMapping
import Testing

@Suite struct MemoryLimitTests {
  @Test func `the same violation at the same place is told once and counted`() throws {
    let trial = try Trial()
    for _ in 0..<100 {
      let x = try trial.map(trial.page(), 64, .toDevice)
      try trial.unmap(x, 64, .toDevice)
      try? trial.unmap(x, 64, .toDevice, trial.bad())
    }
    #expect(trial.findings.count == 1)
    #expect(trial.checker.violationCount(of: .doubleRelease) == 100)
    #expect(trial.checker.statistics.violationCount == 100)
    // Another place is another finding.
    try? trial.unmap(DMAAddress(rawValue: 0x1000), 64, .toDevice)
    #expect(trial.findings.count == 2)
  }

  @Test func `without memory it forgets, counts that, says so, and accuses nobody`() throws {
    var options = DMAChecker.Options()
    options.memoryLimit = 64 * 256
    let trial = try Trial(options)
    let live = try (0..<1000).map { _ in try trial.map(trial.page(), 64, .fromDevice) }
    let middle = trial.checker.statistics
    #expect(middle.lostMappingCount > 800 && middle.lostMappingCount < 1000)
    #expect(middle.isIncomplete && middle.text.contains("incomplete: \(middle.lostMappingCount)"))
    for x in live {
      _ = trial.probeA.write(x.rawValue, [1])
      try trial.sync(x, 64, .fromDevice, forCPU: true)
      try trial.unmap(x, 64, .fromDevice)
    }
    #expect(trial.findings.isEmpty, "\(trial.findings.map { $0.text() })")
    #expect(trial.checker.statistics.unknownCount >= 3 * middle.lostMappingCount)
    // It is still there: what it knows, it judges.
    let x = try trial.map(trial.page(), 64, .fromDevice)
    try? trial.unmap(x, 63, .fromDevice, trial.bad())
    #expect(trial.findings.map(\.rule) == [.sizeDiffers])
  }

  @Test func `a checker that comes late accuses nobody of what it never saw`() throws {
    let trial = try Trial()
    let late = DMADevice(
      name: "late", platform: trial.platform,
      mapping: DirectMapping.make(for: trial.platform))
    let memory = try late.allocateConsistent(byteCount: 64, site: CallSite(#fileID, #line))
    trial.checker.attach(to: late)
    try trial.free(memory, 64, on: late)
    #expect(trial.findings.isEmpty)
    #expect(trial.checker.statistics.unknownCount == 1)
  }

  @Test func `a free put off in an interrupt is seen when it happens`() throws {
    let trial = try Trial()
    var buffer: CoherentBuffer<UInt32>? = try CoherentBuffer(count: 16, for: trial.a)
    ExecutionContext.withInterrupt { buffer = nil }
    let isGone = buffer == nil
    #expect(isGone)
    // The next call from ordinary code frees it.
    try trial.free(trial.allocate(64), 64)
    trial.a.remove()
    #expect(trial.findings.isEmpty)
  }
}
