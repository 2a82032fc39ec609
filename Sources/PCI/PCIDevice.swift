public import DMA

/// A PCI function that a driver drives: configuration space, registers, interrupts, DMA.
///
/// Made by machines or from a `PCIHost`. One driver at a time; not for several threads at once,
/// except `dma`, whose calls say so themselves.
public final class PCIDevice {
  /// Where it sits.
  public let address: PCIAddress
  /// What it does DMA with.
  public let dma: DMADevice
  let host: PCIHost

  /// Opens a function.
  ///
  /// - Parameters:
  ///   - mapping: what stands between it and memory.
  ///   - constraints: what its engine cannot do, besides its mask.
  /// - Throws: `PCIError.noDevice` when nobody answers at the address.
  public init(
    host: PCIHost, address: PCIAddress, mapping: DMAMapping, constraints: DMAConstraints = .pci
  ) throws(PCIError) {
    let vendor = host.readConfiguration(UInt16.self, address, at: PCIRegister.vendorID)
    guard vendor != 0xffff else { throw .noDevice(address) }
    self.host = host
    self.address = address
    self.dma = DMADevice(
      name: address.description, platform: host.platform, mapping: mapping,
      constraints: constraints, requester: UInt16(truncatingIfNeeded: address.packed))
  }

  public var vendorID: UInt16 { readConfiguration(at: PCIRegister.vendorID) }
  public var deviceID: UInt16 { readConfiguration(at: PCIRegister.deviceID) }

  /// Class, subclass and programming interface in 24 bits.
  public var classCode: UInt32 {
    readConfiguration(UInt32.self, at: PCIRegister.revision) >> 8
  }

  /// A word of configuration space.
  public func readConfiguration<Word: DMAWord>(
    _ type: Word.Type = Word.self, at offset: Int
  ) -> Word {
    host.readConfiguration(type, address, at: offset)
  }

  /// Writes a word of configuration space.
  public func writeConfiguration<Word: DMAWord>(_ value: Word, at offset: Int) {
    host.writeConfiguration(value, address, at: offset)
  }

  /// Lets the device master the bus: without it, no DMA and no message interrupts.
  public func enableBusMastering() { setCommand(PCICommand.busMaster, true) }

  /// Stops the device's DMA at the bus: after it returns, memory is safe from the device.
  ///
  /// Memory quarantined for the device comes back.
  public func disableBusMastering() {
    setCommand(PCICommand.busMaster, false)
    dma.declareQuiet()
  }

  /// Whether the device may master the bus.
  public var isBusMasteringEnabled: Bool {
    readConfiguration(UInt16.self, at: PCIRegister.command) & PCICommand.busMaster != 0
  }

  func setCommand(_ bits: UInt16, _ isOn: Bool) {
    let command: UInt16 = readConfiguration(at: PCIRegister.command)
    writeConfiguration(isOn ? command | bits : command & ~bits, at: PCIRegister.command)
  }

  /// The registers behind a memory BAR; turns memory decoding on.
  ///
  /// - Throws: `PCIError.noBAR`, or `PCIError.machine` when the machine cannot map it.
  public func mapBAR(_ index: Int) throws(PCIError) -> RegisterWindow {
    guard let size = host.size(of: index, address), size.isMemory, size.byteCount > 0 else {
      throw .noBAR(index: index)
    }
    let register = PCIRegister.bar0 + index * 4
    var start = UInt64(readConfiguration(UInt32.self, at: register) & ~15)
    if size.is64Bit { start |= UInt64(readConfiguration(UInt32.self, at: register + 4)) << 32 }
    setCommand(PCICommand.memory, true)
    var numbers = DMAStatusNumbers()
    let byteCount = Int(truncatingIfNeeded: size.byteCount)
    // SAFETY: the owner of the host keeps its context valid; numbers has room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe host.operations.pointee.mapBAR(
        host.context, address.packed, index, start, byteCount, pointer)
    }
    guard status == .success else {
      throw .machine(DMAError(status: status, numbers: numbers))
    }
    if numbers.first != 0 {
      return RegisterWindow(
        unsafeBase: UInt(truncatingIfNeeded: numbers.first), byteCount: byteCount)
    }
    return unsafe RegisterWindow(
      operations: host.registers, context: host.context, window: numbers.second,
      byteCount: byteCount)
  }

  /// Where the function's capability with this id lies in configuration space.
  public func capability(_ id: UInt8) -> Int? {
    // Bit 4 of status: there is a list (PCI 3.0, 6.2.3).
    guard readConfiguration(UInt16.self, at: PCIRegister.status) & 1 << 4 != 0 else { return nil }
    var offset = Int(readConfiguration(UInt8.self, at: PCIRegister.capabilities) & ~3)
    // 192 bytes hold at most 48 capabilities: a list that is longer is a loop.
    for _ in 0..<48 where offset >= 0x40 {
      if readConfiguration(UInt8.self, at: offset) == id { return offset }
      offset = Int(readConfiguration(UInt8.self, at: offset + 1) & ~3)
    }
    return nil
  }

  /// Ends the device: bus mastering off, quarantined memory back, every later map an error.
  public func remove() {
    disableBusMastering()
    setCommand(PCICommand.memory, false)
    dma.remove()
  }
}
