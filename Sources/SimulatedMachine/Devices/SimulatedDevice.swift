internal import CSimulatedHost
internal import PCI

/// A model of a PCI device: subclass it and override what it does.
///
/// The machine calls the overridable methods one at a time for a device, on whatever thread
/// touches its registers or waits. They must not wait, and must not touch other devices. A device
/// reaches memory only through `readMemory` and `writeMemory`, which the bus gates.
@safe
open class SimulatedDevice {
  /// What it says it is.
  public let identity: PCIIdentity
  /// Its windows of registers.
  public let bars: [SimulatedBAR]

  var configuration: ConfigurationSpace
  var msix: MSIXTable?
  /// Where it sits; set while attached.
  private(set) var place: Place?
  private var wasAttached = false
  private let lock: UnsafeMutableRawPointer

  /// Where an attached device sits, and what of the machine it can use.
  struct Place {
    let bus: SimulatedBus
    let clock: SimulatedClock
    let slot: Int
    let generation: UInt64

    var address: PCIAddress { PCIAddress(packed: UInt32(slot)) }
  }

  /// - Parameters:
  ///   - msiVectorCount: 0 for none, else a power of two of at most 32.
  ///
  ///   - msix: where the table lies, if there is one; accesses to it never reach the subclass.
  public init(
    identity: PCIIdentity, bars: [SimulatedBAR], msiVectorCount: Int = 0, msix: MSIXLayout? = nil
  ) {
    precondition(
      msiVectorCount >= 0 && msiVectorCount <= 32 && msiVectorCount & (msiVectorCount - 1) == 0,
      "MSI has 1, 2, 4, 8, 16 or 32 vectors")
    self.identity = identity
    self.bars = bars
    configuration = ConfigurationSpace(identity, bars: bars)
    if msiVectorCount > 0 { configuration.addMSI(vectorCount: msiVectorCount) }
    if let msix { configuration.addMSIX(msix) }
    self.msix = msix.map { MSIXTable($0) }
    guard let lock = unsafe simulated_host_lock_create() else {
      fatalError("no memory for a lock")
    }
    unsafe self.lock = lock
  }

  deinit { unsafe simulated_host_lock_destroy(lock) }

  // MARK: What a device does

  /// Back to the state after power-on.
  ///
  /// Called when it is attached.
  open func reset() {}

  /// The value of registers; all ones where there are none.
  open func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 { .max }

  /// Takes a value; 1, 2, 4 or 8 bytes, as the driver wrote it.
  open func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {}

  /// Does work that was scheduled.
  open func step(now: UInt64, tag: UInt64) {}

  // MARK: What a device can use

  /// Asks for a call of `step` once `nanoseconds` of the machine's time have passed.
  ///
  /// Several may be outstanding; the machine's seed stretches each a little.
  public final func schedule(after nanoseconds: UInt64, tag: UInt64 = 0) {
    guard let place else { return }
    place.clock.schedule(
      slot: place.slot, generation: place.generation, tag: tag, after: nanoseconds)
  }

  /// Reads memory over the bus into `buffer`; bytes that nobody gives read as all ones.
  @discardableResult
  public final func readMemory(
    _ address: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) -> BusOutcome {
    guard let start = buffer.baseAddress else { return .done }
    return access(address, UInt(bitPattern: start), buffer.count, isWrite: false)
  }

  /// Writes memory over the bus.
  @discardableResult
  public final func writeMemory(
    _ address: UInt64, from buffer: UnsafeRawBufferPointer
  ) -> BusOutcome {
    guard let start = buffer.baseAddress else { return .done }
    return access(address, UInt(bitPattern: start), buffer.count, isWrite: true)
  }

  // Private methods say `final`: else an Embedded client of an open class gets a second body.
  private final func access(
    _ address: UInt64, _ buffer: UInt, _ byteCount: Int, isWrite: Bool
  ) -> BusOutcome {
    guard let place else { return .refused }
    return place.bus.perform(
      SimulatedBus.Access(
        requester: place.address,
        isBusMaster: configuration.isBusMaster, address: address, buffer: buffer,
        byteCount: byteCount, isWrite: isWrite))
  }

  /// Notes that the device did not do what it was told.
  public final func report(
    _ reason: BusIncident.Reason, address: UInt64, byteCount: Int, isWrite: Bool
  ) {
    guard let place else { return }
    place.bus.incidents.append(
      BusIncident(
        requester: place.address, address: address,
        byteCount: byteCount, isWrite: isWrite, reason: reason))
  }

  /// Whether a message-signalled interrupt would be sent.
  public final var hasMessageInterrupts: Bool {
    configuration.isMSIEnabled || configuration.isMSIXEnabled
  }

  /// Signals a vector by MSI-X or MSI, whichever is on: a write to memory like any other.
  ///
  /// A masked MSI-X vector stays pending. Without either, nothing happens.
  public final func signal(vector: Int = 0) {
    if configuration.isMSIXEnabled, let count = msix?.layout.vectorCount {
      guard vector < count else { return }
      if configuration.isMSIXMasked || msix?.isMasked(vector) ?? true {
        msix?.setPending(vector)
      } else if let message = msix?.message(vector) {
        send(message)
      }
    } else if let message = configuration.msiMessage(vector) {
      send(message)
    }
  }

  /// Asserts or releases the interrupt wire, which shows in the status register.
  public final func setInterruptWire(_ isAsserted: Bool) { configuration.setWire(isAsserted) }

  private final func send(_ message: (address: UInt64, data: UInt32)) {
    var data = message.data.littleEndian
    // SAFETY: the word outlives the call.
    unsafe withUnsafeBytes(of: &data) { bytes in
      _ = unsafe writeMemory(message.address, from: bytes)
    }
  }

  // MARK: What the machine does with it

  /// One caller at a time.
  final func withLock<R>(_ body: () -> R) -> R {
    unsafe simulated_host_lock(lock)
    defer { unsafe simulated_host_unlock(lock) }
    return body()
  }

  /// Joins a machine; false when it has done so before.
  final func attach(_ place: Place) -> Bool {
    withLock {
      guard !wasAttached else { return false }
      wasAttached = true
      self.place = place
      configuration.reset()
      msix?.reset()
      reset()
      return true
    }
  }

  /// Leaves its machine: from now on it reaches nothing.
  final func detach() { withLock { place = nil } }

  final func read(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    if let msix, msix.contains(bar: bar, offset: offset) {
      return msix.read(at: offset, byteCount: byteCount)
    }
    return readRegister(bar: bar, offset: offset, byteCount: byteCount)
  }

  final func write(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    if let layout = msix, layout.contains(bar: bar, offset: offset) {
      msix?.write(value, at: offset, byteCount: byteCount)
      firePending()
    } else {
      writeRegister(value, bar: bar, offset: offset, byteCount: byteCount)
    }
  }

  final func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) {
    configuration.write(value, at: offset, byteCount: byteCount)
    firePending()
  }

  private final func firePending() {
    guard configuration.isMSIXEnabled, !configuration.isMSIXMasked else { return }
    for vector in msix?.takeFirable() ?? [] { signal(vector: vector) }
  }
}
