internal import DMA

/// Registers in BAR 0 (Intel, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
/// Developer's Manual", 317453, section 13).
enum E1000Register {
  static var control: Int { 0x0000 }
  static var status: Int { 0x0008 }
  /// Reading it clears it.
  static var interruptCause: Int { 0x00c0 }
  static var interruptMaskClear: Int { 0x00d8 }
  static var receiveControl: Int { 0x0100 }
  static var transmitControl: Int { 0x0400 }
  static var transmitGap: Int { 0x0410 }
  static var receiveRingLow: Int { 0x2800 }
  static var receiveRingHigh: Int { 0x2804 }
  static var receiveRingByteCount: Int { 0x2808 }
  static var receiveHead: Int { 0x2810 }
  /// The card owns the descriptors from its head up to, not including, this one.
  static var receiveTail: Int { 0x2818 }
  static var transmitRingLow: Int { 0x3800 }
  static var transmitRingHigh: Int { 0x3804 }
  static var transmitRingByteCount: Int { 0x3808 }
  static var transmitHead: Int { 0x3810 }
  static var transmitTail: Int { 0x3818 }
  /// 128 words: which multicast addresses are taken.
  static var multicastTable: Int { 0x5200 }
  /// The card's own address, as its EEPROM has it after a reset.
  static var addressLow: Int { 0x5400 }
  static var addressHigh: Int { 0x5404 }
}

/// Bits of the control and status registers (sections 13.4.1 and 13.4.2).
enum E1000Control {
  static var autoSpeed: UInt32 { 1 << 5 }
  static var setLinkUp: UInt32 { 1 << 6 }
  static var reset: UInt32 { 1 << 26 }
  static var linkIsUp: UInt32 { 1 << 1 }
}

/// Bits of the receive control register (section 13.4.22).
enum E1000Receive {
  static var enable: UInt32 { 1 << 1 }
  static var acceptBroadcast: UInt32 { 1 << 15 }
  /// Buffers of 2048 bytes: bits 17:16 zero.
  static var bufferByteCount: Int { 2048 }
  static var stripChecksum: UInt32 { 1 << 26 }
}

/// Bits of the transmit control register (section 13.4.33).
enum E1000Transmit {
  static var enable: UInt32 { 1 << 1 }
  static var padShortFrames: UInt32 { 1 << 3 }
  /// 15 attempts, 64 byte times: what the manual recommends for full duplex.
  static var collisions: UInt32 { 0x0f << 4 | 0x40 << 12 }
  /// Gaps between frames for copper (section 13.4.34).
  static var gap: UInt32 { 0x0060_200a }
}

/// An entry of either ring, shared with the card (sections 3.2.3 and 3.3.3, legacy format).
struct E1000Descriptor: DMARepresentable {
  var address: UInt64 = 0
  /// Length in bits 15:0; to send: command in bits 31:24.
  var length: UInt32 = 0
  /// Status in bits 7:0; received: errors in bits 15:8.
  var status: UInt32 = 0

  static var addressField: DMAField<E1000Descriptor, UInt64> { DMAField(at: 0) }
  static var lengthField: DMAField<E1000Descriptor, UInt32> { DMAField(at: 8) }
  static var statusField: DMAField<E1000Descriptor, UInt32> { DMAField(at: 12) }
}

/// Bits of descriptors.
enum E1000Flag {
  /// Status: the card is done with descriptor and buffer.
  static var done: UInt32 { 1 }
  /// Status of a received frame: it ends in this buffer.
  static var endOfFrame: UInt32 { 2 }
  /// The error bits of a received frame: checksum, symbol, sequence, carrier, data.
  static var errors: UInt32 { 0x97 << 8 }
  /// Commands to send: the frame ends here, the card appends its checksum and reports when it
  /// is done.
  static var send: UInt32 { 1 << 24 | 1 << 25 | 1 << 27 }
}
