import DMA
import DMAMapping
import DMASupport
import PCI
import SimulatedMachine
import Testing

/// A simulated machine with a VT-d unit, one domain and one device behind it.
final class IOMMUBench {
  let machine: SimulatedMachine
  let unit: VTDUnit
  let domain: IOMMUDomain
  let probe = Prober()
  let device: DMADevice
  let requester: UInt16

  init(
    _ invalidation: IOMMUDomain.Invalidation = .strict, addressWidth: Int = 39,
    levels: Int? = nil, usesQueue: Bool = true, lastAddress: UInt64 = .max,
    constraints: DMAConstraints = .pci
  ) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.iommu = .vtd(addressWidth: addressWidth)
    machine = try SimulatedMachine(configuration)
    var unitOptions = VTDUnit.Options()
    unitOptions.usesQueue = usesQueue
    unitOptions.tableLevels = levels
    unit = try VTDUnit(
      registers: #require(machine.iommuRegisters), platform: machine.platform,
      options: unitOptions)
    var options = IOMMUDomain.Options()
    options.invalidation = invalidation
    options.lastAddress = lastAddress
    domain = try IOMMUDomain(platform: machine.platform, unit: unit.unit, options: options)
    let address = try machine.attach(probe)
    requester = UInt16(address.packed)
    try domain.attach(requester: requester)
    // A probe is no PCI device of a driver: its bus mastering is switched on by hand.
    let pci = try PCIDevice(host: machine.pci, address: address, mapping: domain.mapping)
    pci.enableBusMastering()
    device = DMADevice(
      name: "probe", platform: machine.platform, mapping: domain.mapping,
      constraints: constraints)
  }

  var platform: Platform { machine.platform }

  func buffer(_ byteCount: Int, _ placement: StreamingBuffer.Placement = .anywhere) throws
    -> StreamingBuffer
  {
    try StreamingBuffer(byteCount: byteCount, in: platform, placement: placement)
  }

  /// The entry of a page, found by walking the tables in RAM as hardware does.
  ///
  /// Written from the specification, without the code under test.
  func walk(_ address: UInt64) -> UInt64 {
    var table = domain.rootTable.rawValue
    var shift = UInt64(12 + 9 * (domain.tableLevels - 1))
    while true {
      let entry = machine.readWord(table + (address >> shift & 511) * 8)
      if shift == 12 || entry & 3 == 0 { return entry }
      table = entry & 0x000f_ffff_ffff_f000
      shift -= 9
    }
  }

  func faults() -> [IOMMUFault] {
    var faults: [IOMMUFault] = []
    unit.takeFaults { faults.append($0) }
    return faults
  }
}

/// A device that reads and writes wherever it is told to.
final class Prober: SimulatedDevice {
  init() {
    super.init(
      identity: PCIIdentity(vendorID: 0x1af4, deviceID: 0x7e58, classCode: 0xff_0000),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)])
  }

  func read(_ address: UInt64, _ byteCount: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let outcome = unsafe bytes.withUnsafeMutableBytes { unsafe readMemory(address, into: $0) }
    return outcome == .done ? bytes : nil
  }

  func write(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe writeMemory(address, from: $0) } == .done
  }
}

extension SimulatedMachine {
  /// A word of RAM by its physical address.
  func readWord(_ physicalAddress: UInt64) -> UInt64 {
    dma_volatile_load64(linearBase + UInt(physicalAddress))
  }

  /// Where the CPU sees physical address 0: from an allocation, since all RAM is one map.
  var linearBase: UInt {
    var numbers = DMAStatusNumbers()
    let core = unsafe platform.unsafeCore
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.allocatePages(
        core.pointee.context, 4096, 4096, .max, 0, pointer)
    }
    precondition(status == .success, "one page is free")
    unsafe core.pointee.operations.freePages(
      core.pointee.context, UInt(numbers.first), numbers.second, 4096, 0)
    return UInt(numbers.first) - UInt(numbers.second)
  }
}
