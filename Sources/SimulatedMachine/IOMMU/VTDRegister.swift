/// Offsets of the remapping unit's registers (VT-d specification, 11.4).
enum VTDRegister {
  static let version = 0x00
  static let capability = 0x08
  static let extendedCapability = 0x10
  static let globalCommand = 0x18
  static let globalStatus = 0x1c
  static let rootTable = 0x20
  static let contextCommand = 0x28
  static let faultStatus = 0x34
  static let faultEventControl = 0x38
  static let faultEventData = 0x3c
  static let faultEventAddress = 0x40
  static let faultEventUpperAddress = 0x44
  static let queueHead = 0x80
  static let queueTail = 0x88
  static let queueAddress = 0x90
  static let invalidationStatus = 0x9c
  static let invalidationEventControl = 0xa0
  static let invalidationEventData = 0xa4
  static let invalidationEventAddress = 0xa8
  static let invalidationEventUpperAddress = 0xac
  /// Where this unit has its two translation cache registers: ECAP says so.
  static let invalidateAddress = 0xf0
  static let translationCache = 0xf8
  /// Where this unit has its fault records: CAP says so.
  static let faultRecords = 0x220

  static let windowByteCount = 4096
  /// Where QEMU's q35 has the unit, too.
  static let windowAddress: UInt64 = 0xfed9_0000
  /// Fault records there are.
  static let faultRecordCount = 8
}

/// Bits of those registers.
enum VTDBit {
  static let translationEnable: UInt32 = 1 << 31
  static let setRootTable: UInt32 = 1 << 30
  static let queueEnable: UInt32 = 1 << 26

  static let faultOverflow: UInt32 = 1 << 0
  static let faultPending: UInt32 = 1 << 1
  static let queueError: UInt32 = 1 << 4
  /// In both event control registers.
  static let eventMasked: UInt32 = 1 << 31
  static let eventPending: UInt32 = 1 << 30

  /// In the upper word of a command register: go; reads as one until done.
  static let invalidate: UInt32 = 1 << 31
  /// In the upper word of a fault record's upper half.
  static let faultValid: UInt32 = 1 << 31
  static let faultWasRead: UInt32 = 1 << 30
}

/// Why a request was not translated (VT-d specification, 7.1.3).
enum VTDFault: UInt8 {
  case rootEntryNotPresent = 1
  case contextEntryNotPresent = 2
  case contextEntryInvalid = 3
  case addressTooWide = 4
  case writeNotPermitted = 5
  case readNotPermitted = 6
  case pagingEntryUnreachable = 7
  case rootTableUnreachable = 8
  case contextTableUnreachable = 9
  case rootEntryReserved = 0xa
  case contextEntryReserved = 0xb
  case pagingEntryReserved = 0xc
}
