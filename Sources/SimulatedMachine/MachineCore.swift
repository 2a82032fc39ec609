internal import CSimulatedHost
internal import DMA
internal import MachineMemory
internal import PCI

/// All parts of a machine, in one object that lives until its last buffer is freed.
@safe
final class MachineCore {
  let memory: PhysicalMemory
  let allocator: PageAllocator
  let slabs: SlabAllocator
  let areas: VirtualAreas
  /// Where the addresses from 3 to 4 GiB would be seen if registers were memory; nothing answers.
  let registerAddresses: Range<UInt>
  let registerWindow: Range<UInt64> = MemoryMap.lowCeiling..<MemoryMap.fourGiB
  let clock: SimulatedClock
  let interrupts: InterruptController
  let incidents: IncidentLog
  let bus: SimulatedBus
  let slots: DeviceSlots
  let runner: DeviceRunner
  /// Where devices do not run when a driver waits.
  private var thread: DeviceThread?
  let iommu: VTDUnit?
  let faults: FaultPlan?

  init(_ configuration: SimulatedMachine.Configuration) throws(SimulatedMachineError) {
    let mebibyte: UInt64 = 1 << 20
    let size = configuration.memoryByteCount
    guard size % mebibyte == 0, size >= 32 * mebibyte, size <= 16 << 40 else {
      throw .invalidMemorySize(size)
    }
    let memory: PhysicalMemory
    let allocator: PageAllocator
    do throws(DMAError) {
      memory = try PhysicalMemory(
        MemoryMap(
          byteCount: size, has24BitZone: configuration.has24BitZone,
          has32BitZone: configuration.has32BitZone),
        isCoherent: configuration.isCoherent, hasOwnDeviceView: configuration.isGuarded)
      allocator = try PageAllocator(memory)
    } catch { throw SimulatedMachineError(memory: error) }
    let interrupts = InterruptController()
    var iommu: VTDUnit? = nil
    switch configuration.iommu {
    case .none: break
    case .vtd(let addressWidth):
      guard addressWidth == 39 || addressWidth == 48 else {
        throw .invalidAddressWidth(addressWidth)
      }
      iommu = try VTDUnit(
        memory: memory, interrupts: interrupts, addressWidth: addressWidth,
        isCoherent: configuration.isCoherent)
    }
    var alarm: Alarm? = nil
    if configuration.execution == .threaded {
      alarm = Alarm()
      // ENOMEM: the host has no memory for it.
      guard alarm != nil else { throw .host(code: 12) }
    }
    // Not the range's count: its unused branch is an error in optimised Embedded builds.
    let registerByteCount = MemoryMap.fourGiB - MemoryMap.lowCeiling
    let registerBase = simulated_host_reserve(registerByteCount, 4096)
    // ENOMEM: no addresses left.
    guard registerBase != 0 else { throw .host(code: 12) }
    registerAddresses = registerBase..<registerBase + UInt(registerByteCount)
    slabs = SlabAllocator(memory: memory, allocator: allocator)
    areas = VirtualAreas(memory: memory, allocator: allocator, seed: configuration.seed)
    faults = configuration.faults
    self.memory = memory
    self.allocator = allocator
    incidents = IncidentLog()
    self.interrupts = interrupts
    self.iommu = iommu
    let slots = DeviceSlots()
    self.slots = slots
    let clock = SimulatedClock(seed: configuration.seed, alarm: alarm)
    self.clock = clock
    runner = DeviceRunner(clock: clock, slots: slots, alarm: alarm)
    bus = SimulatedBus(
      memory: memory, interrupts: interrupts, incidents: incidents, iommu: iommu,
      faults: configuration.faults)
    thread = alarm == nil ? nil : try DeviceThread(runner)
  }

  deinit {
    // The thread ends before what it works with.
    thread = nil
    slots.detachAll()
    simulated_host_release(registerAddresses.lowerBound, UInt64(registerAddresses.count))
  }

  /// The object behind an operations table's context.
  static func from(_ context: UnsafeMutableRawPointer) -> MachineCore {
    // SAFETY: contexts are made by `context` below, and whoever holds a table holds the object.
    unsafe Unmanaged<MachineCore>.fromOpaque(context).takeUnretainedValue()
  }

  /// What operations tables carry.
  var context: UnsafeMutableRawPointer {
    unsafe Unmanaged.passUnretained(self).toOpaque()
  }

  // MARK: Time

  /// Moves time on and lets devices do what is due by then; where they have a thread of their
  /// own, lets that run.
  func relax() {
    if thread == nil { runner.run(at: clock.advance()) } else { simulated_host_yield() }
  }

  // MARK: Configuration and registers

  func readConfiguration(_ packed: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
    guard let device = slots.device(packed) else { return .max }
    return device.withLock { device.configuration.read(at: offset, byteCount: byteCount) }
  }

  private static func iommuOffset(_ address: UInt64) -> Int? {
    let start = VTDRegister.windowAddress
    guard address >= start, address - start < UInt64(VTDRegister.windowByteCount) else {
      return nil
    }
    return Int(address - start)
  }

  func writeConfiguration(_ packed: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32) {
    guard let device = slots.device(packed) else { return }
    device.withLock {
      device.writeConfiguration(value, at: offset, byteCount: byteCount)
      slots.decode(slot: Int(packed), device)
    }
  }

  func readRegister(_ address: UInt64, _ byteCount: Int) -> UInt64 {
    if let iommu, let offset = Self.iommuOffset(address) {
      return iommu.readRegister(offset, byteCount)
    }
    guard let target = slots.target(address) else { return .max }
    return target.device.withLock {
      target.device.read(bar: target.bar, offset: target.offset, byteCount: byteCount)
    }
  }

  func writeRegister(_ address: UInt64, _ byteCount: Int, _ value: UInt64) {
    if let iommu, let offset = Self.iommuOffset(address) {
      return iommu.writeRegister(offset, byteCount, value)
    }
    guard let target = slots.target(address) else { return }
    target.device.withLock {
      target.device.write(value, bar: target.bar, offset: target.offset, byteCount: byteCount)
    }
  }
}

// SAFETY: every part has its own lock.
extension MachineCore: @unchecked Sendable {}
