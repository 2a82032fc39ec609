import DMA
import DMAChecker
import Testing

/// The calls by handle, as the C interface will have them.
@Suite struct ClassicCallTests {
  @Test func `R84 R85 R97 mapped by CPU address, synced and unmapped by handle`() throws {
    let trial = try Trial()
    let p = trial.page()
    let x = try trial.map(p + 100, 50, .bidirectional)
    #expect(trial.a.liveClassicCount == 1)
    #expect(trial.probeA.write(x.rawValue, [7]))
    try trial.sync(x, 50, .bidirectional, forCPU: true)
    #expect(trial.load(p + 100) == 7)
    try trial.sync(x, 50, .bidirectional, forCPU: false)
    try trial.unmap(x, 50, .bidirectional)
    #expect(trial.a.liveClassicCount == 0 && trial.findings.isEmpty)
  }

  @Test func `R83 R92 a list by its entries, beside single regions`() throws {
    let trial = try Trial()
    let list = try trial.list(5, 300)
    let x = try trial.map(trial.page(), 300, .fromDevice)
    try trial.map(list, .fromDevice)
    #expect(trial.a.liveClassicCount == 2)
    try trial.unmap(x, 300, .fromDevice)
    try trial.unmap(list, .fromDevice)
    #expect(trial.a.liveClassicCount == 0 && trial.findings.isEmpty)
  }

  @Test func `R99 R100 no sync is needed between map and unmap`() throws {
    let trial = try Trial()
    let p = trial.page()
    let x = try trial.map(p, 8, .fromDevice)
    #expect(trial.probeA.write(x.rawValue, [1, 2]))
    try trial.unmap(x, 8, .fromDevice)
    #expect(trial.load(p + 1) == 2)
    #expect(trial.findings.isEmpty)
  }

  @Test func `a refused call leaves the mapping as it was, and names what differs`() throws {
    let trial = try Trial()
    let x = try trial.map(trial.page(), 64, .toDevice)
    #expect(throws: DMAError.wrongSize(expected: 64, given: 65)) {
      try trial.unmap(x, 65, .toDevice)
    }
    #expect(throws: DMAError.wrongDirection(expected: .toDevice, given: .fromDevice)) {
      try trial.unmap(x, 64, .fromDevice)
    }
    #expect(throws: DMAError.wrongDevice) { try trial.unmap(x, 64, .toDevice, on: trial.b) }
    #expect(throws: DMAError.wrongFunction(made: .single, given: .coherent)) {
      try trial.freeStreaming(x, 64)
    }
    #expect(throws: DMAError.outOfBounds(offset: 60, byteCount: 5, limit: 64)) {
      try trial.sync(x.advanced(by: 60), 5, .toDevice, forCPU: false)
    }
    #expect(throws: DMAError.emptyRequest) { try trial.sync(x, 0, .toDevice, forCPU: false) }
    #expect(trial.a.liveClassicCount == 1)
    try trial.unmap(x, 64, .toDevice)
    #expect(throws: DMAError.notMapped(x)) { try trial.unmap(x, 64, .toDevice) }
    let list = try trial.list(3)
    try trial.map(list, .toDevice)
    #expect(throws: DMAError.wrongEntryCount(expected: 3, given: 2)) {
      try trial.unmap(list, .toDevice, count: 2)
    }
    try trial.unmap(list, .toDevice)
  }
}
