public import DMASupport
public import Synchronization

/// What a pool is, in plain memory: everything that allocating and freeing a block reads.
///
/// It is hardly ever written, so threads share its cache lines; what is written often lies in
/// `books` and in the magazines. Nothing is kept inside of the blocks: a device that writes where
/// it must not can spoil data, but not the pool (R71, T19).
@usableFromInline
@safe
struct PoolCore: ~Copyable {
  /// Zero means: nothing special, use the magazines.
  ///
  /// Changed only under the lock of the books; see `Mode`.
  @usableFromInline let mode: Atomic<UInt32>
  /// Blocks a magazine holds.
  @usableFromInline let magazineCapacity: Int
  /// By thread slot; nil until a thread needs one, and for slot 0, which is no thread's own.
  @usableFromInline let magazines: UnsafeMutablePointer<UnsafeMutablePointer<PoolMagazine>?>
  /// Whose memory the blocks are.
  @usableFromInline let device: UnsafeMutablePointer<DMADeviceCore>
  /// What the caller asked for.
  @usableFromInline let byteCount: Int
  /// Whether blocks are zeroed each time.
  @usableFromInline let isZeroing: Bool

  let geometry: PoolGeometry
  /// The pool's number in events; unique on its device.
  let id: UInt32
  /// Whether `dma_fence_light` is free.
  let hasMagazines: Bool
  let books: UnsafeMutablePointer<PoolBooks>
  /// The geometry for those who free blocks by address.
  @usableFromInline let quick: QuickGeometry
  /// From addresses to blocks without a lock, for blocks that are freed by address.
  @usableFromInline let pageIndex = PoolPageIndex()
  /// The device's list of pools, under the lock of its books.
  var next: UnsafeMutablePointer<PoolCore>?
}

extension PoolCore {
  /// The bits of `mode`; any of them leads around the magazines.
  enum Mode {
    /// Free blocks hold a pattern.
    static var poisoned: UInt32 { 1 }
    /// Somebody looks into all magazines: their owners wait at the lock.
    static var stopped: UInt32 { 2 }
    /// Somebody waits for a block: the next one freed must not go into a magazine.
    static var awaited: UInt32 { 4 }
    /// The pool is gone, blocks are not: the last one takes the rest with it.
    static var orphaned: UInt32 { 8 }
    /// `destroy()` was called.
    static var destroyed: UInt32 { 16 }
  }
}

/// One block as the pool knows it.
@usableFromInline
@safe
struct PoolRecord: ~Copyable {
  @usableFromInline let cpuAddress: UInt
  @usableFromInline let address: UInt64
  /// The page's place in `PoolBooks.pages`.
  let page: UInt32
  /// 1 while allocated by address (`allocateRaw`); blocks that are values need no mark.
  @usableFromInline let isRaw: Atomic<UInt32>
}

/// Free blocks that one thread keeps for itself: a stack.
///
/// Its owner takes and puts without an atomic exchange. Whoever else wants to look sets
/// `Mode.stopped`, has every thread pass a barrier, and then waits for `isBusy` to be zero: an
/// owner that comes later sees the mode and goes to the lock.
@usableFromInline
@safe
struct PoolMagazine: ~Copyable {
  /// 1 while the owner is between taking and having taken.
  @usableFromInline let isBusy: Atomic<UInt32>
  @usableFromInline var count: Int

  /// The stack: room for the pool's `magazineCapacity` blocks, right behind the header.
  @inlinable
  @inline(__always)
  static func blocks(
    _ magazine: UnsafeMutablePointer<PoolMagazine>
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>> {
    // SAFETY: as `make` laid it out; the struct fits into the 16 bytes.
    unsafe (UnsafeMutableRawPointer(magazine) + 16).assumingMemoryBound(
      to: UnsafeMutablePointer<PoolRecord>.self)
  }

  /// A magazine with its blocks behind it, on cache lines of its own.
  static func make(capacity: Int) -> UnsafeMutablePointer<PoolMagazine> {
    precondition(MemoryLayout<PoolMagazine>.size <= 16, "the blocks lie behind the header")
    // Behind the stack one more entry, and the record that entries hold until they are used: one that
    // is never allocated, so that `RawPool` may compare what stands above the top.
    let recordOffset = 16 + (capacity + 1) * MemoryLayout<UInt>.stride
    // Whole pairs of cache lines: processors fetch them in pairs.
    let byteCount = (recordOffset + MemoryLayout<PoolRecord>.size + 127) & ~127
    let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 128)
    // SAFETY: freshly allocated, with room for header, entries and record.
    let never = unsafe (memory + recordOffset).bindMemory(to: PoolRecord.self, capacity: 1)
    unsafe never.initialize(to: PoolRecord(cpuAddress: 0, address: 0, page: 0, isRaw: Atomic(0)))
    let blocks = unsafe (memory + 16).bindMemory(
      to: UnsafeMutablePointer<PoolRecord>.self, capacity: capacity + 1)
    unsafe blocks.initialize(repeating: never, count: capacity + 1)
    let magazine = unsafe memory.bindMemory(to: PoolMagazine.self, capacity: 1)
    unsafe magazine.initialize(to: PoolMagazine(isBusy: Atomic(0), count: 0))
    return unsafe magazine
  }
}

extension PoolCore {
  /// The calling thread's magazine, now its alone; nil when this pool or its device needs more
  /// done.
  ///
  /// - Parameter unusual: the device's flags that mean so.
  @inlinable
  @inline(__always)
  static func enterMagazine(
    _ core: UnsafeMutablePointer<PoolCore>, _ unusual: UInt32
  ) -> UnsafeMutablePointer<PoolMagazine>? {
    // SAFETY: the pool, which the caller has, keeps its core.
    unsafe enterMagazine(core, core.pointee.magazines, core.pointee.device, unusual)
  }

  /// The same for who knows where the core's magazines and its device are.
  @inlinable
  @inline(__always)
  static func enterMagazine(
    _ core: UnsafeMutablePointer<PoolCore>,
    _ magazines: UnsafeMutablePointer<UnsafeMutablePointer<PoolMagazine>?>,
    _ device: UnsafeMutablePointer<DMADeviceCore>, _ unusual: UInt32
  ) -> UnsafeMutablePointer<PoolMagazine>? {
    // SAFETY: the pool, which the caller has, keeps core and magazines; a slot is below the table's
    // size. Only the thread that has the slot gets past `isBusy` (see PoolMagazine).
    guard unsafe device.pointee.flags & unusual == 0,
      let magazine = unsafe magazines[Int(dma_thread_slot_claimed())]
    else { return nil }
    // Relaxed, and a fence that costs nothing: whoever stops magazines pays for both. Without such
    // a fence there are no magazines.
    unsafe magazine.pointee.isBusy.store(1, ordering: .relaxed)
    dma_fence_light_free()
    // Acquiring: what was done to a stopped magazine is seen once the mode is plain again.
    guard unsafe _fastPath(core.pointee.mode.load(ordering: .acquiring) == 0) else {
      unsafe leaveMagazine(magazine)
      return nil
    }
    return unsafe magazine
  }

  @inlinable
  @inline(__always)
  static func leaveMagazine(_ magazine: UnsafeMutablePointer<PoolMagazine>) {
    unsafe magazine.pointee.isBusy.store(0, ordering: .releasing)
  }

  /// Takes a block from the calling thread's magazine.
  ///
  /// - Returns: nil when it is empty, or when this pool or its device needs more done.
  @inlinable
  @inline(__always)
  static func takeCached(
    _ core: UnsafeMutablePointer<PoolCore>
  ) -> UnsafeMutablePointer<PoolRecord>? {
    guard let magazine = unsafe enterMagazine(core, DMADeviceCore.Flags.notPlain) else {
      return nil
    }
    return unsafe take(magazine)
  }

  /// Takes a block from a magazine that was entered, and leaves it.
  @inlinable
  @inline(__always)
  static func take(
    _ magazine: UnsafeMutablePointer<PoolMagazine>
  ) -> UnsafeMutablePointer<PoolRecord>? {
    // SAFETY: inside, the magazine is this thread's; entries below its count are set.
    let count = unsafe magazine.pointee.count
    guard _fastPath(count > 0) else {
      unsafe leaveMagazine(magazine)
      return nil
    }
    let record = unsafe PoolMagazine.blocks(magazine)[count &- 1]
    unsafe magazine.pointee.count = count &- 1
    unsafe leaveMagazine(magazine)
    return unsafe record
  }

  /// Puts a block into the calling thread's magazine; false when it must go elsewhere.
  @inlinable
  @inline(__always)
  static func putCached(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>
  ) -> Bool {
    // SAFETY: the block itself keeps the core until it is back, and leaving the magazine is the last
    // access to it.
    guard let magazine = unsafe enterMagazine(core, DMADeviceCore.Flags.observed) else {
      return false
    }
    let count = unsafe magazine.pointee.count
    guard unsafe count < core.pointee.magazineCapacity else {
      unsafe leaveMagazine(magazine)
      return false
    }
    unsafe PoolMagazine.blocks(magazine)[count] = record
    unsafe magazine.pointee.count = count &+ 1
    unsafe leaveMagazine(magazine)
    return true
  }

  /// Gives a block back: what every owner of one ends with.
  @inlinable
  @inline(__always)
  static func put(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>
  ) {
    if unsafe !putCached(core, record) { unsafe putSlowly(core, record, CallSite.none) }
  }
}
