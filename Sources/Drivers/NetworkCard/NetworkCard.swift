public import DMA
public import PCI

/// The document's network card: one ring of buffers to send, one of buffers to fill (E3, E4, E6).
///
/// Rings are consistent memory, buffers are streaming memory. Sending maps a buffer, hands it over
/// with a descriptor and unmaps it when the card is done; nothing is synced, because the CPU does
/// not look at it meanwhile (R100). Receiving looks at each frame's header with a sync before it
/// decides what becomes of the buffer (R101). When the object goes, the card is stopped and all
/// memory comes back. Not for several threads at once.
public final class NetworkCard {
  /// How the driver learns that the card is done.
  public enum Completion: UInt8, Sendable {
    case polling
    case interrupt
  }

  /// How a driver is set up.
  public struct Options: Sendable {
    /// What the card drives.
    public var mask = DMAMask.bits32
    /// Descriptors in each ring, 2 to 4096.
    public var ringCount = 256
    /// Bytes of a receive buffer.
    public var bufferByteCount = 2048
    /// How much of a frame the header is.
    public var headerByteCount = 64
    /// Frames up to this length are copied out, and their buffer stays where it is (E4b).
    public var copyBreak = 256
    public var completion = Completion.polling

    public init() {}
  }

  /// What became of frames.
  public struct Counters: Equatable, Sendable {
    public var sent: UInt64 = 0
    /// The card could not read what it was to send.
    public var failedToSend: UInt64 = 0
    /// Passed on in their own buffer.
    public var passed: UInt64 = 0
    /// Passed on as a copy.
    public var copied: UInt64 = 0
    /// Bad or unwanted: their buffer went straight back to the card.
    public var refused: UInt64 = 0
  }

  /// The function it drives.
  public let device: PCIDevice
  /// What became of frames so far.
  public private(set) var counters = Counters()
  private let options: Options
  private let registers: RegisterWindow
  private let interrupt: PCIInterrupt?
  private let sendRing: CoherentBuffer<NetworkCardDescriptor>
  private let receiveRing: CoherentBuffer<NetworkCardDescriptor>
  private let sending: MappingRing<ToDevice>
  private let receiving: MappingRing<FromDevice>
  /// Where the next frame to send goes, and where the oldest one is that the card has.
  private var sendHead = 0
  private var sendTail = 0
  private var sendCount = 0
  private var receiveTail = 0

  /// Takes the card over and gives it buffers to fill.
  ///
  /// - Throws: `NetworkCardError.notNetworkCard`, `.pci`, `.dma`; nothing is left mapped then.
  public init(_ device: PCIDevice, options: Options = Options()) throws(NetworkCardError) {
    precondition((2...4096).contains(options.ringCount), "a ring has 2 to 4096 descriptors")
    precondition(
      options.bufferByteCount >= options.headerByteCount && options.headerByteCount > 0,
      "a buffer holds at least a header")
    guard device.vendorID == 0x1234, device.deviceID == 0x11e9 else {
      throw .notNetworkCard(vendorID: device.vendorID, deviceID: device.deviceID)
    }
    self.device = device
    self.options = options
    do throws(PCIError) {
      registers = try device.mapBAR(0)
      interrupt = options.completion == .interrupt ? try device.enableMSI() : nil
    } catch { throw .pci(error) }
    do throws(DMAError) {
      try device.dma.setMask(options.mask)
      sendRing = try CoherentBuffer(count: options.ringCount, for: device.dma)
      receiveRing = try CoherentBuffer(count: options.ringCount, for: device.dma)
    } catch { throw .dma(error) }
    sending = MappingRing(count: options.ringCount)
    receiving = MappingRing(count: options.ringCount)
    for index in 0..<options.ringCount { try refill(index) }
    registers.write(sendRing.address.rawValue, at: NetworkCardRegister.transmitRing)
    registers.write(UInt32(options.ringCount), at: NetworkCardRegister.transmitCount)
    registers.write(receiveRing.address.rawValue, at: NetworkCardRegister.receiveRing)
    registers.write(UInt32(options.ringCount), at: NetworkCardRegister.receiveCount)
    registers.write(interrupt == nil ? 0 : 3 as UInt32, at: NetworkCardRegister.interruptMask)
    device.enableBusMastering()
    registers.write(1 as UInt32, at: NetworkCardRegister.control)
  }

  deinit {
    // Nothing is unmapped before the card is off the bus.
    registers.write(0 as UInt32, at: NetworkCardRegister.control)
    device.disableBusMastering()
    sending.drain()
    receiving.drain()
  }

  // MARK: Sending

  /// What sending a buffer came to.
  public enum Sending: ~Copyable, Sendable {
    /// The card has it; `reap` gives it back.
    case accepted
    /// Nothing happened: the buffer as it was, and why.
    case refused(StreamingBuffer, NetworkCardError)
  }

  /// How many frames the card has not sent yet, as far as `reap` knows.
  public var sendingCount: Int { sendCount }

  /// Hands a frame to the card (E3).
  ///
  /// Any context; never waits.
  ///
  /// - Parameter bytes: the frame's place in the buffer, at any offset; all of it when nil.
  public func send(
    _ buffer: consuming StreamingBuffer, bytes: Range<Int>? = nil
  ) -> Sending {
    guard sendCount < options.ringCount else { return .refused(buffer, .ringFull) }
    let bytes = bytes ?? 0..<buffer.byteCount
    guard bytes.count >= 1, bytes.count <= 65535 else {
      return .refused(buffer, .frameLength(byteCount: bytes.count, limit: 65535))
    }
    switch buffer.map(ToDevice.self, bytes: bytes, for: device.dma) {
    case .failed(let buffer, let error): return .refused(buffer, .dma(error))
    case .mapped(let mapping):
      let flags =
        NetworkCardFlag.owned | (interrupt == nil ? 0 : NetworkCardFlag.interrupt)
      hand(sendRing, sendHead, mapping.address, mapping.byteCount, flags)
      sending.put(mapping, at: sendHead)
      sendHead = next(sendHead)
      sendCount += 1
      registers.write(1 as UInt32, at: NetworkCardRegister.transmitDoorbell)
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
      let flags = sendRing[sendTail, NetworkCardDescriptor.flagsField]
      guard flags & NetworkCardFlag.owned == 0 else { break }
      DMABarrier.read()
      guard let mapping = sending.take(at: sendTail) else { break }
      sendTail = next(sendTail)
      sendCount -= 1
      count += 1
      if flags & NetworkCardFlag.bad == 0 {
        counters.sent += 1
      } else {
        counters.failedToSend += 1
      }
      body(mapping.unmap())
    }
    return count
  }

  // MARK: Receiving

  /// A frame that came.
  public enum Frame: ~Copyable, Sendable {
    /// In the buffer that the card filled: its first `byteCount` bytes.
    case whole(StreamingBuffer, byteCount: Int)
    /// A short one, copied.
    case copy([UInt8])
  }

  /// Takes the frames that came (E4, E4b).
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
      let index = receiveTail
      let flags = receiveRing[index, NetworkCardDescriptor.flagsField]
      guard flags & NetworkCardFlag.owned == 0 else { break }
      // The length, and what the frame holds, are not read before the ownership.
      DMABarrier.read()
      let length = Int(receiveRing[index, NetworkCardDescriptor.byteCountField])
      guard let mapping = receiving.take(at: index) else { break }
      receiveTail = next(index)
      count += 1
      take(mapping, min(length, options.bufferByteCount), flags, index, isWanted, body)
    }
    return count
  }

  private func take(
    _ mapping: consuming StreamingMapping<FromDevice>, _ length: Int, _ flags: UInt32,
    _ index: Int, _ isWanted: (RawSpan) -> Bool, _ body: (consuming Frame) -> Void
  ) {
    let header = 0..<min(length, options.headerByteCount)
    guard flags & NetworkCardFlag.bad == 0, !header.isEmpty,
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
    do throws(NetworkCardError) { try refill(index) } catch {
      counters.refused += 1
      return giveBack(mapping, index)
    }
    counters.passed += 1
    body(.whole(mapping.unmap(), byteCount: length))
  }

  /// Lets the card fill the same buffer again.
  private func giveBack(_ mapping: consuming StreamingMapping<FromDevice>, _ index: Int) {
    hand(receiveRing, index, mapping.address, mapping.byteCount, NetworkCardFlag.owned)
    receiving.put(mapping, at: index)
  }

  /// Gives the card a new buffer to fill.
  private func refill(_ index: Int) throws(NetworkCardError) {
    do throws(DMAError) {
      let buffer = try StreamingBuffer(byteCount: options.bufferByteCount, for: device.dma)
      giveBack(try buffer.map(FromDevice.self, for: device.dma).get(), index)
    } catch { throw .dma(error) }
  }

  /// Writes a descriptor: the word with the ownership last, and not before the others (R37, E6).
  private func hand(
    _ ring: borrowing CoherentBuffer<NetworkCardDescriptor>, _ index: Int, _ address: DMAAddress,
    _ byteCount: Int, _ flags: UInt32
  ) {
    ring[index, NetworkCardDescriptor.addressField] = address.rawValue
    ring[index, NetworkCardDescriptor.byteCountField] = UInt32(byteCount)
    DMABarrier.write()
    ring[index, NetworkCardDescriptor.flagsField] = flags
  }

  private func next(_ index: Int) -> Int { index + 1 == options.ringCount ? 0 : index + 1 }

  // MARK: Waiting

  /// Waits until `condition` holds, which usually calls `reap` or `receive`.
  ///
  /// With interrupts it is asked again after each of them, else all the time.
  ///
  /// - Throws: `NetworkCardError.timedOut`; `.dma(.wouldBlock)` where waiting is forbidden.
  public func wait(
    milliseconds: Int = 900, until condition: () -> Bool
  ) throws(NetworkCardError) {
    do throws(DMAError) {
      if condition() { return }
      try device.dma.platform.wait(nanoseconds: UInt64(milliseconds) * 1_000_000) {
        if let interrupt {
          guard interrupt.deliver() else { return false }
          let status: UInt32 = registers.read(at: NetworkCardRegister.interruptStatus)
          registers.write(status, at: NetworkCardRegister.interruptStatus)
        }
        return condition()
      }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .timedOut(milliseconds: milliseconds)
    }
  }
}
