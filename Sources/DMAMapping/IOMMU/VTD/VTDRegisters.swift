/// Register offsets and bits of a VT-d unit (VT-d specification, chapter "Register Descriptions").
enum VTDRegister {
  static var version: Int { 0x00 }
  static var capability: Int { 0x08 }
  static var extendedCapability: Int { 0x10 }
  static var globalCommand: Int { 0x18 }
  static var globalStatus: Int { 0x1c }
  static var rootTable: Int { 0x20 }
  static var contextCommand: Int { 0x28 }
  static var faultStatus: Int { 0x34 }
  static var protectedMemoryEnable: Int { 0x64 }
  static var queueTail: Int { 0x88 }
  static var queueAddress: Int { 0x90 }

  // Global command; the same bits of global status say that it was done.
  static var translationEnable: UInt32 { 1 << 31 }
  static var setRootTable: UInt32 { 1 << 30 }
  static var writeBufferFlush: UInt32 { 1 << 27 }
  static var queueEnable: UInt32 { 1 << 26 }
  /// All but the one-shot commands, which must not be written back.
  static var lastingCommands: UInt32 { 0x96ff_ffff }

  // Fault status; all but "pending" are cleared by writing them.
  static var faultOverflow: UInt32 { 1 << 0 }
  static var faultPending: UInt32 { 1 << 1 }
  static var queueError: UInt32 { 1 << 4 }
  static var completionError: UInt32 { 1 << 5 }
  static var timeoutError: UInt32 { 1 << 6 }
  static var queueErrors: UInt32 { queueError | completionError | timeoutError }
}

/// What a unit can do, from its two capability registers.
struct VTDCapabilities: BitwiseCopyable {
  let capability: UInt64
  let extended: UInt64

  private func field(_ word: UInt64, _ shift: UInt64, _ bits: Int) -> Int {
    Int(truncatingIfNeeded: word >> shift & ((1 << UInt64(bits)) - 1))
  }

  /// How many domains it tells apart.
  var domainCount: Int { min(1 << 16, 1 << (4 + 2 * field(capability, 0, 3))) }
  /// Whether stores may wait in a buffer that must be flushed by command.
  var needsWriteBufferFlush: Bool { capability >> 4 & 1 != 0 }
  var hasProtectedMemory: Bool { capability >> 5 & 3 != 0 }
  /// Whether it may remember entries that were not present.
  var isCachingMode: Bool { capability >> 7 & 1 != 0 }
  /// Bit n: tables of n + 2 levels.
  var supportedLevels: Int { field(capability, 8, 5) }
  /// The width of bus addresses.
  var addressBits: Int { field(capability, 16, 6) + 1 }
  var faultRecordsOffset: Int { field(capability, 24, 10) * 16 }
  var faultRecordCount: Int { field(capability, 40, 8) + 1 }
  var invalidatesPages: Bool { capability >> 39 & 1 != 0 }
  /// The largest power of two of pages in one invalidation.
  var addressMaskMax: Int { field(capability, 48, 6) }
  var drainsWrites: Bool { capability >> 54 & 1 != 0 }
  var drainsReads: Bool { capability >> 55 & 1 != 0 }
  /// Whether it walks tables coherently with CPU caches.
  var isCoherent: Bool { extended & 1 != 0 }
  var hasQueue: Bool { extended >> 1 & 1 != 0 }
  /// The address register; the command register stands 8 bytes behind it.
  var invalidationOffset: Int { field(extended, 8, 10) * 16 }
}
