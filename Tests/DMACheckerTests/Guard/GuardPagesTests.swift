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
  private final class Bench {
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

    func map(_ cpuAddress: UInt, _ byteCount: Int, _ direction: DMADirection) throws
      -> DMAAddress
    {
      try device.mapSingle(
        cpuAddress: cpuAddress, byteCount: byteCount, direction: direction,
        site: CallSite(#fileID, #line))
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
