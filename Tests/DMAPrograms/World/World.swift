public import DMA
public import DMAChecker
import GuardPages
import DMAMapping
import PCI
public import SimulatedMachine
import Synchronization

/// A machine with two probe devices, and the memory, pools and items of a program.
public final class World {
  public enum Outcome: Sendable {
    case done
    /// The API refused the call because it was wrong.
    case refused(DMAError)
    /// The machine was short of something: nothing was made.
    case short(DMAError)
  }

  public static let pageCount = 64
  static let deviceCount = 2
  static let poolCount = 2
  public static let blockByteCount = 80

  public let setup: ProgramSetup
  public let machine: SimulatedMachine
  public var devices: [DMADevice] { cards.map(\.dma) }
  let cards: [PCIDevice]
  let probes: [ProgramProbe]
  let pools: [[DMAPool]]
  let pages: [UInt]
  /// Memory that may not be mapped: vmalloc, a stack, an image, a process.
  private let vmalloc: SimulatedMemory
  private let stack: SimulatedMemory
  private let image: SimulatedMemory
  private let user: SimulatedMemory
  private let kept: [AnyObject]
  private let faults: FaultCount
  private let guardPages: GuardPages?
  var items: [Int: Item] = [:]
  /// Whether accesses are compared with what is live, and reads are kept.
  let isTruthWanted: Bool
  public private(set) var truth = GroundTruth()
  private var checker: DMAChecker?
  /// What was read last, so that no read can be left out.
  public private(set) var lastRead: UInt64 = 0
  /// Whether items are kept after their end, for programs that go on using them.
  var keepsEnded = false

  final class FaultCount: Sendable { let value = Atomic<Int>(0) }

  /// - Parameters:
  ///   - seed: decides the machine's delays.
  ///   - guardian: gets findings of guard pages; nil for no guard pages.
  public init(
    _ setup: ProgramSetup, isTruthWanted: Bool, seed: UInt64 = 1, guardian: DMAChecker? = nil
  ) throws {
    self.setup = setup
    self.isTruthWanted = isTruthWanted
    var configuration = SimulatedMachine.Configuration()
    configuration.isCoherent = setup.isCoherent
    configuration.seed = seed
    configuration.isGuarded = guardian != nil
    if setup.hasIOMMU { configuration.iommu = .vtd() }
    let machine = try SimulatedMachine(configuration)
    self.machine = machine
    guardPages = try guardian.map {
      try GuardPages(addresses: machine.linearAddresses, checker: $0)
    }
    var kept: [AnyObject] = []
    var cards: [PCIDevice] = []
    var probes: [ProgramProbe] = []
    var pools: [[DMAPool]] = []
    let mask = DMAMask(bitCount: setup.maskBits)
    let unit =
      try machine.iommuRegisters.map { try VTDUnit(registers: $0, platform: machine.platform) }
    if let unit { kept.append(unit) }
    let bounce = setup.kind == .bounce ? try Self.makeBounce(machine.platform) : nil
    if let bounce { kept.append(bounce) }
    for _ in 0..<Self.deviceCount {
      let probe = ProgramProbe()
      let place = try machine.attach(probe)
      var mapping: DMAMapping
      switch setup.kind {
      case .direct: mapping = DirectMapping.make(for: machine.platform)
      case .bounce:
        guard let bounce else { throw DMAError.deviceRemoved }
        mapping = bounce.mapping
      case .strict, .deferred:
        guard let unit else { throw DMAError.deviceRemoved }
        var options = IOMMUDomain.Options()
        if setup.kind == .deferred { options.invalidation = .deferred() }
        let domain = try IOMMUDomain(
          platform: machine.platform, unit: unit.unit, options: options)
        try domain.attach(requester: UInt16(truncatingIfNeeded: place.packed))
        kept.append(domain)
        mapping = domain.mapping
      }
      if let guardPages { mapping = guardPages.guarding(mapping) }
      let card = try PCIDevice(host: machine.pci, address: place, mapping: mapping)
      card.enableBusMastering()
      try card.dma.setMask(mask)
      cards.append(card)
      probes.append(probe)
      pools.append(
        try (0..<Self.poolCount).map { number in
          try DMAPool(
            name: "pool \(number)", blockSize: Self.blockByteCount, alignment: 16, for: card.dma,
            options: number == 1 ? .poisoned : [])
        })
    }
    self.cards = cards
    self.probes = probes
    self.pools = pools
    self.kept = kept
    let core = unsafe machine.platform.unsafeCore
    pages = try (0..<Self.pageCount).map { _ in
      var numbers = DMAStatusNumbers()
      let status = unsafe numbers.withWords {
        unsafe core.pointee.operations.allocatePages(
          core.pointee.context, 4096, 4096, mask.rawValue,
          setup.maskBits > 32 ? PageOptions.high.rawValue : 0, $0)
      }
      guard status == .success else { throw DMAError(status: status, numbers: numbers) }
      return UInt(numbers.first)
    }
    vmalloc = try machine.allocateVirtual(byteCount: 8192)
    stack = try machine.allocateStack()
    image = try machine.loadImage(byteCount: 4096)
    user = try machine.allocateUser(byteCount: 4096)
    let faults = FaultCount()
    self.faults = faults
    machine.setIncidentObserver { _ in faults.value.add(1, ordering: .relaxed) }
  }

  /// Low slots for both devices.
  private static func makeBounce(_ platform: Platform) throws -> BounceMapping {
    var options = BounceMapping.Options()
    options.slotCount = 2048
    options.isForced = true
    options.limit = .bits24
    return try BounceMapping(platform: platform, options: options)
  }

  deinit {
    machine.setAccessObserver(nil)
    machine.setIncidentObserver(nil)
  }

  func address(_ memory: Op.Memory, _ page: Int) -> UInt {
    switch memory {
    case .page: pages[page]
    case .vmalloc: vmalloc.address
    case .stack: stack.address
    case .image: image.address
    case .user: user.address
    }
  }

  /// Lets a checker watch both devices, and what they do on the bus.
  public func watch(with checker: DMAChecker) {
    self.checker = checker
    for device in devices { checker.attach(to: device) }
    let first = cards[0].address
    let (a, b) = (devices[0], devices[1])
    machine.setAccessObserver { [checker] access in
      checker.reportAccess(
        access.requester == first ? a : b, address: DMAAddress(rawValue: access.address),
        byteCount: access.byteCount, isWrite: access.isWrite)
    }
    machine.setIncidentObserver { [checker] incident in
      // Its access was judged already; this one never came so far.
      guard incident.reason == .busMasterOff else { return }
      checker.reportFault(
        incident.requester == first ? a : b, address: DMAAddress(rawValue: incident.address),
        byteCount: incident.byteCount, isWrite: incident.isWrite, reason: .notBusMaster)
    }
  }

  /// Ends a program: counts what is left, lets the checker say so, then releases all of it.
  public func finish() {
    truth.faultCount = faults.value.load(ordering: .relaxed)
    truth.leftCount = items.values.count { $0.isLive }
    for device in devices { truth.leftCount += device.quarantined.mappingCount }
    destroyPools()
    guardPages?.report()
    if let checker {
      for device in devices { device.remove() }
      checker.finish()
      for device in devices { device.setObserver(nil) }
      machine.setAccessObserver(nil)
    }
    for number in items.keys {
      guard let item = items[number], item.isLive else { continue }
      var end = Op(.unmap)
      end.item = number
      end.device = item.device
      end.direction = item.direction
      end.byteCount = item.byteCount
      end.pool = item.pool
      switch item.kind {
      case .region: end.kind = .unmap
      case .list: end.kind = .unmapList
      case .coherent: end.kind = .free
      case .block: end.kind = .poolFree
      case .value: end.kind = .unmapValue
      }
      perform(end)
    }
    for device in devices { device.declareQuiet() }
  }

  /// How many items are live.
  public var liveCount: Int { items.values.count { $0.isLive } }

  /// Gives a page to somebody else, as a program that forgot that it is mapped.
  func reportFree(_ op: Op) {
    let start = pages[op.page]
    for item in items.values where item.isLive && item.kind == .region {
      if item.cpuAddress < start + 4096, item.cpuAddress + UInt(item.byteCount) > start {
        truth.wrongOwnerCount += 1
      }
    }
    checker?.reportFree(
      cpuAddress: start, byteCount: 4096, file: "DMAPrograms/World+Perform.swift", line: op.line)
  }

  // MARK: Truth

  func note(read value: UInt64, _ line: UInt32) {
    lastRead = value
    if isTruthWanted { truth.reads[line] = value }
  }

  func note(_ error: DMAError, _ line: UInt32) -> Outcome {
    if error.isTransient { return .short(error) }
    truth.refusals[line] = error
    return .refused(error)
  }

  /// Whether every byte of an access belongs to the device, in this direction, now.
  func noteAccess(_ device: Int, _ address: UInt64, _ byteCount: Int, isWrite: Bool) {
    guard isTruthWanted else { return }
    var position = address
    let end = address &+ UInt64(byteCount)
    while position < end {
      var next = position
      for item in items.values where item.isLive && item.device == device {
        guard item.permits(isWrite: isWrite) else { continue }
        for segment in item.segments where position &- segment.address < UInt64(segment.byteCount) {
          next = max(next, segment.address + UInt64(segment.byteCount))
        }
      }
      if next == position {
        truth.wrongOwnerCount += 1
        return
      }
      position = next
    }
  }
}
