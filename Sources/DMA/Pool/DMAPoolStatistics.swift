internal import Synchronization

/// The numbers of a pool at one moment.
@frozen
public struct DMAPoolStatistics: Equatable, Sendable {
  /// Blocks in use.
  public let activeCount: Int
  /// Blocks there are, in use or free.
  public let totalCount: Int
  /// Bytes from one block to the next: the size asked for, rounded up to the alignment.
  public let blockSize: Int
  /// Pieces of coherent memory, each of `max(blockSize, 4096)` bytes.
  public let pageCount: Int
  /// Those of them without a block in use, kept for later (T14).
  public let emptyPageCount: Int
  /// Free blocks that threads keep for themselves.
  public let cachedCount: Int
  /// Free blocks that were found written; always 0 unless the pool is poisoned.
  public let corruptionCount: Int
}

extension DMAPool {
  /// The pool's numbers, exact if nobody allocates or frees meanwhile.
  ///
  /// O(n) in the pool's blocks; stops threads that use the pool for a moment.
  public var statistics: DMAPoolStatistics {
    let books = unsafe core.pointee.books
    // SAFETY: the core lives as long as this object; entries below the counts are set.
    return unsafe books.pointee.lock.withLock {
      var freePerPage = unsafe [Int](repeating: 0, count: books.pointee.pages.count)
      var cached = 0
      for index in unsafe 0..<books.pointee.freeCount {
        unsafe freePerPage[Int(books.pointee.free[index].pointee.page)] += 1
      }
      unsafe PoolCore.withMagazinesStopped(core) { magazine in
        for index in unsafe 0..<magazine.pointee.count {
          unsafe freePerPage[Int(PoolMagazine.blocks(magazine)[index].pointee.page)] += 1
        }
        unsafe cached += magazine.pointee.count
      }
      let geometry = unsafe core.pointee.geometry
      return unsafe DMAPoolStatistics(
        activeCount: books.pointee.blockCount - books.pointee.freeCount - cached,
        totalCount: books.pointee.blockCount, blockSize: geometry.blockByteCount,
        pageCount: books.pointee.pages.count,
        emptyPageCount: freePerPage.count { $0 == geometry.blocksPerPage },
        cachedCount: cached, corruptionCount: books.pointee.corruptionCount)
    }
  }
}

extension PoolCore {
  /// Appends the pool's line of the statistics file; nothing for a pool that is gone.
  static func appendInfo(_ core: UnsafeMutablePointer<PoolCore>, to text: inout [UInt8]) {
    let books = unsafe core.pointee.books
    // SAFETY: the caller holds the lock of the list that the core is in.
    unsafe books.pointee.lock.withLock {
      let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
      guard mode & (Mode.destroyed | Mode.orphaned) == 0 else { return }
      var free = unsafe books.pointee.freeCount
      unsafe withMagazinesStopped(core) { unsafe free += $0.pointee.count }
      let name = unsafe books.pointee.name
      text += name
      text += [UInt8](repeating: 0x20, count: max(0, 16 - name.count))
      let total = unsafe books.pointee.blockCount
      for (value, width) in unsafe [
        (total - free, 4), (total, 4), (core.pointee.geometry.blockByteCount, 4),
        (books.pointee.pages.count, 2),
      ] {
        let digits = String(value).utf8
        text.append(0x20)
        text += [UInt8](repeating: 0x20, count: max(0, width - digits.count))
        text += digits
      }
      text.append(0x0a)
    }
  }
}

extension DMADevice {
  /// The device's pools as Linux's `pools` file has them; nil when there are none (R59, R70).
  ///
  /// The first line is `poolinfo - 0.1`; then, newest pool first: name, blocks in use, blocks,
  /// block size, pages. Names are cut to 31 bytes, and the text to one page, as there.
  public var poolInfo: String? {
    var text = Array("poolinfo - 0.1\n".utf8)
    let header = text.count
    // SAFETY: the device's core lives as long as this object; cores stay while the lock is held.
    unsafe core.pointee.books.pointee.lock.withLock {
      var next = unsafe core.pointee.books.pointee.pools
      while let pool = unsafe next {
        unsafe PoolCore.appendInfo(pool, to: &text)
        unsafe next = pool.pointee.next
      }
    }
    return text.count > header ? String(decoding: text.prefix(4096), as: UTF8.self) : nil
  }
}
