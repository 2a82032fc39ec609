/// The memory behind a streaming buffer: where it is, and how it goes back.
///
/// Four words, so that a buffer is passed and returned in registers.
@frozen
@usableFromInline
@safe
struct BufferMemory: BitwiseCopyable {
  /// The platform's core, with what kind of memory it is in the pointer's low bits.
  @usableFromInline let taggedPlatform: UnsafeMutableRawPointer
  @usableFromInline let start: UnsafeMutableRawPointer
  @usableFromInline let physicalAddress: UInt64
  @usableFromInline let byteCount: Int

  /// What kind of memory it is: `PageOptions` for pages, or this for pinned memory.
  static var pinned: UInt32 { 4 }
  private static var originMask: UInt { 7 }

  init(
    platform: UnsafeMutablePointer<PlatformCore>, start: UnsafeMutableRawPointer,
    physicalAddress: UInt64, byteCount: Int, origin: UInt32
  ) {
    precondition(UInt(origin) <= Self.originMask, "an origin has three bits")
    unsafe self.taggedPlatform = UnsafeMutableRawPointer(platform) + Int(origin)
    unsafe self.start = start
    self.physicalAddress = physicalAddress
    self.byteCount = byteCount
  }

  var origin: UInt32 {
    unsafe UInt32(truncatingIfNeeded: UInt(bitPattern: taggedPlatform) & Self.originMask)
  }

  var platform: UnsafeMutablePointer<PlatformCore> {
    // SAFETY: a core is aligned to 8 bytes (Platform.init checks); init added less than 8.
    unsafe (taggedPlatform - Int(origin)).assumingMemoryBound(to: PlatformCore.self)
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
