public import DMASupport
public import Synchronization

/// The fast paths of blocks by address, as the C interface has them.
///
/// Valid as long as its pool. What these cannot do at once, `allocateRaw` and `freeRaw` do.
@safe
@frozen
@usableFromInline
package struct RawPool: BitwiseCopyable {
  @usableFromInline let core: UnsafeMutablePointer<PoolCore>

  init(core: UnsafeMutablePointer<PoolCore>) { unsafe self.core = unsafe core }

  /// For those who keep it in C.
  package var opaque: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(core) }

  /// The reverse of `opaque`.
  @inlinable
  package init(opaque: UnsafeMutableRawPointer) {
    // SAFETY: the caller's promise.
    unsafe core = unsafe opaque.assumingMemoryBound(to: PoolCore.self)
  }

  /// A block of the calling thread's own: its CPU address, or 0 when there is more to do.
  @inlinable
  @inline(__always)
  package func take(_ address: UnsafeMutablePointer<UInt64>) -> UInt {
    // SAFETY: the core lives as long as its pool; the caller has room for a word.
    guard unsafe !core.pointee.isZeroing, let record = unsafe PoolCore.takeCached(core) else {
      return 0
    }
    unsafe record.pointee.isRaw.store(1, ordering: .relaxed)
    unsafe address.pointee = unsafe record.pointee.address
    return unsafe record.pointee.cpuAddress
  }

  /// Gives a block back; false, and nothing is changed, when there is more to do or to say.
  ///
  /// Two threads that free one block at the very same moment may both be believed; in any other
  /// order the second is refused.
  @inlinable
  @inline(__always)
  package func put(_ cpuAddress: UInt, _ address: UInt64) -> Bool {
    if putLastTaken(cpuAddress, address) { return true }
    // SAFETY: as above; records stay while the pool does.
    let geometry = unsafe core.pointee.quick
    let start = address & geometry.pageMask
    let offset = address &- start
    let index = (offset &* geometry.reciprocal) >> 40
    guard let records = unsafe core.pointee.pageIndex.find(start),
      index < geometry.blocksPerPage
    else { return false }
    // An address inside of a block leads to the block, whose own address it is not.
    let record = unsafe records + Int(truncatingIfNeeded: index)
    guard unsafe record.pointee.address == address,
      unsafe record.pointee.cpuAddress == cpuAddress,
      unsafe record.pointee.isRaw.load(ordering: .relaxed) != 0
    else { return false }
    unsafe record.pointee.isRaw.store(0, ordering: .relaxed)
    if unsafe PoolCore.putCached(core, record) { return true }
    unsafe record.pointee.isRaw.store(1, ordering: .relaxed)
    return false
  }
}

extension RawPool {
  /// Gives back the block that the calling thread took last, which still stands above the top of its
  /// magazine: it is compared, not looked up.
  @inlinable
  @inline(__always)
  func putLastTaken(_ cpuAddress: UInt, _ address: UInt64) -> Bool {
    // SAFETY: as for `putCached`; entries above the top are records of this pool, or zero.
    guard unsafe core.pointee.device.pointee.flags & DMADeviceCore.Flags.observed == 0,
      let magazine = unsafe core.pointee.magazines[Int(dma_thread_slot_claimed())]
    else { return false }
    unsafe magazine.pointee.isBusy.store(1, ordering: .relaxed)
    dma_fence_light_free()
    var isDone = false
    // Acquiring: as in `putCached`.
    if unsafe core.pointee.mode.load(ordering: .acquiring) == 0 {
      let count = unsafe magazine.pointee.count
      if unsafe count < core.pointee.magazineCapacity,
        let record = unsafe UnsafeMutablePointer<PoolRecord>(
          bitPattern: UInt(bitPattern: PoolMagazine.blocks(magazine)[count])),
        unsafe record.pointee.address == address, unsafe record.pointee.cpuAddress == cpuAddress,
        unsafe record.pointee.isRaw.load(ordering: .relaxed) != 0
      {
        unsafe record.pointee.isRaw.store(0, ordering: .relaxed)
        unsafe magazine.pointee.count = count &+ 1
        isDone = true
      }
    }
    unsafe magazine.pointee.isBusy.store(0, ordering: .releasing)
    return isDone
  }
}

/// What finds a block without a division.
@frozen
@usableFromInline
struct QuickGeometry: BitwiseCopyable {
  /// Clears a bus address's bits inside of a page.
  @usableFromInline let pageMask: UInt64
  /// 2^40 / the bytes from one block to the next, rounded up; 0 where blocks do not follow each other without gaps, or
  /// are too long for it.
  @usableFromInline let reciprocal: UInt64
  /// 0 where there is no reciprocal.
  @usableFromInline let blocksPerPage: UInt64

  init(_ geometry: PoolGeometry) {
    let allocated = DMADeviceCore.allocationSize(for: geometry.pageByteCount) ?? 4096
    pageMask = ~UInt64(allocated - 1)
    let block = UInt64(geometry.blockByteCount)
    // Offsets are below 2^16, so that the rounding (less than 2^16 * 2^16 / 2^40) never carries.
    let isEven =
      geometry.blocksPerWindow * geometry.blockByteCount == geometry.windowByteCount
      || geometry.windowByteCount == geometry.pageByteCount
    let isQuick = isEven && allocated <= 65536
    reciprocal = isQuick ? (1 << 40) / block + 1 : 0
    blocksPerPage = isQuick ? UInt64(geometry.blocksPerPage) : 0
  }
}
