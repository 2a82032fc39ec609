internal import DMA

/// The card's registers, in BAR 0.
enum NetworkCardRegister {
  /// Bit 0: the card works through its rings, from their first descriptors on.
  static var control: Int { 0x00 }
  /// Bit 0: frames came; bit 1: frames went.
  ///
  /// Written bits are cleared.
  static var interruptStatus: Int { 0x08 }
  static var interruptMask: Int { 0x0c }
  static var transmitRing: Int { 0x10 }
  static var transmitCount: Int { 0x18 }
  /// Any write: there are new descriptors.
  static var transmitDoorbell: Int { 0x1c }
  static var receiveRing: Int { 0x20 }
  static var receiveCount: Int { 0x28 }
}

/// An entry of a ring, shared with the card.
struct NetworkCardDescriptor: DMARepresentable {
  var address: UInt64 = 0
  var byteCount: UInt32 = 0
  var flags: UInt32 = 0

  static var addressField: DMAField<NetworkCardDescriptor, UInt64> { DMAField(at: 0) }
  static var byteCountField: DMAField<NetworkCardDescriptor, UInt32> { DMAField(at: 8) }
  static var flagsField: DMAField<NetworkCardDescriptor, UInt32> { DMAField(at: 12) }
}

/// Bits of a descriptor's last word.
enum NetworkCardFlag {
  /// The card owns descriptor and buffer.
  static var owned: UInt32 { 1 << 31 }
  /// The frame came with a wrong checksum, did not fit, or could not be read.
  static var bad: UInt32 { 1 << 30 }
  /// Interrupt when it is done.
  static var interrupt: UInt32 { 1 << 29 }
}
