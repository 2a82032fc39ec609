public import DMA

/// A driver for QEMU's fw_cfg device: files that whoever started the machine left for it.
///
/// It is no PCI function, and does its transfers by DMA all the same: `DMADevice` needs no bus.
/// Calls wait for the device, so none may be made in an interrupt or with a spin lock held. Not for
/// several threads at once.
public final class FirmwareConfigurationDevice {
  /// A file, as the directory has it.
  public struct Item: Equatable, Sendable {
    public let selector: UInt16
    public let byteCount: Int

    /// Four letters that every such device has: "QEMU".
    public static let signature = Item(selector: 0, byteCount: 4)
  }

  /// "QEMU CFG": what the DMA register reads as.
  static let signature: UInt64 = 0x5145_4d55_2043_4647
  static let timeoutMilliseconds = 1000

  /// What it does DMA with.
  public let dma: DMADevice
  let registers: RegisterWindow
  let layout: FirmwareConfigurationLayout
  let command: CoherentBuffer<FirmwareConfigurationCommand>

  /// Takes the device over.
  ///
  /// - Throws: `FirmwareConfigurationError.notFirmwareConfiguration`, `.dma`: a retry cannot help
  ///   unless the DMA error says so.
  public init(
    _ dma: DMADevice, registers: RegisterWindow, layout: FirmwareConfigurationLayout
  ) throws(FirmwareConfigurationError) {
    let signature = Self.signature(registers, layout)
    guard signature == Self.signature else {
      throw .notFirmwareConfiguration(signature: signature)
    }
    do throws(DMAError) {
      // It takes 64-bit addresses.
      try dma.setMask(.bits64)
      command = try CoherentBuffer(count: 1, for: dma)
    } catch { throw .dma(error) }
    self.dma = dma
    self.registers = registers
    self.layout = layout
  }

  private static func signature(
    _ registers: RegisterWindow, _ layout: FirmwareConfigurationLayout
  ) -> UInt64 {
    switch layout {
    case .memory: return UInt64(bigEndian: registers.read(at: 16))
    case .ports:
      let high = UInt32(bigEndian: registers.read(at: 4))
      let low = UInt32(bigEndian: registers.read(at: 8))
      return UInt64(high) << 32 | UInt64(low)
    }
  }

  /// Finds a file by its name, like `opt/org.example/file`.
  ///
  /// - Returns: nil when there is none of that name.
  /// - Throws: as `read(_:placement:)`; `.malformedDirectory`.
  public func find(_ name: StaticString) throws(FirmwareConfigurationError) -> Item? {
    let directory = FirmwareConfigurationDirectory.self
    let head = try transfer(
      selecting: directory.selector, byteCount: 4, placement: .anywhere)
    let count = Self.word(head.bytes, at: 0)
    guard count <= directory.countMax else { throw .malformedDirectory(count: count) }
    guard count > 0 else { return nil }
    // Goes on where the first transfer ended.
    let entries = try transfer(
      selecting: nil, byteCount: Int(count) * directory.entryByteCount, placement: .anywhere)
    let bytes = entries.bytes
    for index in 0..<Int(count) {
      let entry = index * directory.entryByteCount
      guard Self.isName(bytes, at: entry + directory.nameOffset, name) else { continue }
      return Item(
        selector: UInt16(truncatingIfNeeded: Self.word(bytes, at: entry + 4) >> 16),
        byteCount: Int(Self.word(bytes, at: entry)))
    }
    return nil
  }

  /// Reads a whole file into new memory, in one transfer.
  ///
  /// - Parameter placement: where that memory should lie.
  /// - Throws: `FirmwareConfigurationError.dma` when the memory cannot be had or mapped (an empty
  ///   file is `.emptyRequest`); `.refused`; `.timedOut`.
  public func read(
    _ item: Item, placement: StreamingBuffer.Placement = .anywhere
  ) throws(FirmwareConfigurationError) -> StreamingBuffer {
    try transfer(selecting: item.selector, byteCount: item.byteCount, placement: placement)
  }

  /// One transfer from the device into new memory.
  ///
  /// - Parameter selector: nil to go on behind the last transfer.
  private func transfer(
    selecting selector: UInt16?, byteCount: Int, placement: StreamingBuffer.Placement
  ) throws(FirmwareConfigurationError) -> StreamingBuffer {
    let mapping: StreamingMapping<FromDevice>
    do throws(DMAError) {
      guard byteCount <= Int(UInt32.max) else {
        throw .tooLarge(byteCount: byteCount, limit: Int(UInt32.max))
      }
      let buffer = try StreamingBuffer(
        byteCount: byteCount, in: dma.platform, placement: placement)
      mapping = try buffer.map(FromDevice.self, for: dma).get()
    } catch { throw .dma(error) }
    var control = FirmwareConfigurationControl.read
    if let selector { control |= FirmwareConfigurationControl.select | UInt32(selector) << 16 }
    command[0, .address] = mapping.address.rawValue.bigEndian
    command[0, .byteCount] = UInt32(byteCount).bigEndian
    command[0, .control] = control.bigEndian
    start()
    // The device clears the control word when it is done; the error bit alone may stay. On a
    // timeout the mapping is dropped, and quarantine keeps the memory from others.
    do throws(DMAError) {
      try dma.platform.wait(nanoseconds: UInt64(Self.timeoutMilliseconds) * 1_000_000) {
        UInt32(bigEndian: command[0, .control]) & ~FirmwareConfigurationControl.error == 0
      }
    } catch {
      throw error == .timedOut ? .timedOut(milliseconds: Self.timeoutMilliseconds) : .dma(error)
    }
    DMABarrier.read()
    let failed =
      UInt32(bigEndian: command[0, .control]) & FirmwareConfigurationControl.error != 0
    let buffer = mapping.unmap()
    guard !failed else { throw .refused(selector: selector ?? 0) }
    return buffer
  }

  /// Tells the device where the command is; the write comes after everything stored before it.
  private func start() {
    let address = command.address.rawValue
    switch layout {
    case .memory: registers.write(address.bigEndian, at: 16)
    case .ports:
      // The lower half starts the transfer.
      registers.write(UInt32(truncatingIfNeeded: address >> 32).bigEndian, at: 4)
      registers.write(UInt32(truncatingIfNeeded: address).bigEndian, at: 8)
    }
  }

  private static func word(_ bytes: RawSpan, at offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset <= bytes.byteCount - 4, "a word lies inside of its bytes")
    // SAFETY: the offset was checked; every bit pattern is a UInt32.
    return UInt32(
      bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// Whether the NUL-padded name at `offset` is `name`.
  private static func isName(_ bytes: RawSpan, at offset: Int, _ name: StaticString) -> Bool {
    let length = name.utf8CodeUnitCount
    guard length < FirmwareConfigurationDirectory.nameByteCount else { return false }
    for index in 0...length {
      // SAFETY: the directory's last entry ends where the bytes do, and a name lies in its entry.
      let byte = unsafe bytes.unsafeLoad(fromByteOffset: offset + index, as: UInt8.self)
      let wanted: UInt8 = index < length ? unsafe name.utf8Start[index] : 0
      guard byte == wanted else { return false }
    }
    return true
  }
}
