import DMA
import DMAMapping
import SimulatedMachine

/// A machine with one mapping, on which a trace's calls are made again.
///
/// The memory of a call is named by the physical address the trace gives; what is copied are bytes
/// of a scratch buffer, because no trace holds any.
@safe
final class ReplayMachine {
  private let machine: SimulatedMachine
  private let unit: VTDUnit?
  private let domain: IOMMUDomain?
  private let bounce: BounceMapping?
  private let mapping: DMAMapping
  private var devices: [UInt32: DMADevice] = [:]
  // SAFETY: owned; longer than anything a pool takes at once.
  private let scratch: UnsafeMutableRawPointer
  private static let scratchByteCount = 1 << 20

  init(_ kind: ReplayMapping, _ options: ReplayOptions, isForced: Bool) throws(ReplayError) {
    unsafe scratch = .allocate(byteCount: Self.scratchByteCount, alignment: 4096)
    unsafe scratch.initializeMemory(as: UInt8.self, repeating: 0, count: Self.scratchByteCount)
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = options.memoryByteCount
    if kind.isIOMMU { configuration.iommu = .vtd() }
    do throws(SimulatedMachineError) {
      machine = try SimulatedMachine(configuration)
    } catch {
      throw .machine(error)
    }
    do throws(DMAError) {
      switch kind {
      case .direct:
        mapping = DirectMapping.make(for: machine.platform)
        (unit, domain, bounce) = (nil, nil, nil)
      case .bounce:
        var pool = BounceMapping.Options()
        pool.slotCount = Int(clamping: options.poolByteCount / 2048)
        // One area, so that its peak is exact.
        pool.areaCount = 1
        pool.isForced = isForced
        let bounce = try BounceMapping(platform: machine.platform, options: pool)
        mapping = bounce.mapping
        self.bounce = bounce
        (unit, domain) = (nil, nil)
      case .strict, .lazy:
        guard let registers = machine.iommuRegisters else { throw .machine(code: 19) }
        let unit = try VTDUnit(registers: registers, platform: machine.platform)
        var space = IOMMUDomain.Options()
        if kind == .lazy { space.invalidation = .deferred() }
        let domain = try IOMMUDomain(
          platform: machine.platform, unit: unit.unit, options: space)
        mapping = domain.mapping
        self.unit = unit
        self.domain = domain
        bounce = nil
      }
    } catch {
      throw .platform(error)
    }
  }

  deinit { unsafe scratch.deallocate() }

  /// Adds a device of the trace.
  func add(_ number: UInt32, name: String, mask: DMAMask, constraints: DMAConstraints)
    throws(ReplayError)
  {
    let device = DMADevice(
      name: name, platform: machine.platform, mapping: mapping, constraints: constraints)
    do throws(DMAError) {
      try device.setMask(mask)
    } catch {
      throw .platform(error)
    }
    devices[number] = device
  }

  var peakSlots: Int { bounce?.statistics.highWaterSlots ?? 0 }
  var totalSlots: Int { bounce?.statistics.totalSlots ?? 0 }
  var copiedBytes: UInt64 {
    guard let bounce else { return 0 }
    return bounce.statistics.bytesIn + bounce.statistics.bytesOut
  }
  var rangeInvalidations: Int { domain?.invalidationCounts.ranges ?? 0 }
  var domainInvalidations: Int { domain?.invalidationCounts.domains ?? 0 }
  var tablePages: Int { domain?.tablePageCount ?? 0 }
  var liveEntries: Int { domain?.validEntryCount ?? 0 }

  /// What a call of the mapping's table answers.
  struct Answer {
    var status: DMAStatus
    var numbers: DMAStatusNumbers
  }

  private func call(
    _ device: UInt32,
    _ body: (UnsafeMutablePointer<DMADeviceCore>, UnsafeMutablePointer<UInt64>) -> Int32
  ) -> Answer? {
    guard let device = devices[device] else { return nil }
    var numbers = DMAStatusNumbers()
    // SAFETY: the core lives while the device does; room for three words.
    let status = unsafe numbers.withWords { pointer in unsafe body(device.unsafeCore, pointer) }
    return Answer(status: status, numbers: numbers)
  }

  private var scratchAddress: UInt { unsafe UInt(bitPattern: scratch) }

  func map(_ device: UInt32, physical: UInt64, byteCount: Int, _ traits: MappingTraits) -> Answer? {
    let cpuAddress = scratchAddress
    return unsafe call(device) { core, numbers in
      unsafe core.pointee.operations.pointee.map(
        UnsafeMutableRawPointer(core), cpuAddress, physical, byteCount, traits.rawValue, numbers)
    }
  }

  func unmap(_ device: UInt32, address: UInt64, byteCount: Int, _ traits: MappingTraits) -> Answer?
  {
    let cpuAddress = scratchAddress
    return unsafe call(device) { core, numbers in
      unsafe core.pointee.operations.pointee.unmap(
        UnsafeMutableRawPointer(core), address, cpuAddress, byteCount, traits.rawValue, numbers)
    }
  }

  func sync(_ device: UInt32, address: UInt64, byteCount: Int, _ traits: MappingTraits) -> Answer? {
    let cpuAddress = scratchAddress
    return unsafe call(device) { core, numbers in
      unsafe core.pointee.operations.pointee.sync(
        UnsafeMutableRawPointer(core), address, cpuAddress, byteCount, traits.rawValue, numbers)
    }
  }

  /// Maps or unmaps a list; a map sets the entries' device fields.
  func list(
    _ device: UInt32, _ entries: inout [ScatterEntry], isMap: Bool, _ traits: MappingTraits
  ) -> Answer? {
    unsafe entries.withUnsafeMutableBufferPointer { entries -> Answer? in
      guard let start = entries.baseAddress else { return nil }
      let count = entries.count
      return unsafe call(device) { core, numbers in
        let table = unsafe core.pointee.operations
        let function = unsafe isMap ? table.pointee.mapScatter : table.pointee.unmapScatter
        return unsafe function(
          UnsafeMutableRawPointer(core), UnsafeMutableRawPointer(start), count, traits.rawValue,
          numbers)
      }
    }
  }

  func entry(physical: UInt64, byteCount: Int) -> ScatterEntry {
    ScatterEntry(cpuAddress: scratchAddress, physicalAddress: physical, byteCount: byteCount)
  }

  /// Allocates coherent memory: the numbers are bus, CPU and physical address.
  func allocate(_ device: UInt32, byteCount: Int) -> Answer? {
    unsafe call(device) { core, numbers in
      unsafe core.pointee.operations.pointee.allocateCoherent(
        UnsafeMutableRawPointer(core), byteCount, numbers)
    }
  }

  func free(_ device: UInt32, _ allocation: DMAStatusNumbers, byteCount: Int) {
    _ = unsafe call(device) { core, _ in
      unsafe core.pointee.operations.pointee.freeCoherent(
        UnsafeMutableRawPointer(core), allocation.first, UInt(allocation.second),
        allocation.third, byteCount)
      return DMAStatus.success.rawValue
    }
  }
}
