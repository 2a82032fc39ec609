/// A simulated network card with two descriptor rings: what the DMA-mapping document's examples
/// drive.
///
/// A descriptor has 16 bytes: the buffer's bus address, its length, and a word whose bit 31 says
/// that the card owns it. The card works through each ring in order, and stops at the first
/// descriptor that it does not own.
public final class NetworkCardModel: SimulatedDevice {
  /// How a card differs from the default one.
  public struct Configuration: Sendable {
    /// The highest address it drives; of higher ones the upper bits are dropped.
    public var mask: UInt64 = 0xffff_ffff
    /// How long a frame takes, in nanoseconds of the machine's time: 1500 bytes at 10 Gbit/s.
    public var latency: UInt64 = 1_200
    /// Whether what is sent comes back.
    public var isLoopback = false

    public init() {}
  }

  private enum Register {
    static let control = 0x00
    static let interruptStatus = 0x08
    static let interruptMask = 0x0c
    static let transmitRing = 0x10
    static let transmitCount = 0x18
    static let transmitDoorbell = 0x1c
    static let receiveRing = 0x20
    static let receiveCount = 0x28
  }

  private enum Work {
    static let transmit: UInt64 = 1
    static let receive: UInt64 = 2
  }

  private enum Flag {
    static let owned: UInt32 = 1 << 31
    static let bad: UInt32 = 1 << 30
    static let interrupt: UInt32 = 1 << 29
  }

  private struct Ring {
    var base: UInt64 = 0
    var count: UInt32 = 0
    var next: UInt32 = 0

    var address: UInt64 { base + UInt64(next) * 16 }
    mutating func advance() { next = next + 1 == count ? 0 : next + 1 }
  }

  private struct Descriptor: BitwiseCopyable {
    var address: UInt64 = 0
    var byteCount: UInt32 = 0
    var flags: UInt32 = 0
  }

  private struct Incoming {
    var bytes: [UInt8]
    var isBad: Bool
  }

  /// What a card has done.
  public struct Counters: Equatable, Sendable {
    public var transmitted: UInt64 = 0
    public var received: UInt64 = 0
    /// Frames that came while the card owned no buffer.
    public var lost: UInt64 = 0
  }

  private let options: Configuration
  private var isEnabled = false
  private var interruptStatus: UInt32 = 0
  private var interruptMask: UInt32 = 0
  private var transmit = Ring()
  private var receive = Ring()
  private var isTransmitScheduled = false
  private var incoming: [Incoming] = []
  private var isReceiveScheduled = false
  private var kept: [[UInt8]] = []
  private var counters = Counters()
  /// The frame that is moving.
  private var frame = [UInt8](repeating: 0, count: 65536)

  /// How many sent frames are kept for `takeTransmitted()`.
  private static let keptCount = 4096

  public init(_ options: Configuration = Configuration()) {
    self.options = options
    super.init(
      identity: PCIIdentity(vendorID: 0x1234, deviceID: 0x11e9, classCode: 0x02_0000, revision: 1),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)], msiVectorCount: 1)
  }

  public override func reset() {
    isEnabled = false
    (interruptStatus, interruptMask) = (0, 0)
    (transmit, receive) = (Ring(), Ring())
    incoming = []
  }

  // MARK: The other end of the cable

  /// Sends a frame to the card, which takes it some time later.
  ///
  /// - Parameter isBad: its checksum is wrong, which the card says in the descriptor.
  public func deliver(_ bytes: [UInt8], isBad: Bool = false) {
    withLock { queue(bytes, isBad: isBad) }
  }

  private func queue(_ bytes: [UInt8], isBad: Bool) {
    incoming.append(Incoming(bytes: bytes, isBad: isBad))
    guard !isReceiveScheduled else { return }
    isReceiveScheduled = true
    schedule(after: options.latency, tag: Work.receive)
  }

  /// The frames that were sent since the last call, at most 4096.
  public func takeTransmitted() -> [[UInt8]] {
    withLock {
      defer { kept = [] }
      return kept
    }
  }

  /// What the card has done.
  public var statistics: Counters { withLock { counters } }

  // MARK: Registers

  public override func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    switch offset {
    case Register.control: isEnabled ? 1 : 0
    case Register.interruptStatus: UInt64(interruptStatus)
    case Register.interruptMask: UInt64(interruptMask)
    default: 0
    }
  }

  public override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    let word = UInt32(truncatingIfNeeded: value)
    switch (offset, byteCount) {
    case (Register.control, 4): control(word)
    case (Register.interruptStatus, 4):
      interruptStatus &= ~word
      if interruptStatus & interruptMask == 0 { setInterruptWire(false) }
    case (Register.interruptMask, 4): interruptMask = word
    case (Register.transmitRing, 8): transmit = Ring(base: value, count: transmit.count)
    case (Register.receiveRing, 8): receive = Ring(base: value, count: receive.count)
    case (Register.transmitCount, 4): transmit.count = min(word, 4096)
    case (Register.receiveCount, 4): receive.count = min(word, 4096)
    case (Register.transmitDoorbell, 4): scheduleTransmit()
    default: break
    }
  }

  private func control(_ word: UInt32) {
    isEnabled = word & 1 != 0
    (transmit.next, receive.next) = (0, 0)
    if !isEnabled { incoming = [] }
  }

  private func scheduleTransmit() {
    guard isEnabled, !isTransmitScheduled else { return }
    isTransmitScheduled = true
    schedule(after: options.latency, tag: Work.transmit)
  }

  // MARK: Work

  public override func step(now: UInt64, tag: UInt64) {
    if tag == Work.transmit { transmitOne() } else { receiveOne() }
  }

  private func load(_ ring: Ring) -> Descriptor? {
    guard isEnabled, ring.count > 0 else { return nil }
    var descriptor = Descriptor()
    // SAFETY: the descriptor has the ring's 16 bytes, and any bits are one.
    let outcome = unsafe withUnsafeMutableBytes(of: &descriptor) { bytes in
      unsafe readMemory(ring.address, into: bytes)
    }
    return outcome == .done && descriptor.flags & Flag.owned != 0 ? descriptor : nil
  }

  /// Gives a descriptor back: its length first, then the word with the ownership.
  private func store(_ ring: Ring, byteCount: UInt32, flags: UInt32) {
    for (offset, value) in [(8, byteCount), (12, flags)] as [(UInt64, UInt32)] {
      var word = value
      // SAFETY: the word outlives the call.
      unsafe withUnsafeBytes(of: &word) { bytes in
        _ = unsafe writeMemory(ring.address + offset, from: bytes)
      }
    }
  }

  private func reached(_ descriptor: Descriptor, isWrite: Bool) -> UInt64 {
    let address = descriptor.address & options.mask
    if address != descriptor.address {
      report(
        .clamped(given: descriptor.address), address: address,
        byteCount: Int(descriptor.byteCount), isWrite: isWrite)
    }
    return address
  }

  private func transmitOne() {
    isTransmitScheduled = false
    guard let descriptor = load(transmit) else { return }
    let count = Int(min(descriptor.byteCount, 65535))
    let address = reached(descriptor, isWrite: false)
    // SAFETY: the frame has room for 65536 bytes.
    let outcome = unsafe frame.withUnsafeMutableBytes { bytes in
      unsafe readMemory(address, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
    }
    let isBad = outcome != .done
    if !isBad {
      counters.transmitted += 1
      if kept.count < Self.keptCount { kept.append(Array(frame[..<count])) }
      if options.isLoopback { queue(Array(frame[..<count]), isBad: false) }
    }
    store(transmit, byteCount: descriptor.byteCount, flags: isBad ? Flag.bad : 0)
    transmit.advance()
    if descriptor.flags & Flag.interrupt != 0 { raise(2) }
    if load(transmit) != nil { scheduleTransmit() }
  }

  private func receiveOne() {
    isReceiveScheduled = false
    guard !incoming.isEmpty else { return }
    var next = incoming.removeFirst()
    if let descriptor = load(receive) {
      let count = min(next.bytes.count, Int(descriptor.byteCount))
      let address = reached(descriptor, isWrite: true)
      // SAFETY: count is at most the array's.
      let outcome = unsafe next.bytes.withUnsafeMutableBytes { bytes in
        unsafe writeMemory(address, from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      }
      // A frame that does not fit is as bad as one with a wrong checksum.
      let isBad = next.isBad || outcome != .done || count < next.bytes.count
      counters.received += 1
      store(receive, byteCount: UInt32(count), flags: isBad ? Flag.bad : 0)
      receive.advance()
      raise(1)
    } else {
      counters.lost += 1
    }
    guard !incoming.isEmpty else { return }
    isReceiveScheduled = true
    schedule(after: options.latency, tag: Work.receive)
  }

  private func raise(_ bits: UInt32) {
    interruptStatus |= bits
    guard interruptStatus & interruptMask != 0 else { return }
    if hasMessageInterrupts { signal() } else { setInterruptWire(true) }
  }
}
