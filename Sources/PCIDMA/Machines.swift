public import CPCIDMA
internal import DMA
internal import DMAMapping
internal import PCI
internal import QEMUMachine
internal import SimulatedMachine

@c @implementation
public func swiftdma_machine_create(
  _ options: UnsafePointer<swiftdma_machine_options>?,
  _ machine: UnsafeMutablePointer<UnsafeMutablePointer<swiftdma_machine>?>?
) -> Int32 {
  guard let machine = unsafe machine else { return fail(Errno.invalid) }
  var settings = unsafe swiftdma_machine_options()
  let status = unsafe readOptions(options, &settings)
  guard status == 0 else { return status }
  guard unsafe settings.mapping.rawValue <= SWIFTDMA_IOMMU_DEFERRED.rawValue,
    unsafe settings.flags & ~15 == 0
  else { return fail(Errno.invalid) }
  let box: MachineBox
  switch unsafe makeMachine(settings) {
  case .success(let made): box = made
  case .failure(let number): return fail(number)
  }
  let slot = unsafe Registry.shared.with { books -> UnsafeMutablePointer<swiftdma_machine>? in
    guard let slot = unsafe books.takeMachine() else { return nil }
    unsafe slot.pointee.object = unsafe Unmanaged.passRetained(box).toOpaque()
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.live)
    books.machines.append(box)
    books.current = box
    return unsafe slot
  }
  guard let slot = unsafe slot else {
    box.end()
    box.backing.stop()
    return fail(Errno.tooManyMachines)
  }
  unsafe machine.pointee = unsafe slot
  return 0
}

/// A machine, or the number that says why there is none.
enum MadeMachine {
  case success(MachineBox)
  case failure(Int32)
}

private func makeMachine(_ settings: swiftdma_machine_options) -> MadeMachine {
  let backing: MachineBacking
  switch unsafe settings.kind {
  case SWIFTDMA_SIMULATED:
    do throws(SimulatedMachineError) {
      backing = unsafe SimulatedBacking(try SimulatedMachine(configuration(settings)))
    } catch {
      switch error {
      case .invalidMemorySize, .invalidAddressWidth: return .failure(Errno.invalid)
      default: return .failure(Errno.noMemory)
      }
    }
  case SWIFTDMA_QEMU:
    // QEMU's caches are coherent, and its memory is where it is.
    guard unsafe settings.flags & ~UInt32(SWIFTDMA_EXPECT_ERROR_TESTS) == 0 else {
      return .failure(Errno.notSupported)
    }
    do throws(QEMUError) {
      let hasIOMMU = unsafe usesIOMMU(settings)
      backing = unsafe QEMUBacking(
        try QEMUMachine(configuration(settings, hasIOMMU: hasIOMMU)), hasIOMMU: hasIOMMU)
    } catch {
      unsafe withText("QEMU: \(error.description)") { unsafe swiftdma_emit(3, $0) }
      switch error {
      case .notInstalled: return .failure(Errno.noEntry)
      case .invalidConfiguration: return .failure(Errno.invalid)
      case .host: return .failure(Errno.noMemory)
      default: return .failure(Errno.io)
      }
    }
  default: return .failure(Errno.invalid)
  }
  do throws(DMAError) {
    return unsafe .success(try makeBox(backing, settings))
  } catch {
    backing.stop()
    return .failure(error.number)
  }
}

/// The machine of QEMU's that the options ask for.
private func configuration(
  _ settings: swiftdma_machine_options, hasIOMMU: Bool
) -> QEMUMachine.Configuration {
  var configuration = QEMUMachine.Configuration()
  if unsafe settings.memory_size != 0 {
    configuration.memoryByteCount = unsafe settings.memory_size
  }
  configuration.hasIOMMU = hasIOMMU
  if let names = unsafe settings.qemu_devices {
    // SAFETY: the caller has so many texts there.
    for index in unsafe 0..<Int(min(settings.qemu_device_count, 32)) {
      guard let name = unsafe names[index] else { continue }
      unsafe configuration.devices.append(.other(text(name, limit: 4096)))
    }
  }
  if let image = unsafe settings.qemu_nvme_image {
    unsafe configuration.devices.append(.nvme(image: text(image, limit: 4096), isReadOnly: false))
  }
  return configuration
}

private func usesIOMMU(_ settings: swiftdma_machine_options) -> Bool {
  unsafe settings.mapping == SWIFTDMA_IOMMU_STRICT || settings.mapping == SWIFTDMA_IOMMU_DEFERRED
}

private func configuration(
  _ settings: swiftdma_machine_options
) -> SimulatedMachine.Configuration {
  var configuration = SimulatedMachine.Configuration()
  if unsafe settings.memory_size != 0 {
    configuration.memoryByteCount = unsafe settings.memory_size
  }
  if unsafe settings.seed != 0 { configuration.seed = unsafe settings.seed }
  configuration.isCoherent = unsafe settings.flags & UInt32(SWIFTDMA_INCOHERENT) == 0
  // Address space and nothing else, unless guard mode is turned on.
  configuration.isGuarded = true
  configuration.has24BitZone = unsafe settings.flags & UInt32(SWIFTDMA_NO_24BIT_ZONE) == 0
  configuration.has32BitZone = unsafe settings.flags & UInt32(SWIFTDMA_NO_32BIT_ZONE) == 0
  if unsafe usesIOMMU(settings) { configuration.iommu = .vtd() }
  return configuration
}

private func makeBox(
  _ backing: MachineBacking, _ settings: swiftdma_machine_options
) throws(DMAError) -> MachineBox {
  let platform = backing.platform
  var domain: IOMMUDomain?
  let mapping: DMAMapping
  if unsafe usesIOMMU(settings) {
    // ENXIO: a machine without the unit that it was made with.
    guard let registers = backing.iommuRegisters else { throw .machine(code: 6) }
    let unit = try VTDUnit(registers: registers, platform: platform)
    var options = IOMMUDomain.Options()
    if unsafe settings.mapping == SWIFTDMA_IOMMU_DEFERRED { options.invalidation = .deferred() }
    let made = try IOMMUDomain(platform: platform, unit: unit.unit, options: options)
    try backing.prepare(made)
    domain = made
    mapping = made.mapping
  } else if unsafe settings.mapping == SWIFTDMA_DIRECT {
    mapping = DirectMapping.make(for: platform)
  } else {
    mapping = unsafe try makeBounce(platform, settings).mapping
  }
  let box = unsafe MachineBox(
    backing: backing, mapping: mapping, domain: domain,
    isDirect: settings.mapping == SWIFTDMA_DIRECT,
    expectsErrorTests: settings.flags & UInt32(SWIFTDMA_EXPECT_ERROR_TESTS) != 0)
  // The functions that are there already; a simulated machine has none yet.
  do throws(DMAError) {
    for address in backing.pci.scan() where address.device > 0 && address.device < 31 {
      _ = try box.adopt(address, nil)
    }
  } catch {
    box.end()
    throw error
  }
  return box
}

/// A pool as low as there is memory, so that devices of 24 bits have one, too.
private func makeBounce(
  _ platform: Platform, _ settings: swiftdma_machine_options
) throws(DMAError) -> BounceMapping {
  var options = BounceMapping.Options()
  options.slotCount = unsafe settings.bounce_slots == 0 ? 2048 : Int(settings.bounce_slots)
  options.isForced = unsafe settings.mapping == SWIFTDMA_BOUNCE_ALL
  options.minimumAlignmentMask = 4095
  for limit in [DMAMask.bits24, .bits32] {
    options.limit = limit
    do throws(DMAError) {
      return try BounceMapping(platform: platform, options: options)
    } catch {
      guard case .outOfMemory = error, limit == .bits24 else { throw error }
    }
  }
  throw .outOfMemory(byteCount: options.slotCount * 2048, limit: 0xffff_ffff)
}

@c @implementation
public func swiftdma_machine_destroy(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine), let slot = unsafe machine else {
    return fail(Errno.noDevice)
  }
  guard swiftdma_is_atomic() == 0 else { return fail(Errno.busy) }
  Registry.shared.with { books in
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.free)
    books.machines.removeAll { $0 === box }
    if books.current === box { books.current = books.machines.last }
  }
  box.end()
  RegisterSpace.shared.removeAll(of: box)
  box.backing.stop()
  if let object = unsafe slot.pointee.object {
    unsafe slot.pointee.object = nil
    // SAFETY: retained when the slot became live.
    unsafe Unmanaged<MachineBox>.fromOpaque(object).release()
  }
  return 0
}

@c @implementation
public func swiftdma_machine_select(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else { return fail(Errno.noDevice) }
  Registry.shared.with { $0.current = box }
  return 0
}

@c @implementation
public func swiftdma_machine_current() -> UnsafeMutablePointer<swiftdma_machine>? {
  guard let current = Registry.shared.current else { return nil }
  for index in 0..<Int(SWIFTDMA_MACHINE_COUNT) {
    guard let slot = unsafe swiftdma_machine_slot(index),
      unsafe swiftdma_state(&slot.pointee.state) == SlotState.live
    else { continue }
    if unsafe slot.pointee.object == Unmanaged.passUnretained(current).toOpaque() {
      return unsafe slot
    }
  }
  return nil
}

@c @implementation
public func swiftdma_run(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?, _ nanoseconds: UInt64
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else { return fail(Errno.noDevice) }
  guard swiftdma_is_atomic() == 0 else { return fail(Errno.again) }
  let begun = box.platform.nanoseconds
  repeat { box.relax() } while box.platform.nanoseconds &- begun < nanoseconds
  return 0
}

@c @implementation
public func swiftdma_now(_ machine: UnsafeMutablePointer<swiftdma_machine>?) -> UInt64 {
  unsafe Registry.shared.live(machine)?.platform.nanoseconds ?? 0
}

@c @implementation
public func swiftdma_free_memory(_ machine: UnsafeMutablePointer<swiftdma_machine>?) -> UInt64 {
  unsafe Registry.shared.live(machine)?.backing.freeByteCount ?? 0
}

@c @implementation
public func swiftdma_machine_failure(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?, _ text: UnsafeMutablePointer<CChar>?,
  _ size: Int
) -> Int {
  let failure = unsafe Registry.shared.live(machine)?.backing.failure ?? "no such machine"
  let bytes = Array(failure.utf8)
  guard let text = unsafe text, size > 0 else { return bytes.count }
  // SAFETY: the caller has room for `size` bytes.
  for index in 0..<min(bytes.count, size - 1) {
    unsafe text[index] = CChar(bitPattern: bytes[index])
  }
  unsafe text[min(bytes.count, size - 1)] = 0
  return bytes.count
}

@c @implementation
public func swiftdma_classify(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?, _ address: UnsafeRawPointer?, _ size: Int
) -> swiftdma_memory_kind {
  let kind = unsafe Registry.shared.live(machine)?.backing.classify(UInt(bitPattern: address), size)
  return swiftdma_memory_kind(rawValue: UInt32(kind?.rawValue ?? 0))
}

// MARK: For the kernel's calls

@c @implementation
public func swiftdma_relax() { Registry.shared.current?.relax() }

@c @implementation
public func swiftdma_current_time() -> UInt64 {
  Registry.shared.current?.platform.nanoseconds ?? 0
}
