internal import DMA

// For those who use a space of their own.

extension IOVASpace {
  /// Takes addresses for `pageCount` pages.
  ///
  /// - Returns: the first address, or nil when no run is free: a retry can help after a `free`.
  @inlinable
  @inline(__always)
  public func allocate(pageCount: Int) -> UInt64? {
    let page = takePages(UInt64(truncatingIfNeeded: pageCount), below: Self.endOfAll)
    return page == 0 ? nil : page &<< 12
  }

  /// Takes addresses for `pageCount` pages that end at or below `last`.
  ///
  /// - Returns: the first address, or nil when no run is free: a retry can help after a `free`.
  public func allocate(pageCount: Int, last: UInt64) -> UInt64? {
    guard pageCount > 0 else { return nil }
    let page = takePages(UInt64(pageCount), below: Self.end(last: last))
    return page == 0 ? nil : page << 12
  }

  /// One past the last page that ends at or below an address.
  @inline(__always)
  static func end(last: UInt64) -> UInt64 {
    last &>> 12 &+ (last & 4095 == 4095 ? 1 : 0)
  }

  /// Gives addresses back, with the count that was asked for.
  ///
  /// Giving back what is not taken, or another count, traps at the latest when the caches are
  /// emptied.
  @inlinable
  @inline(__always)
  public func free(_ address: UInt64, pageCount: Int) {
    precondition(pageCount > 0 && address & 4095 == 0, "what allocate returned")
    givePages(address &>> 12, UInt64(truncatingIfNeeded: pageCount))
  }

  /// Takes addresses out of use for good: windows of other devices, interrupts, firmware.
  ///
  /// Whole pages that hold any of the bytes; some may be taken or reserved already.
  public func reserve(_ addresses: ClosedRange<UInt64>) {
    let first = addresses.lowerBound >> 12
    unsafe state.pointee.lock.withLock {
      unsafe state.pointee.tree.reserve(first, addresses.upperBound >> 12 - first + 1)
    }
  }

  /// Takes these pages; false when some are taken, kept in caches or reserved.
  func takeExactly(_ first: UInt64, _ count: UInt64) -> Bool {
    unsafe state.pointee.lock.withLock { unsafe state.pointee.tree.takeExactly(first, count) }
  }

  /// Gives back what `takeExactly` took.
  func giveExactly(_ first: UInt64, _ count: UInt64) { giveToTree(first, count) }

  /// Pages that are out of the tree: given out, kept in caches, or reserved (page 0 always is).
  public var takenPageCount: Int {
    unsafe state.pointee.lock.withLock { Int(unsafe state.pointee.tree.takenCount) }
  }
}
