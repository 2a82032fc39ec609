/// Offsets of the controller's registers (NVM Express 1.4, 3.1).
enum NVMeRegister {
  static var capabilities: Int { 0x00 }
  static var version: Int { 0x08 }
  static var interruptMaskSet: Int { 0x0c }
  static var interruptMaskClear: Int { 0x10 }
  static var configuration: Int { 0x14 }
  static var status: Int { 0x1c }
  static var adminQueueAttributes: Int { 0x24 }
  static var adminSubmissionQueue: Int { 0x28 }
  static var adminCompletionQueue: Int { 0x30 }
  static var doorbells: Int { 0x1000 }
  /// Where this controller keeps its MSI-X table and pending bits: as QEMU's.
  static var interruptTable: Int { 0x2000 }
  static var pendingInterrupts: Int { 0x3000 }
}

/// Operation codes (NVM Express 1.4, 5 and 6).
enum NVMeOpcode {
  static var deleteSubmissionQueue: UInt8 { 0x00 }
  static var createSubmissionQueue: UInt8 { 0x01 }
  static var getLogPage: UInt8 { 0x02 }
  static var deleteCompletionQueue: UInt8 { 0x04 }
  static var createCompletionQueue: UInt8 { 0x05 }
  static var identify: UInt8 { 0x06 }
  static var abort: UInt8 { 0x08 }
  static var setFeatures: UInt8 { 0x09 }
  static var getFeatures: UInt8 { 0x0a }
  static var asynchronousEvent: UInt8 { 0x0c }

  static var flush: UInt8 { 0x00 }
  static var write: UInt8 { 0x01 }
  static var read: UInt8 { 0x02 }
  static var writeZeroes: UInt8 { 0x08 }
}

/// A status as completions carry it: type << 8 | code, and whether a retry is pointless
/// (NVM Express 1.4, 4.6.1).
struct NVMeCode: Equatable {
  var value: UInt16

  init(_ value: UInt16) { self.value = value }

  static var success: NVMeCode { NVMeCode(0x000) }
  static var invalidOpcode: NVMeCode { NVMeCode(0x001) }
  static var invalidField: NVMeCode { NVMeCode(0x002) }
  static var dataTransferError: NVMeCode { NVMeCode(0x004) }
  static var abortedByQueueDeletion: NVMeCode { NVMeCode(0x008) }
  static var invalidNamespace: NVMeCode { NVMeCode(0x00b) }
  static var invalidPRPOffset: NVMeCode { NVMeCode(0x013) }
  static var writeProtected: NVMeCode { NVMeCode(0x020) }
  static var outOfRange: NVMeCode { NVMeCode(0x080) }
  static var capacityExceeded: NVMeCode { NVMeCode(0x081) }
  static var invalidCompletionQueue: NVMeCode { NVMeCode(0x100) }
  static var invalidQueueID: NVMeCode { NVMeCode(0x101) }
  static var invalidQueueSize: NVMeCode { NVMeCode(0x102) }
  static var eventRequestLimit: NVMeCode { NVMeCode(0x105) }
  static var invalidInterruptVector: NVMeCode { NVMeCode(0x108) }
  static var invalidLogPage: NVMeCode { NVMeCode(0x109) }
  static var invalidQueueDeletion: NVMeCode { NVMeCode(0x10c) }
  static var writeFault: NVMeCode { NVMeCode(0x280) }
  static var unrecoveredReadError: NVMeCode { NVMeCode(0x281) }
}

/// A submission queue entry (NVM Express 1.4, 4.2).
struct NVMeEntry: BitwiseCopyable {
  var opcode: UInt8 = 0
  var flags: UInt8 = 0
  var id: UInt16 = 0
  var namespace: UInt32 = 0
  var reserved: UInt64 = 0
  var metadata: UInt64 = 0
  var prp1: UInt64 = 0
  var prp2: UInt64 = 0
  var word10: UInt32 = 0
  var word11: UInt32 = 0
  var word12: UInt32 = 0
  var word13: UInt32 = 0
  var word14: UInt32 = 0
  var word15: UInt32 = 0

  static var byteCount: Int { 64 }

  /// First block of a read, write or write zeroes.
  var firstBlock: UInt64 { UInt64(word11) << 32 | UInt64(word10) }
  /// How many blocks; the field counts from zero.
  var blockCount: UInt64 { UInt64(word12 & 0xffff) + 1 }
}
