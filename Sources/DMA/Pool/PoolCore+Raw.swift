internal import Synchronization

/// Blocks by their two addresses, as the C interface has them.
extension PoolCore {
  /// The block whose addresses these are, checked in every build (R69, T19).
  ///
  /// Its mark is gone afterwards: a second call for it is an error.
  static func claimRaw(
    _ core: UnsafeMutablePointer<PoolCore>, cpuAddress: UInt, address: DMAAddress
  ) throws(DMAError) -> UnsafeMutablePointer<PoolRecord> {
    let books = unsafe core.pointee.books
    let geometry = unsafe core.pointee.geometry
    // Pages are aligned to what was really allocated for them (R51).
    let allocated = DMADeviceCore.allocationSize(for: geometry.pageByteCount) ?? 4096
    let start = address.rawValue & ~UInt64(allocated - 1)
    return try unsafe books.pointee.lock.withLock {
      () throws(DMAError) -> UnsafeMutablePointer<PoolRecord> in
      // SAFETY: pages and their records stay while the pool does, which the caller has.
      guard let number = unsafe books.pointee.pageNumbers[start],
        let index = geometry.index(at: Int(address.rawValue - start))
      else { throw .notInPool(address) }
      let record = unsafe books.pointee.pages[Int(number)].records + index
      guard unsafe record.pointee.cpuAddress == cpuAddress else { throw .wrongCPUAddress }
      guard unsafe record.pointee.isRaw.load(ordering: .relaxed) != 0 else {
        throw .blockNotAllocated(address)
      }
      unsafe record.pointee.isRaw.store(0, ordering: .relaxed)
      return unsafe record
    }
  }
}
