public import CPCIDMA
internal import DMA
internal import PCI
internal import SimulatedMachine

/// A device whose behaviour is C functions.
@safe
final class ModelDevice: SimulatedDevice {
  private let options: swiftdma_model_options
  /// What the functions call it.
  let slot: UnsafeMutablePointer<swiftdma_model>

  init(_ options: swiftdma_model_options, slot: UnsafeMutablePointer<swiftdma_model>) {
    unsafe self.options = unsafe options
    unsafe self.slot = unsafe slot
    unsafe super.init(
      identity: PCIIdentity(
        vendorID: options.vendor, deviceID: options.device, classCode: options.class_code),
      bars: [SimulatedBAR(index: 0, byteCount: UInt64(options.bar_size))], msiVectorCount: 1)
  }

  override func reset() { unsafe options.reset?(options.context, slot) }

  override func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    guard let read = unsafe options.read else { return .max }
    return unsafe read(options.context, slot, UInt32(offset), UInt32(byteCount))
  }

  override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    unsafe options.write?(options.context, slot, UInt32(offset), UInt32(byteCount), value)
  }

  override func step(now: UInt64, tag: UInt64) { unsafe options.step?(options.context, slot, tag) }

  /// Makes a model's slot free.
  static func end(_ slot: UnsafeMutablePointer<swiftdma_model>) {
    guard unsafe swiftdma_state(&slot.pointee.state) == SlotState.live else { return }
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.free)
    if let object = unsafe slot.pointee.object {
      unsafe slot.pointee.object = nil
      // SAFETY: retained when the slot became live.
      unsafe Unmanaged<ModelDevice>.fromOpaque(object).release()
    }
  }
}

/// The device behind a model; nil when it is none.
private func model(_ pointer: UnsafeMutablePointer<swiftdma_model>?) -> ModelDevice? {
  guard let slot = unsafe swiftdma_find_model(pointer), let object = unsafe slot.pointee.object
  else {
    fail(Errno.noDevice)
    return nil
  }
  // SAFETY: a live slot holds its object.
  return unsafe Unmanaged<ModelDevice>.fromOpaque(object).takeUnretainedValue()
}

@c @implementation
public func swiftdma_model_add(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?,
  _ options: UnsafePointer<swiftdma_model_options>?,
  _ dev: UnsafeMutablePointer<UnsafeMutablePointer<pci_dev>?>?
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else { return fail(Errno.noDevice) }
  guard let dev = unsafe dev, unsafe options != nil else { return fail(Errno.invalid) }
  guard let simulated = box.backing.simulated else { return fail(Errno.notSupported) }
  var settings = unsafe swiftdma_model_options()
  let status = unsafe readOptions(options, &settings)
  guard status == 0 else { return status }
  let size = unsafe settings.bar_size
  guard size >= 16, size <= 1 << 20, size & (size - 1) == 0,
    unsafe settings.class_code <= 0xff_ffff,
    unsafe settings.vendor != 0xffff
  else { return fail(Errno.invalid) }
  let taken = unsafe Registry.shared.with { books -> UnsafeMutablePointer<swiftdma_model>? in
    guard let slot = unsafe books.takeModel() else { return nil }
    let device = unsafe ModelDevice(settings, slot: slot)
    unsafe slot.pointee.object = unsafe Unmanaged.passRetained(device).toOpaque()
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.live)
    return unsafe slot
  }
  guard let slot = unsafe taken, let device = unsafe model(slot) else { return fail(Errno.noSpace) }
  let outcome = unsafe plugIn(device, nil, simulated, box, dev)
  guard outcome == 0 else {
    unsafe ModelDevice.end(slot)
    return outcome
  }
  if let pci = unsafe dev.pointee {
    unsafe lookUp(pci, Place(nil, 0), "swiftdma_model_add")?.model = unsafe slot
  }
  return 0
}

@c @implementation
public func swiftdma_model_of(
  _ dev: UnsafeMutablePointer<pci_dev>?
) -> UnsafeMutablePointer<swiftdma_model>? {
  unsafe pciDevice(dev, "swiftdma_model_of")?.model
}

@c @implementation
public func swiftdma_model_read(
  _ pointer: UnsafeMutablePointer<swiftdma_model>?, _ address: UInt64,
  _ bytes: UnsafeMutableRawPointer?, _ size: Int
) -> Int32 {
  guard let device = unsafe model(pointer) else { return -Errno.noDevice }
  guard let bytes = unsafe bytes, size > 0 else { return fail(Errno.invalid) }
  // SAFETY: the caller has room for `size` bytes.
  let outcome = unsafe device.readMemory(
    address, into: UnsafeMutableRawBufferPointer(start: bytes, count: size))
  return outcome == .done ? 0 : fail(Errno.fault)
}

@c @implementation
public func swiftdma_model_write(
  _ pointer: UnsafeMutablePointer<swiftdma_model>?, _ address: UInt64, _ bytes: UnsafeRawPointer?,
  _ size: Int
) -> Int32 {
  guard let device = unsafe model(pointer) else { return -Errno.noDevice }
  guard let bytes = unsafe bytes, size > 0 else { return fail(Errno.invalid) }
  // SAFETY: the caller has `size` bytes there.
  let outcome = unsafe device.writeMemory(
    address, from: UnsafeRawBufferPointer(start: bytes, count: size))
  return outcome == .done ? 0 : fail(Errno.fault)
}

@c @implementation
public func swiftdma_model_schedule(
  _ pointer: UnsafeMutablePointer<swiftdma_model>?, _ nanoseconds: UInt64, _ tag: UInt64
) -> Int32 {
  guard let device = unsafe model(pointer) else { return -Errno.noDevice }
  device.schedule(after: nanoseconds, tag: tag)
  return 0
}

@c @implementation
public func swiftdma_model_interrupt(
  _ pointer: UnsafeMutablePointer<swiftdma_model>?
) -> Int32 {
  guard let device = unsafe model(pointer) else { return -Errno.noDevice }
  if device.hasMessageInterrupts { device.signal() } else { device.setInterruptWire(true) }
  return 0
}
