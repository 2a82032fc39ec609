/// Memory for transfers, owned by the CPU.
///
/// Physically contiguous memory of the machine, page-aligned and zeroed when new. Mapping consumes
/// the value: while a device owns the memory there is nothing in the program through which the CPU
/// could touch it. Freed when the value goes.
@frozen
@safe
public struct StreamingBuffer: ~Copyable {
  @usableFromInline let memory: BufferMemory

  @usableFromInline
  init(_ memory: BufferMemory) { self.memory = memory }

  @inlinable
  deinit { memory.free() }

  /// How many bytes there are: what was asked for.
  @inlinable
  public var byteCount: Int { memory.byteCount }
}

extension StreamingBuffer {
  /// Where a buffer should lie.
  public enum Placement: Sendable {
    /// Wherever the machine likes: usually above what limited devices reach.
    case anywhere
    /// Wholly inside the low memory that this mask covers.
    case below(DMAMask)
    /// As high as possible.
    case high
  }

  /// New zeroed memory.
  ///
  /// Never waits.
  ///
  /// - Throws: `DMAError.emptyRequest`, `.tooLarge`, `.invalidAlignment`: a retry cannot help.
  ///   `.outOfMemory`: it can.
  public init(
    byteCount: Int, in platform: Platform, placement: Placement = .anywhere, alignment: Int = 4096
  ) throws(DMAError) {
    self.init(
      try unsafe BufferMemory.allocate(
        platform.core, byteCount: byteCount, alignment: alignment,
        limit: Self.limit(placement), options: Self.options(placement)))
  }

  /// New memory of the device's machine that its mask reaches without translation.
  ///
  /// - Throws: as `init(byteCount:in:placement:alignment:)`.
  public init(byteCount: Int, for device: DMADevice) throws(DMAError) {
    try self.init(byteCount: byteCount, in: device.platform, placement: .below(device.mask))
  }

  /// New memory with a copy of bytes from elsewhere.
  ///
  /// - Throws: as `init(byteCount:in:placement:alignment:)`.
  public init(
    copying bytes: RawSpan, in platform: Platform, placement: Placement = .anywhere
  ) throws(DMAError) {
    self.init(
      try unsafe BufferMemory.allocate(
        platform.core, byteCount: bytes.byteCount, alignment: 4096,
        limit: Self.limit(placement), options: Self.options(placement)))
    let start = unsafe memory.start
    // SAFETY: the new memory has as many bytes as the source, and nobody else knows it.
    unsafe bytes.withUnsafeBytes { source in
      unsafe UnsafeMutableRawBufferPointer(start: start, count: source.count)
        .copyMemory(from: source)
    }
  }

  /// Memory from elsewhere, made usable for DMA where the machine can; it is not copied.
  ///
  /// The caller keeps the bytes where they are, and touches them only through this value, until
  /// the value and every mapping of it are gone.
  ///
  /// - Throws: `DMAError.notDMAable` where the machine cannot pin or the memory is of a kind that
  ///   it refuses; `DMAError.machine` when its own call failed (a retry can help there).
  public init(
    unsafePinning bytes: UnsafeMutableRawBufferPointer, in platform: Platform
  ) throws(DMAError) {
    self.init(try unsafe BufferMemory.pin(platform.core, bytes))
  }

  /// Ends the value without freeing what it owned.
  consuming func takeMemory() -> BufferMemory {
    let memory = self.memory
    discard self
    return memory
  }

  private static func limit(_ placement: Placement) -> UInt64 {
    if case .below(let mask) = placement { mask.rawValue } else { .max }
  }

  private static func options(_ placement: Placement) -> PageOptions {
    if case .high = placement { .high } else { [] }
  }

  /// The bytes, to read.
  public var bytes: RawSpan {
    @_lifetime(borrow self) get {
      // SAFETY: the memory lives as long as self, which is borrowed while the span lives.
      let span = unsafe RawSpan(_unsafeStart: memory.start, byteCount: memory.byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes, to change.
  public var mutableBytes: MutableRawSpan {
    @_lifetime(&self) mutating get {
      // SAFETY: as above; self is borrowed exclusively while the span lives.
      let span = unsafe MutableRawSpan(_unsafeStart: memory.start, byteCount: memory.byteCount)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }
}

// SAFETY: the value owns its memory alone.
extension StreamingBuffer: @unchecked Sendable {}
