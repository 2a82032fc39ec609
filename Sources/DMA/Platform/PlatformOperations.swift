/// What a machine does for everything above it: pages, caches, time.
///
/// One table a machine.
///
/// Plain C functions and a context, so that a call costs one indirect jump and no counted
/// reference, on a host and without an operating system alike. `numbers` is always a
/// `DMAStatusNumbers`; a function that returns another status than success writes there what
/// goes with it (see `DMAStatus`).
@safe
public struct PlatformOperations {
  /// (context, bytes, alignment, highest physical address allowed, `PageOptions`, numbers).
  ///
  /// Bytes are a multiple of 4096, alignment a power of two. Never waits. On success the numbers
  /// are CPU address and physical address; the pages are physically contiguous and zeroed.
  public typealias AllocatePages =
    @convention(c) (
      UnsafeMutableRawPointer, Int, Int, UInt64, UInt32, UnsafeMutablePointer<UInt64>
    ) -> Int32
  /// (context, CPU address, physical address, bytes, `PageOptions`) as allocated.
  public typealias FreePages =
    @convention(c) (UnsafeMutableRawPointer, UInt, UInt64, Int, UInt32) -> Void
  /// (context, CPU address, bytes, numbers): the physical address of memory that may be used for
  /// DMA by this address, or `notDMAable` with its kind (R7-R13).
  public typealias Resolve =
    @convention(c) (UnsafeMutableRawPointer, UInt, Int, UnsafeMutablePointer<UInt64>) -> Int32
  /// (context, CPU address, bytes, `CacheOperation`): only called on incoherent machines.
  public typealias MaintainCache =
    @convention(c) (UnsafeMutableRawPointer, UInt, Int, UInt32) -> Void
  /// (context): nanoseconds since the machine started, monotonic.
  public typealias Now = @convention(c) (UnsafeMutableRawPointer) -> UInt64
  /// (context): gives the rest of the machine a moment: a simulated one runs its devices, a real
  /// one relaxes the CPU.
  ///
  /// Delivers interrupts that are due.
  public typealias Relax = @convention(c) (UnsafeMutableRawPointer) -> Void
  /// (context, nanoseconds): as `Relax`, for a loop that has waited so long already: the longer,
  /// the longer a machine may sleep.
  public typealias RelaxAfter = @convention(c) (UnsafeMutableRawPointer, UInt64) -> Void
  /// (context, CPU address, bytes, numbers): makes memory from elsewhere usable for DMA until
  /// unpinned; the first number is its physical address.
  public typealias Pin = Resolve
  /// (context, CPU address, physical address, bytes) as pinned.
  public typealias Unpin = @convention(c) (UnsafeMutableRawPointer, UInt, UInt64, Int) -> Void

  public var allocatePages: AllocatePages
  public var freePages: FreePages
  public var resolve: Resolve
  public var maintainCache: MaintainCache
  public var now: Now
  public var relax: Relax
  /// Nil where it makes no difference how long was waited: `relax` serves then.
  public var relaxAfter: RelaxAfter?
  /// Nil where memory from elsewhere cannot be pinned.
  public var pin: Pin?
  /// Not nil when `pin` is not.
  public var unpin: Unpin?
  /// Whether `now` is a clock of the world, which goes on by itself.
  ///
  /// Observers may then read it less often than a call is made; a simulated one they read each time,
  /// so that a run is a function of its seed.
  public var isTimeReal: Bool

  public init(
    allocatePages: @escaping AllocatePages, freePages: @escaping FreePages,
    resolve: @escaping Resolve, maintainCache: @escaping MaintainCache, now: @escaping Now,
    relax: @escaping Relax, relaxAfter: RelaxAfter? = nil, pin: Pin? = nil, unpin: Unpin? = nil,
    isTimeReal: Bool = false
  ) {
    unsafe self.allocatePages = allocatePages
    unsafe self.freePages = freePages
    unsafe self.resolve = resolve
    unsafe self.maintainCache = maintainCache
    unsafe self.now = now
    unsafe self.relax = relax
    unsafe self.relaxAfter = relaxAfter
    unsafe self.pin = pin
    unsafe self.unpin = unpin
    self.isTimeReal = isTimeReal
  }
}

/// How pages are wanted.
@frozen
public struct PageOptions: OptionSet, Sendable {
  public let rawValue: UInt32
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The CPU's view must be coherent with devices without cache maintenance: consistent memory.
  @inlinable
  public static var uncached: PageOptions { PageOptions(rawValue: 1) }
  /// Take the highest free memory allowed instead of the lowest suitable zone's.
  @inlinable
  public static var high: PageOptions { PageOptions(rawValue: 2) }
}

/// What to do with the CPU's cache lines of a range (bits; both may be set).
@frozen
public struct CacheOperation: OptionSet, Sendable {
  public let rawValue: UInt32
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Write what the CPU has stored back to memory: before the device reads.
  @inlinable
  public static var clean: CacheOperation { CacheOperation(rawValue: 1) }
  /// Drop what the CPU holds, so that it reads memory again: after the device wrote.
  @inlinable
  public static var invalidate: CacheOperation { CacheOperation(rawValue: 2) }
}
