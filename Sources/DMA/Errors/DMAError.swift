/// Why a DMA call could not be done.
///
/// Each case is a decision its caller can make, and carries the limit that was hit with its
/// numbers. A call that throws has changed nothing: no memory, slot or table entry stays behind.
/// `isTransient` says whether the same call can succeed later.
public enum DMAError: Error, Equatable, Sendable {
  /// Zero bytes, elements or entries were asked for.
  ///
  /// Never succeeds.
  case emptyRequest
  /// `count` elements of `stride` bytes are more than an `Int` holds.
  ///
  /// Never succeeds.
  case sizeOverflow(count: Int, stride: Int)
  /// More than this mapping or machine ever gives in one piece.
  ///
  /// Never succeeds.
  case tooLarge(byteCount: Int, limit: Int)
  /// No free memory at or below `limit` (a physical limit, from the mask).
  ///
  /// Can succeed later.
  case outOfMemory(byteCount: Int, limit: UInt64)
  /// The memory lies where the device cannot reach: its last byte would need bus address `last`,
  /// and `mask` is the highest the device drives.
  ///
  /// Succeeds only with other memory, a wider mask or a mapping that translates or copies.
  case outOfReach(first: DMAAddress, last: DMAAddress, mask: DMAMask)
  /// The platform cannot restrict itself to this mask: the narrowest it can serve is `required`.
  ///
  /// The device's mask is as it was (R26). Never succeeds on this platform.
  case unsupportedMask(DMAMask, required: DMAMask)
  /// No free run of bus addresses of this size below `limit`.
  ///
  /// Can succeed after an unmap (R94).
  case outOfAddressSpace(byteCount: Int, limit: UInt64)
  /// The bounce pool has no free run of slots.
  ///
  /// Can succeed after an unmap.
  case bouncePoolFull(byteCount: Int, totalSlots: Int, usedSlots: Int)
  /// More segments than the device takes, even after merging.
  case tooManySegments(count: Int, limit: Int)
  /// Memory of this kind may not be used for DMA (R10, R12, R13).
  ///
  /// Never succeeds.
  case notDMAable(MemoryKind)
  /// A call that may wait was made in an interrupt or while a spin lock is held.
  case wouldBlock
  /// The deadline passed while waiting.
  ///
  /// Can succeed later.
  case timedOut
  /// This call may not be made in an interrupt (T10).
  case forbiddenInInterrupt
  /// The device is gone.
  ///
  /// Never succeeds.
  case deviceRemoved
  /// An alignment must be a power of two, of at most `limit` bytes.
  case invalidAlignment(Int, limit: Int)
  /// A boundary must be zero, or a power of two that is not smaller than the block.
  case invalidBoundary(Int, blockByteCount: Int)
  /// The range does not lie inside the memory it names.
  case outOfBounds(offset: Int, byteCount: Int, limit: Int)
  /// The memory or mapping belongs to another device (R53).
  case wrongDevice
  /// The size differs from the one given at the start (R53).
  case wrongSize(expected: Int, given: Int)
  /// The CPU address is not the one that was returned with this handle (R53).
  case wrongCPUAddress
  /// The direction differs from the mapping's (R81).
  case wrongDirection(expected: DMADirection, given: DMADirection)
  /// Made by one family of calls, given back to another (R30).
  case wrongFunction(made: DMAEvent.Family, given: DMAEvent.Family)
  /// A scatter list has another number of entries than it was mapped with (R93).
  case wrongEntryCount(expected: Int, given: Int)
  /// No live memory or mapping of this device has this address: never made, or already ended.
  case notMapped(DMAAddress)
  /// The address is not that of a block of this pool (R69).
  case notInPool(DMAAddress)
  /// The block is free already, or belongs to a `DMAPoolBlock` (R69).
  case blockNotAllocated(DMAAddress)
  /// Blocks of the pool are still in use: it cannot be destroyed (R71).
  case poolBusy(blockCount: Int)
  /// A segment would lie on both sides of a multiple of `boundary`, which the device cannot drive.
  case segmentAcrossBoundary(first: DMAAddress, last: DMAAddress, boundary: UInt64)
  /// The machine's own call failed, with the number it gave (an errno where there are errnos).
  case machine(code: Int)

  /// Whether the same call can succeed later without anything being changed by its caller.
  public var isTransient: Bool {
    switch self {
    case .outOfMemory, .outOfAddressSpace, .bouncePoolFull, .timedOut: true
    default: false
    }
  }
}

extension DMAError: CustomStringConvertible {
  /// What went wrong, with the numbers and what would help.
  public var description: String {
    switch self {
    case .emptyRequest:
      "an empty request: at least one byte is needed"
    case .sizeOverflow(let count, let stride):
      "\(count) elements of \(stride) bytes are more than an address space holds"
    case .tooLarge(let byteCount, let limit):
      "\(byteCount) bytes asked for, at most \(limit) can be had in one piece"
    case .outOfMemory(let byteCount, let limit):
      "no \(byteCount) bytes of memory free at or below 0x\(String(limit, radix: 16))"
    case .outOfReach(let first, let last, let mask):
      "memory at \(first)...\(last) is out of the device's reach: its mask is \(mask);"
        + " bounce or IOMMU mapping, a wider mask or lower memory would do"
    case .unsupportedMask(let mask, let required):
      "the platform cannot serve mask \(mask): it needs at least \(required)"
    case .outOfAddressSpace(let byteCount, let limit):
      "no \(byteCount) bytes of bus address space free at or below 0x\(String(limit, radix: 16))"
    case .bouncePoolFull(let byteCount, let totalSlots, let usedSlots):
      "bounce pool is full (\(byteCount) bytes asked for; \(totalSlots) slots, \(usedSlots) used)"
    case .tooManySegments(let count, let limit):
      "\(count) segments, the device takes at most \(limit)"
    case .notDMAable(let kind):
      "\(kind) memory may not be used for DMA"
    case .wouldBlock:
      "a call that may wait, made in an interrupt or with a spin lock held"
    case .timedOut:
      "the deadline passed"
    case .forbiddenInInterrupt:
      "not allowed in an interrupt"
    case .deviceRemoved:
      "the device was removed"
    case .invalidAlignment(let alignment, let limit):
      "alignment \(alignment) is not a power of two of at most \(limit)"
    case .invalidBoundary(let boundary, let blockByteCount):
      "boundary \(boundary) is not a power of two of at least the block's \(blockByteCount) bytes"
    case .outOfBounds(let offset, let byteCount, let limit):
      "bytes \(offset)..<\(offset)+\(byteCount) lie outside of the \(limit) bytes there are"
    case .wrongDevice:
      "belongs to another device"
    case .wrongSize(let expected, let given):
      "size \(given) given, it was made with \(expected)"
    case .wrongCPUAddress:
      "the CPU address is not the one returned with this handle"
    case .wrongDirection(let expected, let given):
      "direction \(given) given, it was mapped \(expected)"
    case .wrongFunction(let made, let given):
      "made as \(made), given back as \(given)"
    case .wrongEntryCount(let expected, let given):
      "a list of \(given) entries given, it was mapped with \(expected)"
    case .notMapped(let address):
      "nothing of this device is live at \(address)"
    case .notInPool(let address):
      "\(address) is not a block of this pool"
    case .blockNotAllocated(let address):
      "the block at \(address) is free already"
    case .poolBusy(let blockCount):
      "\(blockCount) blocks of the pool are still in use"
    case .segmentAcrossBoundary(let first, let last, let boundary):
      "a segment at \(first)...\(last) would cross a multiple of 0x\(String(boundary, radix: 16))"
    case .machine(let code):
      "the machine refused (code \(code))"
    }
  }
}
