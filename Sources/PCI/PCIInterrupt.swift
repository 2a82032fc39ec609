public import DMA

/// One interrupt vector of a device.
///
/// A handler, if there is one, runs in interrupt context when `deliver()` or `wait` finds that the
/// device has signalled: on the thread that asked, never behind the driver's back.
@safe
public final class PCIInterrupt {
  let host: PCIHost
  let handle: UInt64
  let handler: (() -> Void)?

  init(host: PCIHost, handle: UInt64, handler: (() -> Void)?) {
    self.host = host
    self.handle = handle
    self.handler = handler
  }

  deinit {
    // SAFETY: the host keeps its context valid; the handle is this object's own.
    unsafe host.operations.pointee.freeMessage(host.context, handle)
  }

  /// Whether the device has signalled since the last call; runs the handler if it has.
  @discardableResult
  public func deliver() -> Bool {
    // SAFETY: as above.
    guard unsafe host.operations.pointee.takeInterrupt(host.context, handle) != 0 else {
      return false
    }
    if let handler { ExecutionContext.withInterrupt(handler) }
    return true
  }

  /// Waits until the device signals, and runs the handler.
  ///
  /// - Throws: `DMAError.timedOut` (a retry can help), `DMAError.wouldBlock` in atomic context.
  public func wait(nanoseconds: UInt64) throws(DMAError) {
    try host.platform.wait(nanoseconds: nanoseconds) { deliver() }
  }
}

extension PCIDevice {
  /// Turns on message-signalled interrupts with one vector (PCI 3.0, 6.8.1).
  ///
  /// - Parameter handler: runs in interrupt context, see `PCIInterrupt`.
  /// - Throws: `PCIError.noCapability`; `PCIError.machine` when the machine has no message left.
  public func enableMSI(handler: (() -> Void)? = nil) throws(PCIError) -> PCIInterrupt {
    guard let capability = capability(PCICapabilityID.msi) else {
      throw .noCapability(id: PCICapabilityID.msi)
    }
    if let attached = try attach(.msi, 0, handler) { return attached }
    let message = try allocateMessage(0)
    let control: UInt16 = readConfiguration(at: capability + 2)
    let is64Bit = control & 1 << 7 != 0
    writeConfiguration(UInt32(truncatingIfNeeded: message.address), at: capability + 4)
    if is64Bit {
      writeConfiguration(UInt32(truncatingIfNeeded: message.address >> 32), at: capability + 8)
    }
    writeConfiguration(message.data, at: capability + (is64Bit ? 12 : 8))
    // One vector: bits 6:4 zero; then the enable bit. Wire interrupts off.
    writeConfiguration(control & ~0x70 | 1, at: capability + 2)
    setCommand(PCICommand.interruptDisable, true)
    return PCIInterrupt(host: host, handle: message.handle, handler: handler)
  }

  /// Turns on MSI-X and gives one vector of its table a message (PCI 3.0, 6.8.2).
  ///
  /// - Throws: `PCIError.noCapability`, `.noVector`, `.noBAR`, `.machine`.
  public func enableMSIX(
    vector index: Int, handler: (() -> Void)? = nil
  ) throws(PCIError) -> PCIInterrupt {
    guard let capability = capability(PCICapabilityID.msix) else {
      throw .noCapability(id: PCICapabilityID.msix)
    }
    let control: UInt16 = readConfiguration(at: capability + 2)
    let count = Int(control & 0x7ff) + 1
    guard index >= 0, index < count else { throw .noVector(index: index, count: count) }
    if let attached = try attach(.msix, index, handler) { return attached }
    let table: UInt32 = readConfiguration(at: capability + 4)
    let window = try mapBAR(Int(table & 7))
    let entry = Int(table & ~7) + index * 16
    guard entry <= window.byteCount - 16 else { throw .noVector(index: index, count: count) }
    let message = try allocateMessage(index)
    window.write(UInt32(truncatingIfNeeded: message.address), at: entry)
    window.write(UInt32(truncatingIfNeeded: message.address >> 32), at: entry + 4)
    window.write(UInt32(message.data), at: entry + 8)
    // Unmasked.
    window.write(0 as UInt32, at: entry + 12)
    writeConfiguration((control | 1 << 15) & ~(1 << 14), at: capability + 2)
    setCommand(PCICommand.interruptDisable, true)
    return PCIInterrupt(host: host, handle: message.handle, handler: handler)
  }

  /// Turns on the device's interrupt wire, INTA# to INTD# (PCI 3.0, 2.2.6).
  ///
  /// The handler must calm the device: the wire stays masked until `deliver()` or `wait` is called
  /// again.
  ///
  /// - Throws: `PCIError.machine` where the machine brings no wires to drivers: only kernels do.
  public func enableWireInterrupt(
    handler: (() -> Void)? = nil
  ) throws(PCIError) -> PCIInterrupt {
    // ENOTSUP.
    guard let attached = try attach(.wire, 0, handler) else { throw .machine(.machine(code: 95)) }
    return attached
  }

  /// How a device interrupts; the numbers are those of `PCIOperations.AttachInterrupt`.
  private enum Kind: UInt32 {
    case wire = 0
    case msi = 1
    case msix = 2
  }

  /// Has the machine's kernel turn a vector on; nil where drivers do it themselves.
  private func attach(
    _ kind: Kind, _ index: Int, _ handler: (() -> Void)?
  ) throws(PCIError) -> PCIInterrupt? {
    guard let attach = unsafe host.operations.pointee.attachInterrupt else { return nil }
    var numbers = DMAStatusNumbers()
    // SAFETY: the owner of the host keeps its context valid; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe attach(host.context, address.packed, kind.rawValue, index, pointer)
    }
    guard status == .success else {
      throw .machine(DMAError(status: status, numbers: numbers))
    }
    setCommand(PCICommand.interruptDisable, kind != .wire)
    return PCIInterrupt(host: host, handle: numbers.first, handler: handler)
  }

  struct Message {
    var address: UInt64
    var data: UInt16
    var handle: UInt64
  }

  private func allocateMessage(_ index: Int) throws(PCIError) -> Message {
    var numbers = DMAStatusNumbers()
    // SAFETY: the owner of the host keeps its context valid; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe host.operations.pointee.allocateMessage(
        host.context, address.packed, index, pointer)
    }
    guard status == .success else {
      throw .machine(DMAError(status: status, numbers: numbers))
    }
    return Message(
      address: numbers.first, data: UInt16(truncatingIfNeeded: numbers.second),
      handle: numbers.third)
  }
}
