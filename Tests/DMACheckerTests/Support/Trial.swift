import DMA
import DMAChecker
import DMAMapping
import PCI
import SimulatedMachine
import Synchronization

/// One driver's program under the checker: two devices on a machine, and what was found.
final class Trial {
  let machine: SimulatedMachine
  let kinds: KindPlatform
  let platform: Platform
  let a: DMADevice
  let b: DMADevice
  let probeA = ProbeDevice()
  let probeB = ProbeDevice()
  let checker: DMAChecker
  /// The line of the call that breaks the rule, once it was made.
  var badLine: UInt32 = 0
  /// What lives as long as the trial.
  var kept: [AnyObject] = []
  private let found = Findings()
  private let cards: [PCIDevice]

  final class Findings: Sendable {
    let list = Mutex<[Finding]>([])
  }

  init(_ options: DMAChecker.Options = .init(), watchingAccesses: Bool = true) throws {
    machine = try SimulatedMachine()
    kinds = KindPlatform(machine.platform)
    platform = kinds.make()
    cards = try [probeA, probeB].map { [machine] probe in
      let card = try PCIDevice(
        host: machine.pci, address: machine.attach(probe),
        mapping: DirectMapping.make(for: machine.platform))
      card.enableBusMastering()
      return card
    }
    let mapping = DirectMapping.make(for: platform)
    a = DMADevice(name: "card A", platform: platform, mapping: mapping)
    b = DMADevice(name: "card B", platform: platform, mapping: mapping)
    checker = DMAChecker(options) { [found] finding in
      found.list.withLock { $0.append(finding) }
    }
    checker.attach(to: a)
    checker.attach(to: b)
    if watchingAccesses { watch() }
  }

  private func watch() {
    let first = cards[0].address
    machine.setAccessObserver { [checker, a, b] access in
      checker.reportAccess(
        access.requester == first ? a : b, address: DMAAddress(rawValue: access.address),
        byteCount: access.byteCount, isWrite: access.isWrite)
    }
    machine.setIncidentObserver { [checker, a, b] incident in
      let reason: FaultReason =
        switch incident.reason {
        case .busMasterOff: .notBusMaster
        case .noMemory: .noMemory
        case .translationFault, .staleTranslation: .notMapped
        case .clamped, .outOfDeviceRange, .injectedFault: .other
        }
      checker.reportFault(
        incident.requester == first ? a : b, address: DMAAddress(rawValue: incident.address),
        byteCount: incident.byteCount, isWrite: incident.isWrite, reason: reason)
    }
  }

  deinit {
    machine.setAccessObserver(nil)
    machine.setIncidentObserver(nil)
  }

  /// What was found so far.
  var findings: [Finding] { found.list.withLock { $0 } }

  func stopMastering() { cards[0].disableBusMastering() }

  /// Marks the calling line as the one that breaks the rule.
  func bad(_ file: StaticString = #fileID, _ line: UInt32 = #line) -> CallSite {
    badLine = line
    return CallSite(file, line)
  }

  /// Pages from the machine, by CPU address.
  func page(_ byteCount: Int = 4096, high: Bool = false) -> UInt {
    let core = unsafe platform.unsafeCore
    var numbers = DMAStatusNumbers()
    let status = unsafe numbers.withWords {
      unsafe core.pointee.operations.allocatePages(
        core.pointee.context, (byteCount + 4095) & ~4095, 4096, high ? .max : 0xffff_ffff,
        high ? PageOptions.high.rawValue : 0, $0)
    }
    precondition(status == .success)
    return UInt(numbers.first)
  }

  /// An address of memory of a kind that may not be mapped.
  func area(_ kind: MemoryKind) -> UInt {
    let start = page()
    kinds.kinds.append((start, 4096, kind))
    return start
  }

  func store(_ cpuAddress: UInt, _ value: UInt8) {
    unsafe UnsafeMutablePointer<UInt8>(bitPattern: cpuAddress)?.pointee = value
  }

  func load(_ cpuAddress: UInt) -> UInt8? {
    unsafe UnsafePointer<UInt8>(bitPattern: cpuAddress)?.pointee
  }

  /// Frees a streaming mapping as if it were coherent memory.
  func freeStreaming(_ address: DMAAddress, _ byteCount: Int) throws {
    try unsafe a.freeConsistent(
      byteCount: byteCount, cpuAddress: nil, address: address, site: CallSite(#fileID, #line))
  }

  // MARK: Calls, with the calling line as their place

  func map(
    _ cpuAddress: UInt, _ byteCount: Int, _ direction: DMADirection, on device: DMADevice? = nil,
    checked: Bool? = nil, _ site: CallSite? = nil, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws -> DMAAddress {
    let site = site ?? CallSite(file, line)
    let device = device ?? a
    let address = try device.mapSingle(
      cpuAddress: cpuAddress, byteCount: byteCount, direction: direction,
      isErrorCheckExpected: checked != nil, site: site)
    if checked == true { device.noteErrorCheck(address, site: site) }
    return address
  }

  func unmap(
    _ address: DMAAddress, _ byteCount: Int, _ direction: DMADirection,
    on device: DMADevice? = nil, _ site: CallSite? = nil, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws {
    try (device ?? a).unmapSingle(
      address, byteCount: byteCount, direction: direction, site: site ?? CallSite(file, line))
  }

  func sync(
    _ address: DMAAddress, _ byteCount: Int, _ direction: DMADirection, forCPU: Bool,
    on device: DMADevice? = nil, _ site: CallSite? = nil, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws {
    try (device ?? a).syncSingle(
      address, byteCount: byteCount, direction: direction, forCPU: forCPU,
      site: site ?? CallSite(file, line))
  }

  func allocate(_ byteCount: Int, _ site: CallSite? = nil, line: UInt32 = #line) throws
    -> CoherentMemory
  {
    try a.allocateConsistent(byteCount: byteCount, site: site ?? CallSite(#fileID, line))
  }

  func free(
    _ memory: CoherentMemory, _ byteCount: Int, offset: Int = 0, on device: DMADevice? = nil,
    _ site: CallSite? = nil, line: UInt32 = #line
  ) throws {
    try unsafe (device ?? a).freeConsistent(
      byteCount: byteCount, cpuAddress: memory.cpuAddress + offset, address: memory.address,
      site: site ?? CallSite(#fileID, line))
  }

  /// A list over pages of its own, each `byteCount` long.
  func list(_ count: Int, _ byteCount: Int = 4096) throws -> ScatterList {
    try ScatterList(
      (0..<count).map { _ in
        try a.scatterEntry(cpuAddress: page(byteCount), byteCount: byteCount)
      })
  }

  func map(
    _ list: ScatterList, _ direction: DMADirection, _ site: CallSite? = nil, line: UInt32 = #line
  ) throws {
    _ = try unsafe a.mapScatter(
      list.entries, direction: direction, site: site ?? CallSite(#fileID, line))
  }

  func unmap(
    _ list: ScatterList, _ direction: DMADirection, count: Int? = nil, on device: DMADevice? = nil,
    _ site: CallSite? = nil, line: UInt32 = #line
  ) throws {
    try unsafe (device ?? a).unmapScatter(
      list.entries, count: count ?? list.entries.count, direction: direction,
      site: site ?? CallSite(#fileID, line))
  }

  func sync(
    _ list: ScatterList, _ direction: DMADirection, forCPU: Bool, count: Int? = nil,
    _ site: CallSite? = nil, line: UInt32 = #line
  ) throws {
    try unsafe a.syncScatter(
      list.entries, count: count ?? list.entries.count, direction: direction, forCPU: forCPU,
      site: site ?? CallSite(#fileID, line))
  }
}

/// The entries of a scatter list, which stay where they are.
@safe
final class ScatterList {
  let entries: UnsafeMutableBufferPointer<ScatterEntry>

  init(_ entries: [ScatterEntry]) {
    unsafe self.entries = .allocate(capacity: entries.count)
    _ = unsafe self.entries.initialize(from: entries)
  }

  deinit { unsafe entries.deallocate() }
}

/// A program, and the rule that it breaks or just does not.
struct Program: Sendable, CustomStringConvertible {
  let rule: CheckRule
  let name: String
  let options: DMAChecker.Options
  /// Rules that the program breaks before this one: eight mappings of a line are two first.
  let before: [CheckRule]
  let run: @Sendable (Trial) throws -> Void

  init(
    _ rule: CheckRule, _ name: String, hashing: Bool = false, after before: [CheckRule] = [],
    _ run: @escaping @Sendable (Trial) throws -> Void
  ) {
    self.rule = rule
    self.name = name
    self.before = before
    var options = DMAChecker.Options()
    options.hashesContent = hashing
    self.options = options
    self.run = run
  }

  var description: String { "\(rule.name): \(name)" }
}
