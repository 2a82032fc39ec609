import DMA
import DMAChecker
import Glibc
import PCI
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

/// Programs without a fault, drawn at random: the checker has nothing to say.
///
/// SWIFT_DMA_CHECK_OPS sets how many operations, shared out among mappings and masks; the
/// target for releases is 10,000,000.
@Suite struct LegalOperationsTests {
  static let operationCount: Int = {
    // SAFETY: getenv's result is read before anything else could change the environment.
    unsafe getenv("SWIFT_DMA_CHECK_OPS").flatMap { unsafe Int(String(cString: $0)) } ?? 200_000
  }()

  private enum Item {
    case region(DMAAddress, cpuAddress: UInt, byteCount: Int, DMADirection, slot: Int)
    case list(ScatterList, DMADirection, slots: [Int])
    case coherent(CoherentMemory, byteCount: Int)
    case block(CoherentMemory)
  }

  /// Masks of which machines.
  static let variants: [(maskBits: Int, isCoherent: Bool)] = [
    (24, true), (28, false), (32, true), (64, false),
  ]

  @Test(arguments: Setup.allCases, variants)
  func `no finding in legal operations`(
    setup: Setup, variant: (maskBits: Int, isCoherent: Bool)
  ) throws {
    let maskBits = variant.maskBits
    var random = SeededGenerator()
    let machine = try setup.machine(isCoherent: variant.isCoherent)
    let probe = ProbeDevice()
    let place = try machine.attach(probe)
    let (mapping, kept) = try setup.mapping(machine, requester: UInt16(place.packed))
    let card = try PCIDevice(host: machine.pci, address: place, mapping: mapping)
    defer { withExtendedLifetime(kept) {} }
    card.enableBusMastering()
    let device = card.dma
    let found = Mutex<[String]>([])
    var options = DMAChecker.Options()
    options.hashesContent = true
    let checker = DMAChecker(options) { finding in
      found.withLock { $0.append(finding.text()) }
    }
    checker.attach(to: device)
    machine.setAccessObserver { [checker] access in
      checker.reportAccess(
        device, address: DMAAddress(rawValue: access.address), byteCount: access.byteCount,
        isWrite: access.isWrite)
    }
    defer { machine.setAccessObserver(nil) }
    try device.setMask(DMAMask(bitCount: maskBits))
    let arena = Arena(machine.platform, mask: device.mask, count: 256)
    let pool = try DMAPool(name: "random", blockSize: 80, alignment: 16, for: device)
    var items: [Item] = []
    let site = CallSite(#fileID, #line)
    for _ in 0..<Self.operationCount / (Self.variants.count * Setup.allCases.count) {
      switch Int.random(in: 0..<10, using: &random) {
      case 0...2:
        guard let slot = arena.take() else { continue }
        let offset = Int.random(in: 0..<4000, using: &random)
        let count = Int.random(in: 1...4096 - offset, using: &random)
        let direction = DMADirection(rawValue: UInt8.random(in: 0...2, using: &random)) ?? .toDevice
        let cpuAddress = arena.pages[slot] + UInt(offset)
        let address = try device.mapSingle(
          cpuAddress: cpuAddress, byteCount: count, direction: direction, site: site)
        items.append(
          .region(address, cpuAddress: cpuAddress, byteCount: count, direction, slot: slot))
      case 3:
        let slots = (0..<Int.random(in: 1...5, using: &random)).compactMap { _ in arena.take() }
        guard !slots.isEmpty else { continue }
        let list = ScatterList(
          try slots.map {
            try device.scatterEntry(
              cpuAddress: arena.pages[$0], byteCount: Int.random(in: 1...4096, using: &random))
          })
        _ = try unsafe device.mapScatter(list.entries, direction: .bidirectional, site: site)
        items.append(.list(list, .bidirectional, slots: slots))
      case 4 where items.count < 400:
        let count = Int.random(in: 1...9000, using: &random)
        items.append(
          .coherent(
            try device.allocateConsistent(byteCount: count, site: site), byteCount: count))
      case 5 where items.count < 400:
        items.append(.block(try pool.allocateRaw(site)))
      case 6, 7:
        guard let index = items.indices.randomElement(using: &random) else { continue }
        try use(items[index], device, probe, &random, site)
      default:
        guard let index = items.indices.randomElement(using: &random) else { continue }
        items.swapAt(index, items.count - 1)
        try end(items.removeLast(), device, pool, arena, site)
      }
    }
    for item in items { try end(item, device, pool, arena, site) }
    try pool.destroy()
    device.remove()
    let statistics = checker.finish()
    let texts = found.withLock { $0 }
    #expect(texts.isEmpty, "seed \(random.seed): \(texts.prefix(3).joined(separator: "\n"))")
    #expect(statistics.violationCount == 0 && !statistics.isIncomplete)
    #expect(statistics.liveCount == 0)
    #expect(statistics.eventCount > UInt64(Self.operationCount / 32))
  }

  private func use(
    _ item: Item, _ device: DMADevice, _ probe: ProbeDevice, _ random: inout SeededGenerator,
    _ site: CallSite
  ) throws {
    switch item {
    case .region(let address, let cpuAddress, let byteCount, let direction, _):
      let offset = Int.random(in: 0..<byteCount, using: &random)
      let count = Int.random(in: 1...byteCount - offset, using: &random)
      let part = address.advanced(by: offset)
      if direction.deviceReads { _ = probe.read(part.rawValue, byteCount: count) }
      if direction.deviceWrites {
        _ = probe.write(part.rawValue, [UInt8](repeating: 3, count: count))
      }
      try device.syncSingle(
        part, byteCount: count, direction: direction, forCPU: true, site: site)
      unsafe UnsafeMutablePointer<UInt8>(bitPattern: cpuAddress + UInt(offset))?.pointee =
        UInt8.random(in: 0 ... .max, using: &random)
      try device.syncSingle(
        part, byteCount: count, direction: direction, forCPU: false, site: site)
    case .list(let list, let direction, _):
      try unsafe device.syncScatter(
        list.entries, count: list.entries.count, direction: direction, forCPU: true, site: site)
      try unsafe device.syncScatter(
        list.entries, count: list.entries.count, direction: direction, forCPU: false, site: site)
      for index in unsafe 0..<list.entries.count {
        let entry = unsafe list.entries[index]
        guard entry.dmaByteCount > 0 else { continue }
        _ = probe.read(entry.dmaAddress, byteCount: entry.dmaByteCount)
      }
    case .coherent(let memory, let byteCount):
      _ = probe.write(memory.address.rawValue + UInt64(byteCount - 1), [1])
    case .block(let memory):
      _ = probe.read(memory.address.rawValue, byteCount: 80)
    }
  }

  private func end(
    _ item: Item, _ device: DMADevice, _ pool: DMAPool, _ arena: Arena, _ site: CallSite
  ) throws {
    switch item {
    case .region(let address, _, let byteCount, let direction, let slot):
      try device.unmapSingle(address, byteCount: byteCount, direction: direction, site: site)
      arena.free.append(slot)
    case .list(let list, let direction, let slots):
      try unsafe device.unmapScatter(
        list.entries, count: list.entries.count, direction: direction, site: site)
      arena.free += slots
    case .coherent(let memory, let byteCount):
      try unsafe device.freeConsistent(
        byteCount: byteCount, cpuAddress: memory.cpuAddress, address: memory.address, site: site)
    case .block(let memory):
      try unsafe pool.freeRaw(cpuAddress: memory.cpuAddress, address: memory.address, site)
    }
  }

  /// Pages below a mask, taken and given back.
  private final class Arena {
    var pages: [UInt] = []
    var free: [Int] = []

    init(_ platform: Platform, mask: DMAMask, count: Int) {
      let core = unsafe platform.unsafeCore
      for index in 0..<count {
        var numbers = DMAStatusNumbers()
        let status = unsafe numbers.withWords {
          unsafe core.pointee.operations.allocatePages(
            core.pointee.context, 4096, 4096, mask.rawValue, 0, $0)
        }
        precondition(status == .success)
        pages.append(UInt(numbers.first))
        free.append(index)
      }
    }

    func take() -> Int? { free.popLast() }
  }
}
