public import DMA
public import PCI

/// A driver for Intel's 8254x Gigabit Ethernet cards, which QEMU has as `e1000`.
///
/// Rings are coherent memory, frames are streaming memory. Sending maps a frame's buffer and unmaps
/// it when the card is done; nothing is synced, because the CPU does not look at it meanwhile
/// (R100). Receiving looks at each frame with a sync before it decides what becomes of the buffer:
/// short frames are copied out and their buffer stays with the card, mapped as it is (R101). When
/// the object goes, the card is stopped and all memory comes back. It polls: the card's family has
/// no message interrupts in QEMU. Not for several threads at once.
public final class E1000 {
  /// How a driver is set up.
  public struct Options: Sendable {
    /// What the card drives: 64 bits, on a bus that carries them.
    public var mask = DMAMask.bits64
    /// Descriptors in each ring: a multiple of 8, 8 to 4096.
    public var ringCount = 64
    /// How much of a frame is shown to `isWanted`.
    public var headerByteCount = 64
    /// Frames up to this length are copied out, and their buffer stays where it is.
    public var copyBreak = 256

    public init() {}
  }

  /// What became of frames.
  public struct Counters: Equatable, Sendable {
    public var sent: UInt64 = 0
    /// Passed on in their own buffer.
    public var passed: UInt64 = 0
    /// Passed on as a copy.
    public var copied: UInt64 = 0
    /// Bad or unwanted: their buffer went straight back to the card.
    public var refused: UInt64 = 0
  }

  /// An Ethernet address.
  public struct MACAddress: Equatable, Sendable {
    /// The six bytes in the order they are sent, from the highest of 48 bits down.
    public let rawValue: UInt64
  }

  /// How long the card may take to reset.
  static var resetMilliseconds: Int { 100 }
  /// The longest frame: with the checksum the card appends, a VLAN tag and no jumbo frames.
  static var frameByteCountMax: Int { 1518 }

  /// The function it drives.
  public let device: PCIDevice
  /// The address the card has.
  public let macAddress: MACAddress
  /// What became of frames so far.
  public private(set) var counters = Counters()
  private let options: Options
  private let registers: RegisterWindow
  private let sendRing: CoherentBuffer<E1000Descriptor>
  private let receiveRing: CoherentBuffer<E1000Descriptor>
  private let sending: MappingRing<ToDevice>
  private let receiving: MappingRing<FromDevice>
  /// Where the next frame to send goes, and where the oldest one is that the card has.
  private var sendHead = 0
  private var sendTail = 0
  private var sendCount = 0
  private var receiveHead = 0

  /// Resets the card, gives it buffers to fill and turns its link on.
  ///
  /// - Throws: `E1000Error.notE1000`, `.resetTimedOut`, `.pci`, `.dma`; nothing is left mapped then.
  public init(_ device: PCIDevice, options: Options = Options()) throws(E1000Error) {
    precondition(
      (8...4096).contains(options.ringCount) && options.ringCount % 8 == 0,
      "a ring has 8 to 4096 descriptors, a multiple of 8")
    precondition(options.headerByteCount > 0, "a header has at least one byte")
    let (vendorID, deviceID) = (device.vendorID, device.deviceID)
    guard vendorID == 0x8086, deviceID == 0x100e || deviceID == 0x100f || deviceID == 0x1004 else {
      throw .notE1000(vendorID: vendorID, deviceID: deviceID)
    }
    self.device = device
    self.options = options
    let registers: RegisterWindow
    do throws(PCIError) { registers = try device.mapBAR(0) } catch { throw .pci(error) }
    self.registers = registers
    do throws(DMAError) {
      try device.dma.setMask(options.mask)
      sendRing = try CoherentBuffer(count: options.ringCount, for: device.dma)
      receiveRing = try CoherentBuffer(count: options.ringCount, for: device.dma)
    } catch { throw .dma(error) }
    sending = MappingRing(count: options.ringCount)
    receiving = MappingRing(count: options.ringCount)
    try Self.reset(registers, device.dma.platform)
    macAddress = Self.readAddress(registers)
    for index in 0..<options.ringCount { try refill(index) }
    start()
  }

  deinit {
    // Nothing is unmapped before the card is off the bus.
    registers.write(0 as UInt32, at: E1000Register.receiveControl)
    registers.write(0 as UInt32, at: E1000Register.transmitControl)
    device.disableBusMastering()
    sending.drain()
    receiving.drain()
  }

  // MARK: Setting up

  private static func reset(
    _ registers: RegisterWindow, _ platform: Platform
  ) throws(E1000Error) {
    registers.write(UInt32.max, at: E1000Register.interruptMaskClear)
    registers.write(E1000Control.reset, at: E1000Register.control)
    do throws(DMAError) {
      try platform.wait(nanoseconds: UInt64(resetMilliseconds) * 1_000_000) {
        registers.read(UInt32.self, at: E1000Register.control) & E1000Control.reset == 0
      }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .resetTimedOut(milliseconds: resetMilliseconds)
    }
    // A reset lets interrupts through again; nobody waits for them.
    registers.write(UInt32.max, at: E1000Register.interruptMaskClear)
    _ = registers.read(UInt32.self, at: E1000Register.interruptCause)
  }

  private static func readAddress(_ registers: RegisterWindow) -> MACAddress {
    let low: UInt32 = registers.read(at: E1000Register.addressLow)
    let high: UInt32 = registers.read(at: E1000Register.addressHigh)
    // The first byte is the lowest of the low word.
    return MACAddress(
      rawValue: UInt64(low.byteSwapped) << 16 | UInt64(UInt16(truncatingIfNeeded: high).byteSwapped)
    )
  }

  private func start() {
    for index in 0..<128 {
      registers.write(0 as UInt32, at: E1000Register.multicastTable + index * 4)
    }
    write(ring: receiveRing.address, at: E1000Register.receiveRingLow)
    registers.write(0 as UInt32, at: E1000Register.receiveHead)
    write(ring: sendRing.address, at: E1000Register.transmitRingLow)
    registers.write(0 as UInt32, at: E1000Register.transmitHead)
    registers.write(0 as UInt32, at: E1000Register.transmitTail)
    device.enableBusMastering()
    registers.write(
      E1000Control.setLinkUp | E1000Control.autoSpeed, at: E1000Register.control)
    registers.write(E1000Transmit.gap, at: E1000Register.transmitGap)
    registers.write(
      E1000Transmit.enable | E1000Transmit.padShortFrames | E1000Transmit.collisions,
      at: E1000Register.transmitControl)
    registers.write(
      E1000Receive.enable | E1000Receive.acceptBroadcast | E1000Receive.stripChecksum,
      at: E1000Register.receiveControl)
    // All but one: a head that meets the tail means that the card has none.
    registers.write(UInt32(options.ringCount - 1), at: E1000Register.receiveTail)
  }

  /// Base and length registers lie in the same order for both rings.
  private func write(ring address: DMAAddress, at low: Int) {
    registers.write(UInt32(truncatingIfNeeded: address.rawValue), at: low)
    registers.write(UInt32(truncatingIfNeeded: address.rawValue >> 32), at: low + 4)
    registers.write(
      UInt32(options.ringCount * MemoryLayout<E1000Descriptor>.stride), at: low + 8)
  }

  /// Whether the cable is in and both ends have agreed.
  public var isLinkUp: Bool {
    registers.read(UInt32.self, at: E1000Register.status) & E1000Control.linkIsUp != 0
  }

  // MARK: Sending

  /// What sending a buffer came to.
  public enum Sending: ~Copyable, Sendable {
    /// The card has it; `reap` gives it back.
    case accepted
    /// Nothing happened: the buffer as it was, and why.
    case refused(StreamingBuffer, E1000Error)
  }

  /// How many frames the card has not sent yet, as far as `reap` knows.
  public var sendingCount: Int { sendCount }

  /// Hands a frame to the card, which appends the checksum and pads what is too short.
  ///
  /// Any context; never waits.
  ///
  /// - Parameter bytes: the frame's place in the buffer, at any offset; all of it when nil.
  public func send(_ buffer: consuming StreamingBuffer, bytes: Range<Int>? = nil) -> Sending {
    // One stays free: a tail that meets the head means that there is nothing to send.
    guard sendCount < options.ringCount - 1 else { return .refused(buffer, .ringFull) }
    let bytes = bytes ?? 0..<buffer.byteCount
    guard bytes.count >= 14, bytes.count <= Self.frameByteCountMax else {
      return .refused(
        buffer, .frameLength(byteCount: bytes.count, limit: Self.frameByteCountMax))
    }
    switch buffer.map(ToDevice.self, bytes: bytes, for: device.dma) {
    case .failed(let buffer, let error): return .refused(buffer, .dma(error))
    case .mapped(let mapping):
      hand(sendRing, sendHead, mapping.address, UInt32(mapping.byteCount) | E1000Flag.send)
      sending.put(mapping, at: sendHead)
      sendHead = next(sendHead)
      sendCount += 1
      registers.write(UInt32(sendHead), at: E1000Register.transmitTail)
      return .accepted
    }
  }

  /// Takes back what the card has sent, oldest first.
  ///
  /// Any context; never waits.
  ///
  /// - Parameter body: gets each buffer.
  /// - Returns: how many there were.
  @discardableResult
  public func reap(_ body: (consuming StreamingBuffer) -> Void = { _ = $0 }) -> Int {
    var count = 0
    while sendCount > 0 {
      let status = sendRing[sendTail, E1000Descriptor.statusField]
      guard status & E1000Flag.done != 0 else { break }
      guard let mapping = sending.take(at: sendTail) else { break }
      sendTail = next(sendTail)
      sendCount -= 1
      count += 1
      counters.sent += 1
      body(mapping.unmap())
    }
    return count
  }

  // MARK: Receiving

  /// A frame that came, without its checksum.
  public enum Frame: ~Copyable, Sendable {
    /// In the buffer that the card filled: its first `byteCount` bytes.
    case whole(StreamingBuffer, byteCount: Int)
    /// A short one, copied.
    case copy([UInt8])
  }

  /// Takes the frames that came.
  ///
  /// The header of each is looked at while the buffer stays mapped. A frame that is bad or not
  /// wanted leaves its buffer with the card: same bus address, no unmap. A short one is copied out,
  /// and its buffer stays too. Any other buffer is unmapped and a new one takes its place; where
  /// there is no memory for a new one, the frame is refused instead. Any context; never waits.
  ///
  /// - Parameters:
  ///   - isWanted: decides by the header, which may be shorter than asked for.
  ///   - body: gets each frame.
  /// - Returns: how many frames there were, refused ones included.
  @discardableResult
  public func receive(
    isWanted: (RawSpan) -> Bool = { _ in true }, _ body: (consuming Frame) -> Void
  ) -> Int {
    var count = 0
    // Once round the ring at most: a fast sender must not keep us here.
    while count < options.ringCount {
      let index = receiveHead
      let status = receiveRing[index, E1000Descriptor.statusField]
      guard status & E1000Flag.done != 0 else { break }
      // The length, and what the frame holds, are not read before the card is done.
      DMABarrier.read()
      let length = Int(receiveRing[index, E1000Descriptor.lengthField] & 0xffff)
      guard let mapping = receiving.take(at: index) else { break }
      receiveHead = next(index)
      count += 1
      take(mapping, min(length, E1000Receive.bufferByteCount), status, index, isWanted, body)
    }
    return count
  }

  private func take(
    _ mapping: consuming StreamingMapping<FromDevice>, _ length: Int, _ status: UInt32,
    _ index: Int, _ isWanted: (RawSpan) -> Bool, _ body: (consuming Frame) -> Void
  ) {
    let header = 0..<min(length, options.headerByteCount)
    guard status & E1000Flag.endOfFrame != 0, status & E1000Flag.errors == 0, !header.isEmpty,
      mapping.withBytesSyncedForCPU(header, isWanted)
    else {
      counters.refused += 1
      return giveBack(mapping, index)
    }
    if length <= options.copyBreak {
      let bytes = mapping.withBytesSyncedForCPU(0..<length) { span in
        // SAFETY: the array copies the bytes before the span ends.
        unsafe span.withUnsafeBytes { unsafe [UInt8]($0) }
      }
      counters.copied += 1
      giveBack(mapping, index)
      return body(.copy(bytes))
    }
    do throws(E1000Error) { try refill(index) } catch {
      counters.refused += 1
      return giveBack(mapping, index)
    }
    registers.write(UInt32(index), at: E1000Register.receiveTail)
    counters.passed += 1
    body(.whole(mapping.unmap(), byteCount: length))
  }

  /// Lets the card fill the same buffer again.
  private func giveBack(_ mapping: consuming StreamingMapping<FromDevice>, _ index: Int) {
    hand(receiveRing, index, mapping.address, 0)
    receiving.put(mapping, at: index)
    registers.write(UInt32(index), at: E1000Register.receiveTail)
  }

  /// Puts a new buffer into a descriptor; the tail tells the card.
  private func refill(_ index: Int) throws(E1000Error) {
    do throws(DMAError) {
      let buffer = try StreamingBuffer(
        byteCount: E1000Receive.bufferByteCount, for: device.dma)
      let mapping = try buffer.map(FromDevice.self, for: device.dma).get()
      hand(receiveRing, index, mapping.address, 0)
      receiving.put(mapping, at: index)
    } catch { throw .dma(error) }
  }

  /// Writes a descriptor; the tail register, which comes with a barrier, hands it over.
  private func hand(
    _ ring: borrowing CoherentBuffer<E1000Descriptor>, _ index: Int, _ address: DMAAddress,
    _ length: UInt32
  ) {
    ring[index, E1000Descriptor.addressField] = address.rawValue
    ring[index, E1000Descriptor.lengthField] = length
    ring[index, E1000Descriptor.statusField] = 0
  }

  private func next(_ index: Int) -> Int { index + 1 == options.ringCount ? 0 : index + 1 }

  // MARK: Waiting

  /// Waits until `condition` holds, which usually calls `reap` or `receive`.
  ///
  /// - Throws: `E1000Error.timedOut`; `.dma(.wouldBlock)` where waiting is forbidden.
  public func wait(milliseconds: Int, until condition: () -> Bool) throws(E1000Error) {
    do throws(DMAError) {
      try device.dma.platform.wait(
        nanoseconds: UInt64(milliseconds) * 1_000_000, until: condition)
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .timedOut(milliseconds: milliseconds)
    }
  }
}
