internal import DMASupport

/// Memory for tables that are read at random.
enum TableMemory {
  /// Room for elements, on cache lines of its own; large tables on large pages where the host has
  /// them, because a table of small ones costs a walk of page tables at every look-up.
  static func allocate<Element: BitwiseCopyable>(
    _ count: Int, of type: Element.Type
  ) -> UnsafeMutablePointer<Element> {
    let byteCount = count * MemoryLayout<Element>.stride
    let page = Int(dma_large_page_byte_count())
    let isLarge = page > 0 && byteCount >= page
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: byteCount, alignment: isLarge ? page : 64)
    if isLarge { unsafe dma_prefer_large_pages(raw, UInt(byteCount)) }
    return unsafe raw.bindMemory(to: type, capacity: count)
  }
}
