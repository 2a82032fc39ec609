import DMA
import DMAChecker
import DMAMapping
import Glibc
import GuardPages
import PCI
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

/// Memory that a device owns is out of the CPU's reach: who touches it is named.
@Suite(.serialized) struct GuardPagesTests {
  /// A machine with a probe device behind a guarded mapping.
  final class Bench {
    let machine: SimulatedMachine
    let probe = ProbeDevice()
    let card: PCIDevice
    let guardPages: GuardPages
    let checker: DMAChecker
    private let kept: [Any]
    private let found = Storage()

    final class Storage: Sendable { let findings = Mutex<[Finding]>([]) }

    init(_ setup: Setup, isCoherent: Bool = true) throws {
      machine = try setup.machine(isCoherent: isCoherent, isGuarded: true)
      let place = try machine.attach(probe)
      let (mapping, kept) = try setup.mapping(machine, requester: UInt16(place.packed))
      self.kept = kept
      checker = DMAChecker { [found] finding in found.findings.withLock { $0.append(finding) } }
      guardPages = try GuardPages(addresses: machine.linearAddresses, checker: checker)
      card = try PCIDevice(
        host: machine.pci, address: place, mapping: guardPages.guarding(mapping))
      card.enableBusMastering()
      checker.attach(to: card.dma)
    }

    var device: DMADevice { card.dma }
    var findings: [Finding] {
      guardPages.report()
      return found.findings.withLock { $0 }
    }

    func page() throws -> UInt {
      let core = unsafe machine.platform.unsafeCore
      var numbers = DMAStatusNumbers()
      let status = unsafe numbers.withWords {
        unsafe core.pointee.operations.allocatePages(
          core.pointee.context, 4096, 4096, 0xffff_ffff, 0, $0)
      }
      try #require(status == .success)
      return UInt(numbers.first)
    }

    func map(
      _ cpuAddress: UInt, _ byteCount: Int, _ direction: DMADirection, line: UInt32 = #line
    ) throws -> DMAAddress {
      try device.mapSingle(
        cpuAddress: cpuAddress, byteCount: byteCount, direction: direction,
        site: CallSite(#fileID, line))
    }

    func unmap(_ address: DMAAddress, _ byteCount: Int, _ direction: DMADirection) throws {
      try device.unmapSingle(
        address, byteCount: byteCount, direction: direction, site: CallSite(#fileID, #line))
    }

    func sync(
      _ address: DMAAddress, _ byteCount: Int, _ direction: DMADirection, forCPU: Bool
    ) throws {
      try device.syncSingle(
        address, byteCount: byteCount, direction: direction, forCPU: forCPU,
        site: CallSite(#fileID, #line))
    }
  }

  /// One load that the optimiser keeps.
  @inline(never)
  private func load(_ address: UInt) -> UInt8 { UInt8.volatileLoad(at: address) }

  @inline(never)
  private func store(_ value: UInt8, at address: UInt) {
    UInt8.volatileStore(value, at: address)
  }

  /// A program that maps at the line that it gives back, and then touches memory.
  typealias TouchProgram = @Sendable (Bench) throws -> UInt32

  /// Programs that touch what the device owns, each in another way.
  static let breakers: [(name: String, run: TouchProgram)] = [
    (
      "a look at what the device fills",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page, 64, .fromDevice, line: 1001)
        _ = UInt8.volatileLoad(at: page + 63)
        try bench.unmap(x, 64, .fromDevice)
        return 1001
      }
    ),
    (
      "a store into what the device reads",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page + 100, 1000, .toDevice, line: 1002)
        UInt8.volatileStore(1, at: page + 100)
        try bench.unmap(x, 1000, .toDevice)
        return 1002
      }
    ),
    (
      "a store after the memory was handed back",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page, 64, .bidirectional, line: 1003)
        try bench.sync(x, 64, .bidirectional, forCPU: true)
        UInt8.volatileStore(1, at: page)
        try bench.sync(x, 64, .bidirectional, forCPU: false)
        UInt8.volatileStore(2, at: page)
        try bench.unmap(x, 64, .bidirectional)
        return 1003
      }
    ),
  ]

  /// Programs that just do not.
  static let misses: [(name: String, run: TouchProgram)] = [
    (
      "a look at what the device reads",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page, 64, .toDevice)
        _ = UInt8.volatileLoad(at: page)
        try bench.unmap(x, 64, .toDevice)
        return 0
      }
    ),
    (
      "stores before the map and after the unmap",
      { bench in
        let page = try bench.page()
        UInt8.volatileStore(1, at: page)
        let x = try bench.map(page, 4096, .fromDevice)
        try bench.unmap(x, 4096, .fromDevice)
        UInt8.volatileStore(2, at: page + 4095)
        return 0
      }
    ),
    (
      "stores between the syncs",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page, 64, .bidirectional)
        try bench.sync(x, 64, .bidirectional, forCPU: true)
        UInt8.volatileStore(1, at: page)
        try bench.sync(x, 64, .bidirectional, forCPU: false)
        try bench.unmap(x, 64, .bidirectional)
        return 0
      }
    ),
    (
      "the bytes beside a mapping",
      { bench in
        let page = try bench.page()
        let x = try bench.map(page + 64, 64, .fromDevice)
        UInt8.volatileStore(1, at: page + 63)
        UInt8.volatileStore(1, at: page + 128)
        try bench.unmap(x, 64, .fromDevice)
        return 0
      }
    ),
  ]

  @Test(arguments: Setup.allCases, breakers.indices)
  func `a touch of mapped memory is found, with the line of the map`(
    setup: Setup, index: Int
  ) throws {
    let bench = try Bench(setup)
    let line = try Self.breakers[index].run(bench)
    let name = Self.breakers[index].name
    #expect(bench.findings.map(\.rule) == [.cpuTouchedMapped], "\(name)")
    let site = try #require(bench.findings.first?.mapping?.site, "\(name)")
    #expect(site.line == line && site.description.hasPrefix("DMACheckerTests/"), "\(name)")
    #expect(bench.findings.first?.touch?.place.isEmpty == false)
  }

  @Test(arguments: Setup.allCases, misses.indices)
  func `what is not the device's may be touched`(setup: Setup, index: Int) throws {
    let bench = try Bench(setup)
    _ = try Self.misses[index].run(bench)
    #expect(bench.findings.isEmpty, "\(Self.misses[index].name)")
  }

  @Test(arguments: Setup.allCases)
  func `a read of what the device fills is found, and the program goes on`(setup: Setup) throws {
    let bench = try Bench(setup)
    let page = try bench.page()
    let x = try bench.map(page + 16, 64, .fromDevice)
    #expect(bench.probe.write(x.rawValue, [7]))
    #expect(bench.findings.isEmpty)
    _ = load(page + 20)
    let findings = bench.findings
    #expect(findings.map(\.rule) == [.cpuTouchedMapped])
    let touch = try #require(findings.first?.touch)
    #expect(touch.offset == 4 && !touch.isWrite)
    #expect(findings.first?.mapping?.byteCount == 64)
    #expect(findings.first?.text().contains("cpu-touch-while-mapped") == true)
    try bench.unmap(x, 64, .fromDevice)
    // What the device wrote arrived, and the memory is the CPU's again.
    #expect(load(page + 16) == 7)
    store(1, at: page + 17)
    #expect(bench.findings.count == 1)
  }

  @Test(arguments: Setup.allCases)
  func `between the syncs, and after the unmap, the CPU may touch it`(setup: Setup) throws {
    let bench = try Bench(setup, isCoherent: false)
    let page = try bench.page()
    let x = try bench.map(page, 4096, .bidirectional)
    try bench.sync(x, 4096, .bidirectional, forCPU: true)
    store(load(page) &+ 1, at: page + 5)
    try bench.sync(x, 4096, .bidirectional, forCPU: false)
    #expect(bench.findings.isEmpty)
    store(9, at: page + 4095)
    #expect(bench.findings.map(\.rule) == [.cpuTouchedMapped])
    try bench.unmap(x, 4096, .bidirectional)
    store(9, at: page)
    #expect(bench.findings.count == 1)
  }

  @Test func `R77 what the device only reads may be read, not written`() throws {
    let bench = try Bench(.direct)
    let page = try bench.page()
    let x = try bench.map(page, 100, .toDevice)
    _ = load(page)
    #expect(bench.findings.isEmpty)
    store(1, at: page + 99)
    let touch = try #require(bench.findings.first?.touch)
    #expect(touch.isWrite && touch.offset == 99)
    try bench.unmap(x, 100, .toDevice)
  }

  @Test func `a neighbour on the page is let through`() throws {
    let bench = try Bench(.direct)
    let page = try bench.page()
    let x = try bench.map(page + 128, 64, .fromDevice)
    store(5, at: page)
    _ = load(page + 192)
    #expect(bench.findings.isEmpty)
    try bench.unmap(x, 64, .fromDevice)
    #expect(load(page) == 5)
  }

  @Test func `what the device only reads may be read beside what it fills`() throws {
    let bench = try Bench(.direct)
    let page = try bench.page()
    let filled = try bench.map(page, 64, .fromDevice)
    let read = try bench.map(page + 128, 64, .toDevice)
    _ = load(page + 130)
    #expect(bench.findings.isEmpty)
    try bench.unmap(read, 64, .toDevice)
    let written = try bench.map(page + 128, 64, .toDevice)
    store(1, at: page + 130)
    #expect(bench.findings.map(\.rule) == [.cpuTouchedMapped])
    try bench.unmap(written, 64, .toDevice)
    try bench.unmap(filled, 64, .fromDevice)
  }

  @Test(arguments: Setup.allCases)
  func `an entry of a list is closed like a region`(setup: Setup) throws {
    let bench = try Bench(setup)
    let pages = [try bench.page(), try bench.page()]
    let list = ScatterList(
      try pages.map { try bench.device.scatterEntry(cpuAddress: $0, byteCount: 4096) })
    let site = CallSite(#fileID, #line)
    _ = try unsafe bench.device.mapScatter(list.entries, direction: .fromDevice, site: site)
    _ = load(pages[1] + 8)
    #expect(bench.findings.map(\.rule) == [.cpuTouchedMapped])
    #expect(bench.findings.first?.mapping?.family == .scatter)
    try unsafe bench.device.unmapScatter(
      list.entries, count: 2, direction: .fromDevice, site: site)
    _ = load(pages[0])
    #expect(bench.findings.count == 1)
  }

  @Test func `the place is the instruction that touched it`() throws {
    let bench = try Bench(.direct)
    let page = try bench.page()
    let x = try bench.map(page, 64, .fromDevice)
    _ = load(page)
    let place = try #require(bench.findings.first?.touch?.place)
    try bench.unmap(x, 64, .fromDevice)
    // name+0xoffset, perhaps with a function.
    let name = try #require(place.split(separator: " ").first)
    let parts = name.split(separator: "+")
    #expect(parts.count == 2 && parts[1].hasPrefix("0x"))
    guard let symbolizer = runProgram(["which", "llvm-symbolizer"]), symbolizer.status == 0 else {
      print("skipped: llvm-symbolizer is missing: the place is not looked up")
      return
    }
    let maps = try #require(runProgram(["cat", "/proc/\(getpid())/maps"]))
    let path = maps.output.split(separator: "\n").compactMap {
      $0.split(separator: " ").last.map(String.init)
    }.first { $0.hasSuffix("/" + parts[0]) }
    let file = try #require(path)
    let found = try #require(
      runProgram(["llvm-symbolizer", "--obj=\(file)", "--functions=none", String(parts[1])]))
    #expect(
      found.output.contains("GuardPagesTests.swift") || found.output.contains("dma_support.h"),
      "\(found.output)")
  }

  @Test func `Swift values under guard pages move their bytes`() throws {
    let bench = try Bench(.bounce)
    let buffer = try StreamingBuffer(byteCount: 5000, for: bench.device)
    let mapping = try buffer.map(FromDevice.self, for: bench.device).get()
    #expect(bench.probe.write(mapping.address.rawValue, [1, 2, 3]))
    let seen = mapping.withBytesSyncedForCPU(0..<3) { unsafe $0.unsafeLoad(as: UInt8.self) }
    #expect(seen == 1)
    let back = mapping.unmap()
    let third = unsafe back.bytes.unsafeLoad(fromByteOffset: 2, as: UInt8.self)
    #expect(third == 3)
    #expect(bench.findings.isEmpty)
  }
}
