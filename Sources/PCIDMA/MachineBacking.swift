internal import DMA
internal import DMAMapping
internal import PCI
internal import QEMUMachine
internal import SimulatedMachine

/// The machine behind a `MachineBox`, of whatever kind.
///
/// This is the base class: what all machines have. Those that can do more override it.
class MachineBacking {
  let platform: Platform
  let pci: PCIHost

  init(platform: Platform, pci: PCIHost) {
    self.platform = platform
    self.pci = pci
  }

  /// Where the registers of the IOMMU are; nil when there is none.
  var iommuRegisters: RegisterWindow? { nil }
  var freeByteCount: UInt64 { 0 }
  /// Why it stopped working; "" while it works.
  var failure: String { "" }
  /// The simulated machine, where it is one.
  var simulated: SimulatedMachine? { nil }

  /// Where the CPU sees memory that can be closed while devices see it; nil where it cannot.
  var guardableAddresses: Range<UInt>? { nil }

  /// What an address belongs to.
  func classify(_ address: UInt, _ byteCount: Int) -> MemoryKind {
    let core = unsafe platform.unsafeCore
    var numbers = DMAStatusNumbers()
    // SAFETY: the platform's own function with its own context; room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.resolve(core.pointee.context, address, byteCount, pointer)
    }
    if status == .success { return .pages }
    return status == .notDMAable
      ? MemoryKind(rawValue: UInt8(truncatingIfNeeded: numbers.first)) ?? .unknown : .unknown
  }

  /// Where message interrupts arrive, if that is memory.
  var messagePage: ClosedRange<UInt64>? { nil }

  /// Ends it; memory stays until its last owner is gone.
  func stop() {}
}

/// A simulated machine.
final class SimulatedBacking: MachineBacking {
  private let machine: SimulatedMachine

  init(_ machine: SimulatedMachine) {
    self.machine = machine
    super.init(platform: machine.platform, pci: machine.pci)
  }

  override var iommuRegisters: RegisterWindow? { machine.iommuRegisters }
  override var freeByteCount: UInt64 { machine.freeByteCount }
  override var simulated: SimulatedMachine? { machine }
  override var guardableAddresses: Range<UInt>? { machine.linearAddresses }

  override func classify(_ address: UInt, _ byteCount: Int) -> MemoryKind {
    machine.classify(address, byteCount: byteCount)
  }
}

extension MachineBacking {
  /// Lets through an IOMMU's domain what devices use besides memory: where messages go to memory,
  /// they must arrive.
  func prepare(_ domain: IOMMUDomain) throws(DMAError) {
    if let page = messagePage { try domain.mapIdentity(page) }
  }
}

/// QEMU's device models.
final class QEMUBacking: MachineBacking {
  private let machine: QEMUMachine
  private let hasIOMMU: Bool

  init(_ machine: QEMUMachine, hasIOMMU: Bool) {
    self.machine = machine
    self.hasIOMMU = hasIOMMU
    super.init(platform: machine.platform, pci: machine.pci)
  }

  override var iommuRegisters: RegisterWindow? {
    // Where q35 has its VT-d unit.
    hasIOMMU
      ? machine.registers(at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096) : nil
  }
  override var freeByteCount: UInt64 { machine.freeByteCount }
  override var failure: String { machine.failure?.description ?? "" }
  override var messagePage: ClosedRange<UInt64>? { machine.interruptPage }

  override func stop() { machine.stop() }
}
