internal import CPCIDMA
internal import DMA
internal import PCI
internal import SimulatedMachine

/// A device as C programs have it, or the device of buses without devices.
@safe
final class DeviceBox: @unchecked Sendable {
  // SAFETY (Sendable): lists and interrupts are behind the lock; the rest is set before the slot is
  // live, or as the driver's own calls demand.
  let machine: MachineBox
  let dma: DMADevice
  /// Nil for the device of buses without devices.
  let pci: PCIDevice?
  let slot: UnsafeMutablePointer<swiftdma_device_slot>?
  /// What it is where this library simulates it.
  let simulated: SimulatedDevice?
  /// Set once when there is a C model.
  var model: UnsafeMutablePointer<swiftdma_model>?

  /// A BAR whose registers can be reached.
  struct Window {
    var start: UInt64
    var window: RegisterWindow
  }
  var windows: [Window] = []

  let lock = RawSpinLock()
  /// Scatter lists that are mapped, by where their owner has them.
  var lists = AddressTable<MappedList>()
  /// The mask the driver assigned cannot be served: nothing is mapped until another is set.
  var isMaskRefused = false
  var interrupt = InterruptLine()
  /// What it is where it is a simulated network card.
  let network: NetworkCardModel?
  /// Frames that the card sent and nobody took yet.
  var sentFrames: [[UInt8]] = []

  init(
    machine: MachineBox, dma: DMADevice, pci: PCIDevice?,
    slot: UnsafeMutablePointer<swiftdma_device_slot>?, simulated: SimulatedDevice?,
    network: NetworkCardModel? = nil
  ) {
    self.network = network
    self.machine = machine
    self.dma = dma
    self.pci = pci
    unsafe self.slot = unsafe slot
    self.simulated = simulated
  }

  deinit {
    lists.forEach { _, list in unsafe list.entries.deallocate() }
  }

  /// Takes a mask that the driver assigned to its structure (R23).
  func takeAssignedMask(_ site: CallSite) {
    guard let slot = unsafe slot else { return }
    // SAFETY: the slot is this device's while it lives.
    let value = unsafe swiftdma_driver_mask(slot)
    guard unsafe value != slot.pointee.known_mask else { return }
    unsafe slot.pointee.known_mask = value
    do throws(DMAError) {
      guard let mask = DMAMask(rawValue: value) else { throw .emptyRequest }
      try dma.setMask(mask, site: site)
      isMaskRefused = false
    } catch {
      isMaskRefused = true
      machine.report(
        "assigned-mask-refused", dma.name, site,
        "dma_mask was assigned 0x\(String(value, radix: 16)), which this platform cannot serve:"
          + " maps and allocations fail until another is set")
    }
  }

  /// Tells the structure what the mask is now.
  func publishMask() {
    guard let slot = unsafe slot else { return }
    // SAFETY: as above.
    unsafe slot.pointee.dev.dma_mask = dma.mask.rawValue
    unsafe slot.pointee.known_mask = dma.mask.rawValue
    isMaskRefused = false
  }
}

/// The device that a call means, with an assigned mask taken; nil, and reported, when it is none.
///
/// Nothing is read through the pointer before it is known to be a live device's.
func lookUp(_ pointer: UnsafeRawPointer?, _ place: Place, _ call: StaticString) -> DeviceBox? {
  if unsafe pointer == nil {
    guard let legacy = Registry.shared.current?.legacy else {
      fail(Errno.noDevice)
      return nil
    }
    return legacy
  }
  guard let slot = unsafe swiftdma_find_device(pointer, place.isDevice ? 1 : 0),
    let object = unsafe slot.pointee.object
  else {
    fail(Errno.noDevice)
    Registry.shared.current?.report(
      "unknown-device", "-", place.site,
      "\(call) was given a device that does not exist, or was removed")
    return nil
  }
  // SAFETY: a live slot holds its object.
  let box = unsafe Unmanaged<DeviceBox>.fromOpaque(object).takeUnretainedValue()
  box.takeAssignedMask(place.site)
  return box
}

/// The same for calls that need a PCI function: not the null device.
func pciDevice(_ pointer: UnsafeRawPointer?, _ call: StaticString) -> DeviceBox? {
  guard unsafe pointer != nil else {
    fail(Errno.noDevice)
    return nil
  }
  return unsafe lookUp(pointer, Place(nil, 0), call)
}
