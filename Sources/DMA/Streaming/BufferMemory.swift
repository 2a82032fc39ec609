/// The memory behind a streaming buffer: where it is, and how it goes back.
@frozen
@usableFromInline
@safe
struct BufferMemory: BitwiseCopyable {
  @usableFromInline let platform: UnsafeMutablePointer<PlatformCore>
  @usableFromInline let start: UnsafeMutableRawPointer
  @usableFromInline let physicalAddress: UInt64
  @usableFromInline let byteCount: Int
  /// `PageOptions` for pages; all ones for pinned memory.
  @usableFromInline let origin: UInt32

  static var pinned: UInt32 { .max }

  @usableFromInline
  init(
    platform: UnsafeMutablePointer<PlatformCore>, start: UnsafeMutableRawPointer,
    physicalAddress: UInt64, byteCount: Int, origin: UInt32
  ) {
    unsafe self.platform = platform
    unsafe self.start = start
    self.physicalAddress = physicalAddress
    self.byteCount = byteCount
    self.origin = origin
  }

  /// Whole pages that hold `byteCount` bytes, or nil when that is more than an `Int` counts.
  static func pageRounded(_ byteCount: Int) -> Int? {
    let (sum, overflow) = byteCount.addingReportingOverflow(4095)
    return overflow ? nil : sum & ~4095
  }

  /// Takes zeroed pages from the machine.
  static func allocate(
    _ platform: UnsafeMutablePointer<PlatformCore>, byteCount: Int, alignment: Int, limit: UInt64,
    options: PageOptions
  ) throws(DMAError) -> BufferMemory {
    guard byteCount > 0 else { throw .emptyRequest }
    guard let rounded = pageRounded(byteCount) else {
      throw .tooLarge(byteCount: byteCount, limit: Int.max & ~4095)
    }
    guard alignment > 0, alignment & (alignment - 1) == 0 else {
      throw .invalidAlignment(alignment, limit: 1 << 62)
    }
    var numbers = DMAStatusNumbers()
    // SAFETY: the platform's own function with its own context.
    let status = unsafe numbers.withWords { pointer in
      unsafe platform.pointee.operations.allocatePages(
        platform.pointee.context, rounded, max(alignment, 4096), limit, options.rawValue,
        pointer)
    }
    guard status == .success,
      let start = unsafe UnsafeMutableRawPointer(
        bitPattern: UInt(truncatingIfNeeded: numbers.first))
    else { throw DMAError(status: status, numbers: numbers) }
    unsafe PlatformCore.retain(platform)
    return unsafe BufferMemory(
      platform: platform, start: start, physicalAddress: numbers.second, byteCount: byteCount,
      origin: options.rawValue)
  }

  /// Makes memory from elsewhere usable, where the machine can.
  static func pin(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ bytes: UnsafeMutableRawBufferPointer
  ) throws(DMAError) -> BufferMemory {
    guard let start = bytes.baseAddress, bytes.count > 0 else { throw .emptyRequest }
    guard let pin = unsafe platform.pointee.operations.pin else { throw .notDMAable(.user) }
    var numbers = DMAStatusNumbers()
    // SAFETY: as above; the caller of init(unsafePinning:) promises that the bytes stay.
    let status = unsafe numbers.withWords { pointer in
      unsafe pin(platform.pointee.context, UInt(bitPattern: start), bytes.count, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    unsafe PlatformCore.retain(platform)
    return unsafe BufferMemory(
      platform: platform, start: start, physicalAddress: numbers.first, byteCount: bytes.count,
      origin: pinned)
  }

  /// Gives the memory back.
  ///
  /// Once.
  @usableFromInline
  @inline(never)
  func free() {
    // SAFETY: exactly what allocate or pin returned; the owner calls this once.
    if origin == BufferMemory.pinned {
      unsafe platform.pointee.operations.unpin?(
        platform.pointee.context, UInt(bitPattern: start), physicalAddress, byteCount)
    } else {
      unsafe platform.pointee.operations.freePages(
        platform.pointee.context, UInt(bitPattern: start), physicalAddress,
        BufferMemory.pageRounded(byteCount) ?? byteCount, origin)
    }
    unsafe PlatformCore.release(platform)
  }
}
