internal import DMA
internal import PCI

/// The functions of bus 0, and which addresses their registers answer at.
@safe
final class DeviceSlots {
  private struct Decoded {
    var range: ClosedRange<UInt64>
    var slot: Int
    var bar: Int
  }

  private struct State: ~Copyable {
    /// One for each device and function number.
    var devices = [SimulatedDevice?](repeating: nil, count: DeviceSlots.count)
    var generations = [UInt64](repeating: 0, count: DeviceSlots.count)
    var decoded: [Decoded] = []
    /// Where the next BAR of each kind goes.
    var nextBAR = DeviceSlots.barWindow.lowerBound
  }

  static let count = 256
  /// Where firmware puts registers: below the IOAPIC, the IOMMU and the interrupt window.
  static let barWindow: ClosedRange<UInt64> = 0xc000_0000...0xfebf_ffff

  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>

  init() {
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State())
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  // SAFETY of every access to `state`: it lives as long as this object, and the lock is held.

  /// The function with this packed address, if there is one.
  func device(_ packed: UInt32) -> SimulatedDevice? {
    guard packed < UInt32(Self.count) else { return nil }
    return lock.withLock { unsafe state.pointee.devices[Int(packed)] }
  }

  /// The device in a slot, if it is still the one that was meant.
  func device(_ slot: Int, generation: UInt64) -> SimulatedDevice? {
    lock.withLock {
      unsafe state.pointee.generations[slot] == generation ? state.pointee.devices[slot] : nil
    }
  }

  /// Puts a device on the bus and does firmware's work: its registers get addresses.
  func attach(
    _ device: SimulatedDevice, at wanted: PCIAddress?, bus: SimulatedBus, clock: SimulatedClock
  ) throws(SimulatedMachineError) -> PCIAddress {
    let slot = try reserve(device, wanted)
    var places: [UInt64] = []
    do throws(SimulatedMachineError) {
      places = try placeBARs(of: device)
    } catch {
      vacate(slot)
      throw error
    }
    let generation = lock.withLock { unsafe state.pointee.generations[slot] }
    let place = SimulatedDevice.Place(
      bus: bus, clock: clock, slot: slot, generation: generation)
    guard device.attach(place) else {
      vacate(slot)
      throw .deviceInUse
    }
    device.withLock {
      for (bar, address) in zip(device.bars, places) {
        device.configuration.place(bar, at: address)
      }
    }
    return place.address
  }

  private func reserve(
    _ device: SimulatedDevice, _ wanted: PCIAddress?
  ) throws(SimulatedMachineError) -> Int {
    lock.lock()
    defer { lock.unlock() }
    var slot: Int
    if let wanted {
      guard wanted.segment == 0, wanted.bus == 0 else { throw .noSlot }
      slot = Int(wanted.packed)
      guard unsafe state.pointee.devices[slot] == nil else { throw .slotTaken(wanted) }
    } else {
      // Device 0 is the host bridge's on a PC.
      slot = 8
      while slot < Self.count, unsafe state.pointee.devices[slot] != nil { slot += 8 }
      guard slot < Self.count else { throw .noSlot }
    }
    unsafe state.pointee.devices[slot] = device
    unsafe state.pointee.generations[slot] += 1
    return slot
  }

  private func vacate(_ slot: Int) {
    lock.withLock { unsafe state.pointee.devices[slot] = nil }
  }

  private func placeBARs(
    of device: SimulatedDevice
  ) throws(SimulatedMachineError) -> [UInt64] {
    lock.lock()
    defer { lock.unlock() }
    var next = unsafe state.pointee.nextBAR
    var places: [UInt64] = []
    for bar in device.bars {
      // A BAR is aligned to its size (PCI 3.0, 6.2.5.1).
      let start = (next + bar.byteCount - 1) & ~(bar.byteCount - 1)
      guard start <= Self.barWindow.upperBound,
        bar.byteCount - 1 <= Self.barWindow.upperBound - start
      else { throw .outOfBARSpace(byteCount: bar.byteCount) }
      places.append(start)
      next = start + bar.byteCount
    }
    unsafe state.pointee.nextBAR = next
    return places
  }

  /// Takes a device off the bus, without asking its driver.
  func detach(_ address: PCIAddress) throws(SimulatedMachineError) {
    guard let device = device(address.packed) else { throw .noDevice(address) }
    let slot = Int(address.packed)
    lock.withLock {
      unsafe state.pointee.devices[slot] = nil
      unsafe state.pointee.decoded.removeAll { $0.slot == slot }
    }
    // Whoever is inside of the model comes out first; then it reaches nothing any more.
    device.detach()
  }

  func detachAll() {
    for slot in 0..<Self.count {
      if let device = device(UInt32(slot)) {
        vacate(slot)
        device.detach()
      }
    }
  }

  /// Notes where a device's registers answer, after its configuration changed; its lock is held.
  func decode(slot: Int, _ device: SimulatedDevice) {
    let configuration = device.configuration
    lock.withLock {
      unsafe state.pointee.decoded.removeAll { $0.slot == slot }
      guard configuration.isMemoryEnabled, unsafe state.pointee.devices[slot] === device else {
        return
      }
      for bar in device.bars {
        let start = configuration.address(of: bar)
        let end = start.addingReportingOverflow(bar.byteCount - 1)
        // Registers at 0 are registers nobody has placed.
        guard start != 0, !end.overflow else { continue }
        unsafe state.pointee.decoded.append(
          Decoded(range: start...end.partialValue, slot: slot, bar: bar.index))
      }
    }
  }

  /// Registers that answer at an address.
  struct Target {
    var device: SimulatedDevice
    var bar: Int
    var offset: Int
  }

  func target(_ address: UInt64) -> Target? {
    lock.withLock {
      for entry in unsafe state.pointee.decoded where entry.range.contains(address) {
        guard let device = unsafe state.pointee.devices[entry.slot] else { return nil }
        return Target(
          device: device, bar: entry.bar, offset: Int(address - entry.range.lowerBound))
      }
      return nil
    }
  }
}

// SAFETY: the state is only touched with the lock held.
extension DeviceSlots: @unchecked Sendable {}
