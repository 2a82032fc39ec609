/// The 256 bytes of a function's configuration space, with what may be written in each.
///
/// Base address registers answer a write of all ones with their size, as hardware does, because
/// the bits below it cannot be written (PCI 3.0, 6.2.5.1).
struct ConfigurationSpace {
  private var bytes: [UInt8]
  private var writable: [UInt8]
  private var nextCapability = 0x40
  private var lastLink = 0x34

  private(set) var msi: Int? = nil
  private(set) var msix: Int? = nil

  init(_ identity: PCIIdentity, bars: [SimulatedBAR]) {
    bytes = [UInt8](repeating: 0, count: 256)
    writable = bytes
    set(identity.vendorID, at: 0x00)
    set(identity.deviceID, at: 0x02)
    set(UInt32(identity.revision) | identity.classCode << 8, at: 0x08)
    set(identity.subsystemVendorID, at: 0x2c)
    set(identity.subsystemID, at: 0x2e)
    // Interrupt pin A.
    set(1 as UInt8, at: 0x3d)
    // Memory, bus master, interrupt disable; cache line size, latency, interrupt line.
    setWritable(0x0406 as UInt16, at: 0x04)
    setWritable(0xffff as UInt16, at: 0x0c)
    setWritable(0xff as UInt8, at: 0x3c)
    for bar in bars {
      let register = 0x10 + bar.index * 4
      set((bar.is64Bit ? 4 : 0) as UInt32, at: register)
      let mask = ~(bar.byteCount - 1)
      setWritable(UInt32(truncatingIfNeeded: mask), at: register)
      if bar.is64Bit { setWritable(UInt32(truncatingIfNeeded: mask >> 32), at: register + 4) }
    }
  }

  /// The device's reset: what the driver wrote is gone.
  mutating func reset() {
    for index in 0..<256 { bytes[index] &= ~writable[index] }
  }

  private mutating func set<Word: FixedWidthInteger>(_ value: Word, at offset: Int) {
    for index in 0..<MemoryLayout<Word>.size {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> Word(index * 8))
    }
  }

  private mutating func setWritable<Word: FixedWidthInteger>(_ mask: Word, at offset: Int) {
    for index in 0..<MemoryLayout<Word>.size {
      writable[offset + index] = UInt8(truncatingIfNeeded: mask >> Word(index * 8))
    }
  }

  private mutating func addCapability(_ id: UInt8, byteCount: Int) -> Int {
    let offset = nextCapability
    nextCapability += (byteCount + 3) & ~3
    precondition(nextCapability <= 256, "capabilities fit into configuration space")
    set(UInt8(offset), at: lastLink)
    lastLink = offset + 1
    set(id, at: offset)
    // Bit 4 of status: there is a list (PCI 3.0, 6.2.3).
    bytes[0x06] |= 1 << 4
    return offset
  }

  /// Adds message-signalled interrupts with 64-bit addresses (PCI 3.0, 6.8.1).
  mutating func addMSI(vectorCount: Int) {
    let offset = addCapability(0x05, byteCount: 14)
    let order = UInt16(vectorCount.trailingZeroBitCount)
    set(1 << 7 | order << 1, at: offset + 2)
    setWritable(0x71 as UInt16, at: offset + 2)
    setWritable(0xffff_fffc as UInt32, at: offset + 4)
    setWritable(0xffff_ffff as UInt32, at: offset + 8)
    setWritable(0xffff as UInt16, at: offset + 12)
    msi = offset
  }

  /// Adds MSI-X with its table and pending bits in a BAR (PCI 3.0, 6.8.2).
  mutating func addMSIX(_ layout: MSIXLayout) {
    let offset = addCapability(0x11, byteCount: 12)
    set(UInt16(layout.vectorCount - 1), at: offset + 2)
    setWritable(0xc000 as UInt16, at: offset + 2)
    set(UInt32(layout.tableOffset | layout.bar), at: offset + 4)
    set(UInt32(layout.pendingOffset | layout.bar), at: offset + 8)
    msix = offset
  }

  /// Reads 1, 2 or 4 bytes, little-endian; all ones outside.
  func read(at offset: Int, byteCount: Int) -> UInt32 {
    guard offset >= 0, byteCount > 0, offset <= 256 - byteCount else { return .max }
    var value: UInt32 = 0
    for index in 0..<byteCount { value |= UInt32(bytes[offset + index]) << UInt32(index * 8) }
    return value
  }

  /// Writes the bits that may be written; the rest is lost.
  mutating func write(_ value: UInt32, at offset: Int, byteCount: Int) {
    guard offset >= 0, byteCount > 0, offset <= 256 - byteCount else { return }
    for index in 0..<byteCount {
      let mask = writable[offset + index]
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
      bytes[offset + index] = bytes[offset + index] & ~mask | byte & mask
    }
  }

  var command: UInt16 { UInt16(truncatingIfNeeded: read(at: 0x04, byteCount: 2)) }
  var isMemoryEnabled: Bool { command & 1 << 1 != 0 }
  var isBusMaster: Bool { command & 1 << 2 != 0 }

  /// Bit 3 of status: the wire is asserted (unless command says it is disabled, it would be seen).
  mutating func setWire(_ isAsserted: Bool) {
    if isAsserted { bytes[0x06] |= 1 << 3 } else { bytes[0x06] &= ~(1 << 3) }
  }

  /// Where a BAR's registers answer now.
  func address(of bar: SimulatedBAR) -> UInt64 {
    let register = 0x10 + bar.index * 4
    let low = UInt64(read(at: register, byteCount: 4) & ~15)
    return bar.is64Bit ? low | UInt64(read(at: register + 4, byteCount: 4)) << 32 : low
  }

  /// Firmware's work: gives a BAR its place.
  mutating func place(_ bar: SimulatedBAR, at address: UInt64) {
    let register = 0x10 + bar.index * 4
    write(UInt32(truncatingIfNeeded: address), at: register, byteCount: 4)
    if bar.is64Bit {
      write(UInt32(truncatingIfNeeded: address >> 32), at: register + 4, byteCount: 4)
    }
  }

  /// The message of an MSI vector, or nil while MSI is off or the driver enabled fewer vectors.
  func msiMessage(_ vector: Int) -> (address: UInt64, data: UInt32)? {
    guard let msi else { return nil }
    let control = read(at: msi + 2, byteCount: 2)
    let enabledCount = 1 << Int(control >> 4 & 7)
    guard control & 1 != 0 else { return nil }
    let address =
      UInt64(read(at: msi + 4, byteCount: 4)) | UInt64(read(at: msi + 8, byteCount: 4)) << 32
    // Fewer vectors than the device has: it uses the last one for the rest. The low bits of data
    // carry the number.
    let number = UInt32(min(vector, enabledCount - 1))
    return (address, read(at: msi + 12, byteCount: 2) & ~UInt32(enabledCount - 1) | number)
  }

  var isMSIEnabled: Bool { msi.map { read(at: $0 + 2, byteCount: 2) & 1 != 0 } ?? false }
  var isMSIXEnabled: Bool { msix.map { read(at: $0 + 2, byteCount: 2) & 0x8000 != 0 } ?? false }
  var isMSIXMasked: Bool { msix.map { read(at: $0 + 2, byteCount: 2) & 0x4000 != 0 } ?? false }
}
