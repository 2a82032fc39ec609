public import CPCIDMA
internal import DMA
internal import DMAChecker
internal import DMAMapping
internal import PCI
internal import SimulatedMachine

extension MachineBox {
  /// Gives the function at an address a slot, and C programs its structure.
  ///
  /// - Throws: `.machine` with a number of errno's.
  func adopt(
    _ address: PCIAddress, _ simulated: SimulatedDevice?, _ network: NetworkCardModel? = nil
  ) throws(DMAError) -> DeviceBox {
    let pci: PCIDevice
    do throws(PCIError) {
      pci = try PCIDevice(host: backing.pci, address: address, mapping: mapping)
    } catch { throw .machine(code: Int(Errno.noDevice)) }
    try domain?.attach(requester: UInt16(truncatingIfNeeded: address.packed))
    guard let slot = unsafe Registry.shared.with({ unsafe $0.takeDevice() }) else {
      throw .machine(code: Int(Errno.noSpace))
    }
    let box = unsafe DeviceBox(
      machine: self, dma: pci.dma, pci: pci, slot: slot, simulated: simulated,
      network: network)
    unsafe slot.pointee.dev = unsafe pci_dev()
    unsafe box.describe(pci, slot)
    unsafe slot.pointee.object = unsafe Unmanaged.passRetained(box).toOpaque()
    add(box)
    Registry.shared.with { $0.devices.append(box) }
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.live)
    return box
  }
}

extension DeviceBox {
  /// Fills in the structure that drivers read.
  fileprivate func describe(
    _ pci: PCIDevice, _ slot: UnsafeMutablePointer<swiftdma_device_slot>
  ) {
    let address = pci.address
    unsafe slot.pointee.bus = unsafe pci_bus()
    unsafe slot.pointee.bus.number = address.bus
    // SAFETY: slots stay where they are; the name outlives every user of it.
    unsafe withUnsafeMutablePointer(to: &slot.pointee.bus) { bus in
      unsafe slot.pointee.dev.bus = unsafe bus
    }
    unsafe slot.pointee.dev.devfn = UInt32(address.device) << 3 | UInt32(address.function)
    unsafe slot.pointee.dev.vendor = pci.vendorID
    unsafe slot.pointee.dev.device = pci.deviceID
    unsafe slot.pointee.dev.subsystem_vendor = pci.readConfiguration(at: 0x2c)
    unsafe slot.pointee.dev.subsystem_device = pci.readConfiguration(at: 0x2e)
    unsafe swiftdma_set_class(&slot.pointee.dev, pci.classCode)
    unsafe slot.pointee.dev.hdr_type = pci.readConfiguration(at: PCIRegister.headerType)
    unsafe slot.pointee.dev.active = 1
    unsafe swiftdma_name_device(
      slot, Int32(address.bus), Int32(address.device), Int32(address.function))
    let index = unsafe UInt32(
      truncatingIfNeeded: UnsafePointer(slot) - UnsafePointer(swiftdma_device_slot_at(0)))
    unsafe slot.pointee.dev.irq = DeviceBox.firstInterrupt + index
    publishMask()
    unsafe findWindows(pci, slot)
  }

  private func findWindows(
    _ pci: PCIDevice, _ slot: UnsafeMutablePointer<swiftdma_device_slot>
  ) {
    var bar = 0
    while bar < 6 {
      let register = PCIRegister.bar0 + bar * 4
      let low = pci.readConfiguration(UInt32.self, at: register)
      let is64Bit = low & 7 == 4
      if low & 1 == 0 {
        do throws(PCIError) {
          let window = try pci.mapBAR(bar)
          var start = UInt64(low & ~15)
          if is64Bit {
            start |= UInt64(pci.readConfiguration(UInt32.self, at: register + 4)) << 32
          }
          windows.append(Window(start: start, window: window))
          unsafe swiftdma_set_resource(slot, Int32(bar), start, UInt64(window.byteCount), low)
        } catch {}
      }
      bar += is64Bit ? 2 : 1
    }
    // Registers answer once the driver enables the device, not before.
    let command: UInt16 = pci.readConfiguration(at: PCIRegister.command)
    pci.writeConfiguration(command & ~2, at: PCIRegister.command)
  }

  /// Ends the device: its slot is free, its calls are errors.
  func end() {
    guard let slot = unsafe slot else { return }
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.free)
    Registry.shared.with { books in books.devices.removeAll { $0 === self } }
    machine.remove(self)
    interrupt = InterruptLine()
    pci?.remove()
    if let pci, let machine = machine.backing.simulated {
      do throws(SimulatedMachineError) { try machine.detach(pci.address) } catch {}
    }
    if let model = unsafe model { unsafe ModelDevice.end(model) }
    unsafe model = nil
    if let object = unsafe slot.pointee.object {
      unsafe slot.pointee.object = nil
      // SAFETY: retained when the slot became live; the caller holds the object, too.
      unsafe Unmanaged<DeviceBox>.fromOpaque(object).release()
    }
  }
}

// MARK: The calls

@c @implementation
public func swiftdma_device_add(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?,
  _ options: UnsafePointer<swiftdma_device_options>?,
  _ dev: UnsafeMutablePointer<UnsafeMutablePointer<pci_dev>?>?
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else { return fail(Errno.noDevice) }
  guard let dev = unsafe dev, unsafe options != nil else { return fail(Errno.invalid) }
  guard let simulated = box.backing.simulated else { return fail(Errno.notSupported) }
  var settings = unsafe swiftdma_device_options()
  let status = unsafe readOptions(options, &settings)
  guard status == 0 else { return status }
  guard unsafe settings.mask == 0 || DMAMask(rawValue: settings.mask) != nil else {
    return fail(Errno.invalid)
  }
  let device: SimulatedDevice
  var network: NetworkCardModel?
  switch unsafe settings.kind {
  case SWIFTDMA_EDU:
    var configuration = Edu.Configuration()
    if unsafe settings.mask != 0 { configuration.mask = unsafe settings.mask }
    if unsafe settings.latency != 0 { configuration.latency = unsafe settings.latency }
    device = Edu(configuration)
  case SWIFTDMA_NETWORK_CARD:
    var configuration = NetworkCardModel.Configuration()
    if unsafe settings.mask != 0 { configuration.mask = unsafe settings.mask }
    if unsafe settings.latency != 0 { configuration.latency = unsafe settings.latency }
    configuration.isLoopback = unsafe settings.loopback != 0
    let card = NetworkCardModel(configuration)
    network = card
    device = card
  case SWIFTDMA_NVME:
    switch unsafe makeStorage(settings) {
    case .failure(let number): return fail(number)
    case .success(let storage):
      var configuration = NVMeController.Configuration()
      if unsafe settings.mask != 0 { configuration.mask = unsafe settings.mask }
      if unsafe settings.latency != 0 { configuration.latency = unsafe settings.latency }
      device = NVMeController(storage, configuration)
    }
  default: return fail(Errno.invalid)
  }
  return unsafe plugIn(device, network, simulated, box, dev)
}

private enum MadeStorage {
  case success(NVMeStorage)
  case failure(Int32)
}

private func makeStorage(_ settings: swiftdma_device_options) -> MadeStorage {
  if let path = unsafe settings.image {
    do throws(NVMeImageError) {
      return unsafe .success(try NVMeImage(path: text(path, limit: 4096), isReadOnly: false))
    } catch { return .failure(Errno.io) }
  }
  let size = unsafe settings.storage_size == 0 ? 16 << 20 : settings.storage_size
  guard size % 4096 == 0, size <= 1 << 40 else { return .failure(Errno.invalid) }
  do throws(SimulatedMachineError) {
    return .success(try NVMeMemory(zeroes: size))
  } catch { return .failure(Errno.noMemory) }
}

/// Plugs a simulated device in and gives it to the program.
func plugIn(
  _ device: SimulatedDevice, _ network: NetworkCardModel? = nil, _ machine: SimulatedMachine,
  _ box: MachineBox,
  _ dev: UnsafeMutablePointer<UnsafeMutablePointer<pci_dev>?>
) -> Int32 {
  let address: PCIAddress
  do throws(SimulatedMachineError) {
    address = try machine.attach(device)
  } catch { return fail(Errno.noSpace) }
  do throws(DMAError) {
    let added = try box.adopt(address, device, network)
    guard let slot = unsafe added.slot else { return fail(Errno.noDevice) }
    unsafe withUnsafeMutablePointer(to: &slot.pointee.dev) { unsafe dev.pointee = unsafe $0 }
    return 0
  } catch {
    do throws(SimulatedMachineError) { try machine.detach(address) } catch {}
    return fail(error)
  }
}

@c @implementation
public func swiftdma_device_remove(_ dev: UnsafeMutablePointer<pci_dev>?) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_remove") else { return -Errno.noDevice }
  guard swiftdma_is_atomic() == 0 else { return fail(Errno.again) }
  box.end()
  return 0
}

@c @implementation
public func swiftdma_device_unplug(_ dev: UnsafeMutablePointer<pci_dev>?) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_unplug"), let pci = box.pci else {
    return -Errno.noDevice
  }
  guard let machine = box.machine.backing.simulated else { return fail(Errno.notSupported) }
  do throws(SimulatedMachineError) {
    try machine.detach(pci.address)
    return 0
  } catch { return fail(Errno.noDevice) }
}

@c @implementation
public func swiftdma_device_quiet(_ dev: UnsafeMutablePointer<pci_dev>?) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_quiet") else { return -Errno.noDevice }
  box.dma.declareQuiet()
  return 0
}

@c @implementation
public func swiftdma_device_live_mappings(_ dev: UnsafeMutablePointer<pci_dev>?) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_live_mappings") else {
    return -Errno.noDevice
  }
  return Int32(clamping: box.dma.liveClassicCount)
}

@c @implementation
public func swiftdma_device_live_consistent(_ dev: UnsafeMutablePointer<pci_dev>?) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_live_consistent") else {
    return -Errno.noDevice
  }
  return Int32(clamping: box.dma.liveCoherentCount)
}

@c @implementation
public func swiftdma_device_set_max_segments(
  _ dev: UnsafeMutablePointer<pci_dev>?, _ count: UInt32
) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_device_set_max_segments") else {
    return -Errno.noDevice
  }
  box.dma.constraints.segmentCountMax = count == 0 ? .max : Int(count)
  return 0
}

@c @implementation
public func swiftdma_network_deliver(
  _ dev: UnsafeMutablePointer<pci_dev>?, _ frame: UnsafeRawPointer?, _ size: Int,
  _ isBad: Int32
) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_network_deliver") else { return -Errno.noDevice }
  guard let card = box.network, let frame = unsafe frame, size > 0, size <= 65535 else {
    return fail(Errno.invalid)
  }
  // SAFETY: the caller has `size` bytes there.
  unsafe card.deliver(
    [UInt8](UnsafeRawBufferPointer(start: frame, count: size)), isBad: isBad != 0)
  return 0
}

@c @implementation
public func swiftdma_network_take(
  _ dev: UnsafeMutablePointer<pci_dev>?, _ frame: UnsafeMutableRawPointer?, _ size: Int
) -> Int32 {
  guard let box = unsafe pciDevice(dev, "swiftdma_network_take") else { return -Errno.noDevice }
  guard let card = box.network, let frame = unsafe frame, size >= 0 else {
    return fail(Errno.invalid)
  }
  let next = box.lock.withLock { () -> [UInt8]? in
    if box.sentFrames.isEmpty { box.sentFrames = card.takeTransmitted() }
    return box.sentFrames.isEmpty ? nil : box.sentFrames.removeFirst()
  }
  guard let next else { return 0 }
  // SAFETY: at most the room that the caller has.
  for index in 0..<min(size, next.count) {
    unsafe frame.storeBytes(of: next[index], toByteOffset: index, as: UInt8.self)
  }
  return Int32(next.count)
}

// MARK: For the kernel's calls

@c @implementation
public func swiftdma_next_device(
  _ from: UnsafePointer<pci_dev>?
) -> UnsafeMutablePointer<pci_dev>? {
  let slot = unsafe Registry.shared.with { books -> UnsafeMutablePointer<swiftdma_device_slot>? in
    guard let from = unsafe from else { return unsafe books.devices.first?.slot }
    let place = unsafe swiftdma_find_device(from, 0)
    guard let index = books.devices.firstIndex(where: { unsafe $0.slot == place }),
      index + 1 < books.devices.count
    else { return nil }
    return unsafe books.devices[index + 1].slot
  }
  guard let slot = unsafe slot else { return nil }
  return unsafe withUnsafeMutablePointer(to: &slot.pointee.dev) { unsafe $0 }
}

@c @implementation
public func swiftdma_is_live_device(_ dev: UnsafeRawPointer?) -> Int32 {
  unsafe swiftdma_find_device(dev, 0) != nil ? 1 : 0
}

@c @implementation
public func swiftdma_configuration_read(
  _ dev: UnsafeRawPointer?, _ place: Int32, _ size: Int32,
  _ value: UnsafeMutablePointer<UInt32>?
) -> Int32 {
  guard let pci = unsafe pciDevice(dev, "pci_read_config")?.pci, let value = unsafe value else {
    return -Errno.noDevice
  }
  guard place >= 0, place <= 256 - size, place % size == 0 else { return fail(Errno.invalid) }
  let offset = Int(place)
  switch size {
  case 1: unsafe value.pointee = UInt32(pci.readConfiguration(UInt8.self, at: offset))
  case 2: unsafe value.pointee = UInt32(pci.readConfiguration(UInt16.self, at: offset))
  default: unsafe value.pointee = pci.readConfiguration(UInt32.self, at: offset)
  }
  return 0
}

@c @implementation
public func swiftdma_configuration_write(
  _ dev: UnsafeRawPointer?, _ place: Int32, _ size: Int32, _ value: UInt32
) -> Int32 {
  guard let pci = unsafe pciDevice(dev, "pci_write_config")?.pci else { return -Errno.noDevice }
  guard place >= 0, place <= 256 - size, place % size == 0 else { return fail(Errno.invalid) }
  let offset = Int(place)
  switch size {
  case 1: pci.writeConfiguration(UInt8(truncatingIfNeeded: value), at: offset)
  case 2: pci.writeConfiguration(UInt16(truncatingIfNeeded: value), at: offset)
  default: pci.writeConfiguration(value, at: offset)
  }
  return 0
}

@c @implementation
public func swiftdma_find_capability(_ dev: UnsafeRawPointer?, _ capability: Int32) -> Int32 {
  guard let pci = unsafe pciDevice(dev, "pci_find_capability")?.pci, capability >= 0,
    capability < 256
  else { return 0 }
  return Int32(pci.capability(UInt8(capability)) ?? 0)
}

@c @implementation
public func swiftdma_set_command(
  _ dev: UnsafeRawPointer?, _ bits: UInt32, _ isOn: Int32
) -> Int32 {
  guard let pci = unsafe pciDevice(dev, "pci_enable_device")?.pci else { return -Errno.noDevice }
  if bits == 4, isOn == 0 {
    pci.disableBusMastering()
    return 0
  }
  let command: UInt16 = pci.readConfiguration(at: PCIRegister.command)
  let change = UInt16(truncatingIfNeeded: bits)
  pci.writeConfiguration(isOn != 0 ? command | change : command & ~change, at: PCIRegister.command)
  return 0
}

@c @implementation
public func swiftdma_driver_left(_ dev: UnsafeRawPointer?) {
  guard let box = unsafe pciDevice(dev, "pci_unregister_driver") else { return }
  box.machine.checker?.checker.reportLeaks(of: box.dma)
}
