public import DMA

/// A machine's PCI: finds functions, gives them their addresses.
///
/// Made by machines.
@safe
public final class PCIHost {
  /// The machine behind it.
  public let platform: Platform
  let operations: UnsafeMutablePointer<PCIOperations>
  /// The table's register functions, where windows can point to them.
  let registers: UnsafeMutablePointer<RegisterOperations>
  let context: UnsafeMutableRawPointer
  let owner: AnyObject

  /// - Parameter owner: keeps `context` valid.
  public init(
    platform: Platform, operations: PCIOperations, context: UnsafeMutableRawPointer,
    owner: AnyObject
  ) {
    self.platform = platform
    unsafe self.operations = .allocate(capacity: 1)
    unsafe self.operations.initialize(to: operations)
    unsafe self.registers = .allocate(capacity: 1)
    unsafe self.registers.initialize(to: operations.registers)
    unsafe self.context = context
    self.owner = owner
  }

  deinit {
    unsafe operations.deinitialize(count: 1)
    unsafe operations.deallocate()
    unsafe registers.deinitialize(count: 1)
    unsafe registers.deallocate()
  }

  /// A word of configuration space; all ones when no function is there.
  public func readConfiguration<Word: DMAWord>(
    _ type: Word.Type = Word.self, _ address: PCIAddress, at offset: Int
  ) -> Word {
    // SAFETY: the owner keeps the context valid.
    Word(
      truncatingIfNeeded: unsafe operations.pointee.readConfiguration(
        context, address.packed, offset, MemoryLayout<Word>.size))
  }

  /// Writes a word of configuration space.
  public func writeConfiguration<Word: DMAWord>(
    _ value: Word, _ address: PCIAddress, at offset: Int
  ) {
    // SAFETY: as above.
    unsafe operations.pointee.writeConfiguration(
      context, address.packed, offset, MemoryLayout<Word>.size,
      UInt32(truncatingIfNeeded: value))
  }

  /// The functions on a bus, in order.
  public func scan(bus: UInt8 = 0) -> [PCIAddress] {
    var found: [PCIAddress] = []
    for device in 0..<32 as Range<UInt8> {
      for function in 0..<8 as Range<UInt8> {
        let address = PCIAddress(bus: bus, device: device, function: function)
        let vendor = readConfiguration(UInt16.self, address, at: PCIRegister.vendorID)
        if vendor != 0xffff { found.append(address) }
        if function == 0 {
          // Bit 7 of the header type: more functions than the first (PCI 3.0, 6.2.1).
          let header = readConfiguration(UInt8.self, address, at: PCIRegister.headerType)
          if vendor == 0xffff || header & 0x80 == 0 { break }
        }
      }
    }
    return found
  }

  /// The first function with this vendor and device id.
  public func find(vendorID: UInt16, deviceID: UInt16) -> PCIAddress? {
    scan().first { address in
      readConfiguration(UInt16.self, address, at: PCIRegister.vendorID) == vendorID
        && readConfiguration(UInt16.self, address, at: PCIRegister.deviceID) == deviceID
    }
  }

  /// Gives every memory BAR on a bus a place in `window`, where no firmware has done it.
  ///
  /// - Throws: `PCIError.outOfBARSpace` when the window is full.
  public func assignBARs(bus: UInt8 = 0, window: ClosedRange<UInt64>) throws(PCIError) {
    var next = window.lowerBound
    for address in scan(bus: bus) {
      var index = 0
      while index < 6 {
        guard let bar = size(of: index, address), bar.byteCount > 0 else {
          index += 1
          continue
        }
        if bar.isMemory {
          // A BAR is aligned to its size (PCI 3.0, 6.2.5.1).
          let start = (next + bar.byteCount - 1) & ~(bar.byteCount - 1)
          guard start >= next, start + (bar.byteCount - 1) <= window.upperBound else {
            throw .outOfBARSpace(byteCount: bar.byteCount)
          }
          let register = PCIRegister.bar0 + index * 4
          writeConfiguration(UInt32(truncatingIfNeeded: start), address, at: register)
          if bar.is64Bit {
            writeConfiguration(UInt32(truncatingIfNeeded: start >> 32), address, at: register + 4)
          }
          next = start + bar.byteCount
        }
        index += bar.is64Bit ? 2 : 1
      }
    }
  }

  /// What a base address register is for, found by writing all ones (PCI 3.0, 6.2.5.1).
  struct BARSize {
    var byteCount: UInt64
    var isMemory: Bool
    var is64Bit: Bool
  }

  func size(of index: Int, _ address: PCIAddress) -> BARSize? {
    guard index >= 0, index < 6 else { return nil }
    // A bridge has two registers, others none.
    let header = readConfiguration(UInt8.self, address, at: PCIRegister.headerType) & 0x7f
    guard header == 0 || (header == 1 && index < 2) else { return nil }
    let register = PCIRegister.bar0 + index * 4
    // Decoding is off while the register holds all ones.
    let command = readConfiguration(UInt16.self, address, at: PCIRegister.command)
    writeConfiguration(command & ~3, address, at: PCIRegister.command)
    defer { writeConfiguration(command, address, at: PCIRegister.command) }
    let low = readConfiguration(UInt32.self, address, at: register)
    writeConfiguration(UInt32.max, address, at: register)
    let sizeLow = readConfiguration(UInt32.self, address, at: register)
    writeConfiguration(low, address, at: register)
    guard sizeLow != 0 else { return BARSize(byteCount: 0, isMemory: true, is64Bit: false) }
    if sizeLow & 1 != 0 {
      let mask = sizeLow & ~3
      return BARSize(byteCount: UInt64(~mask &+ 1), isMemory: false, is64Bit: false)
    }
    let is64Bit = sizeLow & 6 == 4 && index < 5
    var mask = UInt64(sizeLow & ~15) | 0xffff_ffff_0000_0000
    if is64Bit {
      let high = readConfiguration(UInt32.self, address, at: register + 4)
      writeConfiguration(UInt32.max, address, at: register + 4)
      let sizeHigh = readConfiguration(UInt32.self, address, at: register + 4)
      writeConfiguration(high, address, at: register + 4)
      mask = UInt64(sizeHigh) << 32 | UInt64(sizeLow & ~15)
    }
    return BARSize(byteCount: ~mask &+ 1, isMemory: true, is64Bit: is64Bit)
  }
}

// SAFETY: the table never changes; machines make their functions callable from any thread.
extension PCIHost: @unchecked Sendable {}
