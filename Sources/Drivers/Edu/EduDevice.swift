public import DMA
public import PCI

/// A driver for QEMU's teaching device: a 4 KiB buffer that DMA reaches, and a factorial.
///
/// One source for the simulated machine, QEMU, VFIO and bare metal. Calls wait for the device, so
/// none may be made in an interrupt or with a spin lock held. Not for several threads at once.
public final class EduDevice {
  /// How the driver learns that a transfer is done.
  public enum Completion: UInt8, Sendable {
    /// It reads the command register until the start bit is clear.
    case polling
    /// The device sends a message interrupt.
    case interrupt
  }

  /// The address bits of the device as QEMU makes it.
  public static let defaultMask = DMAMask(bitCount: 28)
  /// How long the device may take: ten times what QEMU's needs for one transfer.
  static let timeoutMilliseconds = 1000

  /// The function it drives.
  public let device: PCIDevice
  let registers: RegisterWindow
  let interrupt: PCIInterrupt?

  /// Takes the device over: checks that it is there and alive, records its mask, lets it master
  /// the bus.
  ///
  /// - Parameter mask: what this device drives; QEMU's `dma_mask` property widens it.
  /// - Throws: `EduError.notEdu`, `.notAlive`, `.pci`; `.dma(.unsupportedMask)` when no memory of
  ///   the platform is within the mask. A retry cannot help.
  public init(
    _ device: PCIDevice, mask: DMAMask = EduDevice.defaultMask, completion: Completion = .polling
  ) throws(EduError) {
    guard device.vendorID == 0x1234, device.deviceID == 0x11e8 else {
      throw .notEdu(vendorID: device.vendorID, deviceID: device.deviceID)
    }
    do throws(DMAError) { try device.dma.setMask(mask) } catch { throw .dma(error) }
    do throws(PCIError) {
      registers = try device.mapBAR(0)
      interrupt = completion == .interrupt ? try device.enableMSI() : nil
    } catch { throw .pci(error) }
    self.device = device
    try checkLiveness(0x5a5a_1234)
    device.enableBusMastering()
  }

  /// 0xRRrr00ED: the device's major and minor revision.
  public var identification: UInt32 { registers.read(at: EduRegister.identification) }

  /// Writes a value and expects its inverse.
  ///
  /// - Throws: `EduError.notAlive`.
  public func checkLiveness(_ value: UInt32) throws(EduError) {
    registers.write(value, at: EduRegister.liveness)
    let read: UInt32 = registers.read(at: EduRegister.liveness)
    guard read == ~value else { throw .notAlive(wrote: value, read: read) }
  }

  /// n! modulo 2^32, as the device computes it.
  ///
  /// - Throws: `EduError.timedOut`.
  public func factorial(of number: UInt32) throws(EduError) -> UInt32 {
    registers.write(number, at: EduRegister.factorial)
    try wait {
      registers.read(UInt32.self, at: EduRegister.status) & EduStatus.isComputing == 0
    }
    return registers.read(at: EduRegister.factorial)
  }

  /// Moves bytes from memory into the device's buffer.
  ///
  /// - Parameters:
  ///   - source: mapped memory; its first `byteCount` bytes are read.
  ///   - offset: where in the device's buffer they go.
  /// - Throws: `EduError.transferOutOfBounds`, `.timedOut`.
  public func write(
    from source: DMAAddress, byteCount: Int, toOffset offset: Int = 0
  ) throws(EduError) {
    try transfer(
      from: source.rawValue, to: EduBuffer.address + UInt64(try checked(offset, byteCount)),
      byteCount, command: EduCommand.start)
  }

  /// Moves bytes from the device's buffer into memory.
  ///
  /// - Parameters:
  ///   - destination: mapped memory; its first `byteCount` bytes are written.
  ///   - offset: where in the device's buffer they come from.
  /// - Throws: `EduError.transferOutOfBounds`, `.timedOut`.
  public func read(
    to destination: DMAAddress, byteCount: Int, fromOffset offset: Int = 0
  ) throws(EduError) {
    try transfer(
      from: EduBuffer.address + UInt64(try checked(offset, byteCount)), to: destination.rawValue,
      byteCount, command: EduCommand.start | EduCommand.fromDevice)
  }

  /// Copies a whole buffer through the device: into its memory and back out, piece by piece.
  ///
  /// - Parameter progress: called after each piece with the bytes done so far.
  /// - Returns: how many transfers the device made.
  /// - Throws: `EduError.dma` when a buffer cannot be mapped for the device (`.outOfReach` when it
  ///   lies beyond the mask), `.transferOutOfBounds` when the destination is shorter, `.timedOut`.
  @discardableResult
  public func copy(
    _ source: inout StreamingBuffer, to destination: inout StreamingBuffer,
    progress: (Int) -> Void = { _ in }
  ) throws(EduError) -> Int {
    let total = source.byteCount
    guard destination.byteCount >= total else {
      throw .transferOutOfBounds(
        offset: 0, byteCount: total, limit: destination.byteCount)
    }
    var done = 0
    var transfers = 0
    while done < total {
      let piece = done..<min(done + EduBuffer.transferByteCountMax, total)
      try write(&source, piece)
      try read(&destination, piece)
      done = piece.upperBound
      transfers += 2
      progress(done)
    }
    return transfers
  }

  /// Lends one piece of a buffer to the device, which reads it.
  private func write(_ source: inout StreamingBuffer, _ piece: Range<Int>) throws(EduError) {
    let mapped: MappedBytes<ToDevice>
    do throws(DMAError) {
      mapped = try MappedBytes(&source, bytes: piece, ToDevice.self, for: device.dma)
    } catch { throw .dma(error) }
    try write(from: mapped.address, byteCount: mapped.byteCount)
  }

  /// Lends one piece of a buffer to the device, which writes it.
  private func read(_ destination: inout StreamingBuffer, _ piece: Range<Int>) throws(EduError) {
    let mapped: MappedBytes<FromDevice>
    do throws(DMAError) {
      mapped = try MappedBytes(&destination, bytes: piece, FromDevice.self, for: device.dma)
    } catch { throw .dma(error) }
    try read(to: mapped.address, byteCount: mapped.byteCount)
  }

  private func checked(_ offset: Int, _ byteCount: Int) throws(EduError) -> Int {
    guard byteCount >= 1, byteCount <= EduBuffer.transferByteCountMax, offset >= 0,
      offset < EduBuffer.byteCount, byteCount < EduBuffer.byteCount - offset
    else {
      throw .transferOutOfBounds(
        offset: offset, byteCount: byteCount, limit: EduBuffer.transferByteCountMax)
    }
    return offset
  }

  private func transfer(
    from source: UInt64, to destination: UInt64, _ byteCount: Int, command: UInt64
  ) throws(EduError) {
    registers.write(source, at: EduRegister.dmaSource)
    registers.write(destination, at: EduRegister.dmaDestination)
    registers.write(UInt64(byteCount), at: EduRegister.dmaCount)
    guard let interrupt else {
      registers.write(command, at: EduRegister.dmaCommand)
      return try wait {
        registers.read(UInt64.self, at: EduRegister.dmaCommand) & EduCommand.start == 0
      }
    }
    registers.write(command | EduCommand.interruptWhenDone, at: EduRegister.dmaCommand)
    try wait { interrupt.deliver() }
    let status: UInt32 = registers.read(at: EduRegister.interruptStatus)
    registers.write(status, at: EduRegister.interruptAcknowledge)
  }

  private func wait(until condition: () -> Bool) throws(EduError) {
    do throws(DMAError) {
      try device.dma.platform.wait(
        nanoseconds: UInt64(Self.timeoutMilliseconds) * 1_000_000, until: condition)
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      // The device may still be moving bytes: stop it before anything is unmapped.
      device.disableBusMastering()
      throw .timedOut(milliseconds: Self.timeoutMilliseconds)
    }
  }
}
