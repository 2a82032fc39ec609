/// How a pool cuts memory into blocks.
///
/// Pure arithmetic, with the results of Linux 6.4 and later, except that there is no minimum
/// block: nothing is stored inside of one.
package struct PoolGeometry: Equatable, Sendable {
  /// What the caller asked for.
  package let requestedByteCount: Int
  /// From one block to the next: the request rounded up to the alignment.
  package let blockByteCount: Int
  /// What is allocated at a time.
  package let pageByteCount: Int
  /// Blocks never cross a multiple of this inside of a page; a page never crosses one itself.
  package let windowByteCount: Int
  /// How many blocks lie in each window.
  package let blocksPerWindow: Int
  /// How many blocks a page has.
  package let blocksPerPage: Int

  /// - Parameters:
  ///   - alignment: a power of two, or 0, which is as 1.
  ///   - boundary: a power of two not smaller than a block, or 0 for none.
  /// - Throws: `DMAError.emptyRequest`, `.tooLarge`, `.invalidAlignment`, `.invalidBoundary`.
  package init(byteCount: Int, alignment: Int, boundary: Int) throws(DMAError) {
    guard byteCount > 0 else { throw .emptyRequest }
    // More than this is no block of a pool, in Linux as here.
    let limit = Int(Int32.max)
    guard byteCount <= limit else { throw .tooLarge(byteCount: byteCount, limit: limit) }
    let alignment = alignment == 0 ? 1 : alignment
    guard alignment > 0, alignment & (alignment - 1) == 0, alignment <= 1 << 30 else {
      throw .invalidAlignment(alignment, limit: 1 << 30)
    }
    let block = (byteCount + alignment - 1) & ~(alignment - 1)
    let page = max(block, 4096)
    if boundary != 0 {
      guard boundary >= block, boundary & (boundary - 1) == 0 else {
        throw .invalidBoundary(boundary, blockByteCount: block)
      }
    }
    // A window longer than the page is the page: pages are aligned to their own size (R51).
    let window = boundary == 0 ? page : min(boundary, page)
    requestedByteCount = byteCount
    blockByteCount = block
    pageByteCount = page
    windowByteCount = window
    blocksPerWindow = window / block
    blocksPerPage = page / window * blocksPerWindow
  }

  /// Where block `index` of a page begins.
  package func offset(of index: Int) -> Int {
    index / blocksPerWindow * windowByteCount + index % blocksPerWindow * blockByteCount
  }

  /// Which block of a page begins at `offset`; nil when none does.
  package func index(at offset: Int) -> Int? {
    let (window, rest) = offset.quotientAndRemainder(dividingBy: windowByteCount)
    let (index, inside) = rest.quotientAndRemainder(dividingBy: blockByteCount)
    guard inside == 0, index < blocksPerWindow else { return nil }
    let block = window * blocksPerWindow + index
    return block < blocksPerPage ? block : nil
  }
}
