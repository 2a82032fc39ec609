/// Offsets of the registers in BAR 0 (NVM Express 1.4, 3.1).
enum NVMeRegister {
  static var capabilities: Int { 0x00 }
  static var version: Int { 0x08 }
  static var configuration: Int { 0x14 }
  static var status: Int { 0x1c }
  static var adminQueueAttributes: Int { 0x24 }
  static var adminSubmissionQueue: Int { 0x28 }
  static var adminCompletionQueue: Int { 0x30 }
  static var doorbells: Int { 0x1000 }
}

/// What the capabilities register says (NVM Express 1.4, 3.1.1).
struct NVMeCapabilities {
  let rawValue: UInt64

  /// The most entries a queue may have.
  var entryCountMax: Int { Int(rawValue & 0xffff) + 1 }
  /// How long the controller may take to become ready.
  var readyMilliseconds: Int { Int(rawValue >> 24 & 0xff) * 500 }
  /// Bytes from one doorbell to the next.
  var doorbellStride: Int { 4 << Int(rawValue >> 32 & 0xf) }
  var hasNVMCommands: Bool { rawValue >> 37 & 1 != 0 }
  var smallestPageByteCount: Int { 4096 << Int(rawValue >> 48 & 0xf) }
}

/// Bits of the configuration register.
enum NVMeConfiguration {
  /// Enabled; the NVM command set, pages of 4096 bytes, round robin; entries of 2^6 and 2^4 bytes.
  static var enabled: UInt32 { 1 | 6 << 16 | 4 << 20 }
  static var isEnabled: UInt32 { 1 }
  static var normalShutdown: UInt32 { 1 << 14 }
}

/// Bits of the status register.
enum NVMeControllerStatus {
  static var ready: UInt32 { 1 << 0 }
  static var fatal: UInt32 { 1 << 1 }
  static var shutdownMask: UInt32 { 3 << 2 }
  static var shutdownComplete: UInt32 { 2 << 2 }
}

/// Operation codes (NVM Express 1.4, 5 and 6).
enum NVMeOpcode {
  static var createSubmissionQueue: UInt8 { 0x01 }
  static var createCompletionQueue: UInt8 { 0x05 }
  static var identify: UInt8 { 0x06 }
  static var setFeatures: UInt8 { 0x09 }

  static var flush: UInt8 { 0x00 }
  static var write: UInt8 { 0x01 }
  static var read: UInt8 { 0x02 }
  static var writeZeroes: UInt8 { 0x08 }
}

/// The page size that the driver sets: what PRP entries count in.
enum NVMePage {
  static var byteCount: Int { 4096 }
  static var mask: UInt64 { 4095 }
  /// PRP entries in a list of a page.
  static var entryCount: Int { 512 }
}

/// A command before it has an id and data (NVM Express 1.4, 4.2).
struct NVMeCommand {
  var opcode: UInt8
  var namespace: UInt32 = 0
  var word10: UInt32 = 0
  var word11: UInt32 = 0
  var word12: UInt32 = 0

  /// A command on a range of blocks; `blockCount` is 1 to 65536.
  static func blocks(
    _ opcode: UInt8, _ namespace: UInt32, first: UInt64, count: Int
  ) -> NVMeCommand {
    NVMeCommand(
      opcode: opcode, namespace: namespace, word10: UInt32(truncatingIfNeeded: first),
      word11: UInt32(truncatingIfNeeded: first >> 32),
      word12: UInt32(truncatingIfNeeded: count - 1))
  }
}
