public import Synchronization

/// The fast paths of blocks by address, as the C interface has them.
///
/// Valid as long as its pool. What these cannot do at once, `allocateRaw` and `freeRaw` do. It says
/// where in the pool's core and its device's the paths look: each access is then one step away, not
/// two or three.
@safe
@frozen
@usableFromInline
package struct RawPool: BitwiseCopyable {
  @usableFromInline let core: UnsafeMutablePointer<PoolCore>
  @usableFromInline
  let magazines: UnsafeMutablePointer<UnsafeMutablePointer<PoolMagazine>?>
  @usableFromInline let device: UnsafeMutablePointer<DMADeviceCore>

  init(core: UnsafeMutablePointer<PoolCore>) {
    unsafe self.core = core
    unsafe magazines = core.pointee.magazines
    unsafe device = core.pointee.device
  }

  /// For those who keep it in C: what `init(opaque:)` takes.
  package var opaque:
    (
      core: UnsafeMutableRawPointer, magazines: UnsafeMutableRawPointer,
      device: UnsafeMutableRawPointer
    )
  {
    unsafe (
      UnsafeMutableRawPointer(core), UnsafeMutableRawPointer(magazines),
      UnsafeMutableRawPointer(device)
    )
  }

  /// The reverse of `opaque`.
  @inlinable
  @inline(__always)
  package init(
    core: UnsafeMutableRawPointer, magazines: UnsafeMutableRawPointer,
    device: UnsafeMutableRawPointer
  ) {
    // SAFETY: the caller's promise.
    unsafe self.core = unsafe core.assumingMemoryBound(to: PoolCore.self)
    unsafe self.magazines = unsafe magazines.assumingMemoryBound(
      to: UnsafeMutablePointer<PoolMagazine>?.self)
    unsafe self.device = unsafe device.assumingMemoryBound(to: DMADeviceCore.self)
  }

  /// The calling thread's magazine, now its alone; see `PoolCore.enterMagazine`.
  @inlinable
  @inline(__always)
  func enter(_ unusual: UInt32) -> UnsafeMutablePointer<PoolMagazine>? {
    unsafe PoolCore.enterMagazine(core, magazines, device, unusual)
  }

  /// A block of the calling thread's own; when there is more to do, what `orElse` returns.
  @inlinable
  @inline(__always)
  package func take(
    _ address: UnsafeMutablePointer<UInt64>, orElse: () -> UnsafeMutableRawPointer?
  ) -> UnsafeMutableRawPointer? {
    // SAFETY: the core lives as long as its pool; the caller has room for a word.
    guard let magazine = unsafe enter(DMADeviceCore.Flags.notPlain),
      let record = unsafe PoolCore.take(magazine)
    else { return unsafe orElse() }
    unsafe record.pointee.isRaw.store(1, ordering: .relaxed)
    unsafe address.pointee = unsafe record.pointee.address
    return unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress)
  }

  /// Gives a block back; false, and nothing is changed, when there is more to do or to say.
  ///
  /// Two threads that free one block at the very same moment may both be believed; in any other
  /// order the second is refused.
  @inlinable
  @inline(__always)
  package func put(_ cpuAddress: UInt, _ address: UInt64) -> Bool {
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
  ///
  /// False, and nothing is changed, for any other: then `put` may know it.
  @inlinable
  @inline(__always)
  package func putLastTaken(_ cpuAddress: UInt, _ address: UInt64) -> Bool {
    guard let magazine = unsafe enter(DMADeviceCore.Flags.observed) else { return false }
    // SAFETY: as for `putCached`; entries above the top are records of this pool or, the one behind a
    // full stack too, a record that is never allocated.
    let count = unsafe magazine.pointee.count
    let record = unsafe PoolMagazine.blocks(magazine)[count]
    guard
      unsafe record.pointee.address == address && record.pointee.cpuAddress == cpuAddress
        && record.pointee.isRaw.load(ordering: .relaxed) != 0
    else {
      unsafe PoolCore.leaveMagazine(magazine)
      return false
    }
    unsafe record.pointee.isRaw.store(0, ordering: .relaxed)
    unsafe magazine.pointee.count = count &+ 1
    unsafe PoolCore.leaveMagazine(magazine)
    return true
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
