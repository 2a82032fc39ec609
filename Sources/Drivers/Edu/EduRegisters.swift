/// The registers of QEMU's teaching device, in BAR 0 (QEMU documentation, "edu device").
enum EduRegister {
  /// 0xRRrr00ED: major and minor revision.
  static let identification = 0x00
  /// Reads back the bitwise inverse of what was written.
  static let liveness = 0x04
  /// Write n, wait for the status, read n!.
  static let factorial = 0x08
  static let status = 0x20
  static let interruptStatus = 0x24
  static let interruptAcknowledge = 0x64
  static let dmaSource = 0x80
  static let dmaDestination = 0x88
  static let dmaCount = 0x90
  static let dmaCommand = 0x98
}

/// Bits of the status register.
enum EduStatus {
  static let isComputing: UInt32 = 0x01
}

/// Bits of the DMA command register.
enum EduCommand {
  static let start: UInt64 = 0x01
  static let fromDevice: UInt64 = 0x02
  static let interruptWhenDone: UInt64 = 0x04
}

/// The device's own memory, as its DMA engine addresses it.
enum EduBuffer {
  static let address: UInt64 = 0x40000
  static let byteCount = 4096
  /// The most that one transfer moves: QEMU up to 7.2 aborts on a transfer that fills the buffer
  /// to its last byte.
  static let transferByteCountMax = 4095
}
