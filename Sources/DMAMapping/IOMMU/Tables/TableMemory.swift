internal import DMA

/// Where page tables live: zeroed pages of the machine that the IOMMU walks.
///
/// A few freed pages are kept for the next table. Callers hold the table's lock.
@safe
struct TableMemory: ~Copyable {
  struct Page: BitwiseCopyable {
    var cpuAddress: UInt
    var physicalAddress: UInt64
  }

  let platform: UnsafeMutablePointer<PlatformCore>
  /// Pages of the machine that this holds, spare ones included.
  private(set) var pageCount = 0
  private var spares: UInt = 0
  private var spareCount = 0

  init(_ platform: UnsafeMutablePointer<PlatformCore>) { unsafe self.platform = platform }

  deinit {
    var next = spares
    while next != 0 {
      let words = unsafe Self.words(next)
      let page = unsafe Page(cpuAddress: next, physicalAddress: words[1])
      next = unsafe UInt(truncatingIfNeeded: words[0])
      release(page)
    }
  }

  /// A page's entries by its CPU address.
  @inline(__always)
  static func words(_ cpuAddress: UInt) -> UnsafeMutablePointer<UInt64> {
    guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: cpuAddress) else {
      preconditionFailure("a table has an address")
    }
    return unsafe words
  }

  /// A zeroed page, or nil when the machine has none.
  mutating func take() -> Page? {
    if spares != 0 {
      // SAFETY: a spare page holds the next one's address and its own physical address.
      let words = unsafe Self.words(spares)
      let page = unsafe Page(cpuAddress: spares, physicalAddress: words[1])
      spares = unsafe UInt(truncatingIfNeeded: words[0])
      unsafe words[0] = 0
      unsafe words[1] = 0
      spareCount -= 1
      return page
    }
    var numbers = DMAStatusNumbers()
    let byteCount = TableEntry.byteCountOfTable
    // SAFETY: the platform's own function with its own context; numbers has room for three words.
    // Uncached where caches are not coherent: the IOMMU reads memory.
    let status = unsafe numbers.withWords { pointer in
      unsafe platform.pointee.operations.allocatePages(
        platform.pointee.context, byteCount, byteCount, .max, PageOptions.uncached.rawValue,
        pointer)
    }
    guard status == .success else { return nil }
    pageCount += 1
    return Page(
      cpuAddress: UInt(truncatingIfNeeded: numbers.first), physicalAddress: numbers.second)
  }

  /// Takes a page back whose entries are zero and which no translation uses any more.
  mutating func give(_ page: Page) {
    guard spareCount < 16 else {
      pageCount -= 1
      return release(page)
    }
    // SAFETY: the page is this table's alone now.
    let words = unsafe Self.words(page.cpuAddress)
    unsafe words[0] = UInt64(spares)
    unsafe words[1] = page.physicalAddress
    spares = page.cpuAddress
    spareCount += 1
  }

  private func release(_ page: Page) {
    unsafe platform.pointee.operations.freePages(
      platform.pointee.context, page.cpuAddress, page.physicalAddress,
      TableEntry.byteCountOfTable, PageOptions.uncached.rawValue)
  }
}
