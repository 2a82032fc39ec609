internal import CPCIDMA
internal import DMA

/// The numbers of errno(3) that the calls return, negated, as every Linux has them.
enum Errno {
  static var permission: Int32 { 1 }
  static var noEntry: Int32 { 2 }
  static var io: Int32 { 5 }
  static var again: Int32 { 11 }
  static var noMemory: Int32 { 12 }
  static var fault: Int32 { 14 }
  static var busy: Int32 { 16 }
  static var exists: Int32 { 17 }
  static var crossDevice: Int32 { 18 }
  static var noDevice: Int32 { 19 }
  static var invalid: Int32 { 22 }
  static var tooManyMachines: Int32 { 23 }
  static var noSpace: Int32 { 28 }
  static var range: Int32 { 34 }
  static var tooBig: Int32 { 7 }
  static var notSupported: Int32 { 95 }
  static var noBuffers: Int32 { 105 }
  static var timedOut: Int32 { 110 }
  static var already: Int32 { 114 }
}

extension DMAError {
  /// The number for C: one place for all calls.
  var number: Int32 {
    switch self {
    case .emptyRequest, .sizeOverflow, .invalidAlignment, .invalidBoundary, .wrongSize,
      .wrongCPUAddress, .wrongDirection, .wrongFunction, .wrongEntryCount:
      Errno.invalid
    case .tooLarge, .tooManySegments: Errno.tooBig
    case .outOfMemory: Errno.noMemory
    case .outOfReach, .outOfBounds, .segmentAcrossBoundary: Errno.range
    case .unsupportedMask: Errno.io
    case .outOfAddressSpace: Errno.noSpace
    case .bouncePoolFull: Errno.noBuffers
    case .notDMAable: Errno.fault
    case .wouldBlock: Errno.again
    case .timedOut: Errno.timedOut
    case .forbiddenInInterrupt: Errno.permission
    case .deviceRemoved: Errno.noDevice
    case .wrongDevice: Errno.crossDevice
    case .notMapped, .notInPool: Errno.noEntry
    case .blockNotAllocated: Errno.already
    case .poolBusy: Errno.busy
    case .machine(let code): Int32(truncatingIfNeeded: max(1, min(4095, code)))
    }
  }
}

/// Notes why a call failed, and returns the number as C has it: negative.
@discardableResult
func fail(_ number: Int32) -> Int32 {
  swiftdma_set_error(-number)
  return -number
}

@discardableResult
func fail(_ error: DMAError) -> Int32 { fail(error.number) }
