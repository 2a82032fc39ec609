internal import DMASupport
internal import Synchronization

/// What is kept for a pool off the fast path, under one lock.
@safe
struct PoolBooks: ~Copyable {
  /// One piece of coherent memory, cut into blocks.
  @safe
  struct Page: BitwiseCopyable {
    var cpuAddress: UInt
    var address: UInt64
    var records: UnsafeMutablePointer<PoolRecord>
  }

  let lock = RawSpinLock()
  /// For the statistics file: at most 31 bytes, as there.
  let name: [UInt8]
  var pages: [Page] = []
  /// From a page's bus address to its place in `pages`.
  var pageNumbers = AddressTable<UInt32>()
  /// Free blocks outside of the magazines: a stack with room for every block there is.
  var free = UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>.allocate(capacity: 1)
  var freeCapacity = 1
  var freeCount = 0
  /// All blocks, free or not.
  var blockCount = 0
  /// Callers that wait for a block.
  var waiterCount = 0
  /// Free blocks that were found written.
  var corruptionCount = 0

  init(name: [UInt8]) { self.name = name }

  deinit {
    // SAFETY: whoever ends the books has every block back; records were made in `makeRecords`.
    unsafe free.deallocate()
    let pages = pages
    for page in pages { unsafe page.records.deallocate() }
  }

  mutating func push(_ record: UnsafeMutablePointer<PoolRecord>) {
    // SAFETY: there is room for every block, and a block is pushed only while it is not there.
    precondition(freeCount < freeCapacity, "a block was freed twice")
    unsafe (free + freeCount).initialize(to: record)
    freeCount += 1
  }

  /// Pushes many, which must not be there.
  mutating func push(
    _ records: UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>, count: Int
  ) {
    precondition(count <= freeCapacity - freeCount, "a block was freed twice")
    // SAFETY: as above.
    unsafe (free + freeCount).initialize(from: records, count: count)
    freeCount += count
  }

  mutating func pop() -> UnsafeMutablePointer<PoolRecord>? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    // SAFETY: entries below the count are set.
    return unsafe free[freeCount]
  }
}

extension PoolCore {
  static func make(
    _ name: String, _ geometry: PoolGeometry, _ options: DMAPoolOptions,
    for device: UnsafeMutablePointer<DMADeviceCore>
  ) -> UnsafeMutablePointer<PoolCore> {
    // The first claim of a slot decides what fences cost.
    _ = dma_thread_slot()
    let slots = PoolCore.slotCount
    let magazines = UnsafeMutablePointer<UnsafeMutablePointer<PoolMagazine>?>.allocate(
      capacity: slots)
    unsafe magazines.initialize(repeating: nil, count: slots)
    let books = UnsafeMutablePointer<PoolBooks>.allocate(capacity: 1)
    unsafe books.initialize(to: PoolBooks(name: Array(name.utf8.prefix(31))))
    let core = UnsafeMutablePointer<PoolCore>.allocate(capacity: 1)
    // A thread keeps at most 256 KiB of large blocks for itself.
    let capacity = max(2, min(64, 262_144 / geometry.blockByteCount))
    // SAFETY: the device's core lives while its books are used; the new core joins its list.
    unsafe device.pointee.books.pointee.lock.withLock {
      unsafe device.pointee.books.pointee.poolCount += 1
      unsafe core.initialize(
        to: PoolCore(
          mode: Atomic(options.contains(.poisoned) ? Mode.poisoned : 0),
          magazineCapacity: capacity, magazines: magazines, device: device,
          byteCount: geometry.requestedByteCount, isZeroing: options.contains(.zeroed),
          geometry: geometry, id: device.pointee.books.pointee.poolCount,
          hasMagazines: dma_fence_light_is_free() != 0, books: books,
          quick: QuickGeometry(geometry),
          next: device.pointee.books.pointee.pools))
      unsafe device.pointee.books.pointee.pools = core
    }
    return unsafe core
  }

  /// Forgets a core whose blocks and pages are all gone, or which never had any.
  static func dispose(_ core: UnsafeMutablePointer<PoolCore>) {
    unsafe unlink(core)
    // SAFETY: nobody else has the core any more.
    for slot in 0..<PoolCore.slotCount {
      unsafe core.pointee.magazines[slot]?.deallocate()
    }
    unsafe core.pointee.magazines.deallocate()
    unsafe core.pointee.books.deinitialize(count: 1)
    unsafe core.pointee.books.deallocate()
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
  }

  private static func unlink(_ core: UnsafeMutablePointer<PoolCore>) {
    let books = unsafe core.pointee.device.pointee.books
    // SAFETY: the list is changed and walked only under this lock.
    unsafe books.pointee.lock.withLock {
      if unsafe books.pointee.pools == core {
        unsafe books.pointee.pools = core.pointee.next
        return
      }
      var previous = unsafe books.pointee.pools
      while let before = unsafe previous {
        if unsafe before.pointee.next == core {
          unsafe before.pointee.next = core.pointee.next
          return
        }
        unsafe previous = before.pointee.next
      }
    }
  }

  static var slotCount: Int { Int(DMA_THREAD_SLOT_COUNT) }
}
