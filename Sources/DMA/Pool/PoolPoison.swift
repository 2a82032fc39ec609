internal import Synchronization

/// The patterns of poisoned pools: Linux's.
enum Poison {
  /// Bytes of blocks that are free, or were never used.
  static var free: UInt8 { 0xa7 }
  /// Bytes of blocks that were allocated and not written yet.
  static var allocated: UInt8 { 0xa9 }
}

extension PoolCore {
  /// Fills a block that is being freed.
  static func poison(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>
  ) {
    // SAFETY: the caller has the block, which holds that many bytes.
    unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress)?.initializeMemory(
      as: UInt8.self, repeating: Poison.free, count: core.pointee.geometry.blockByteCount)
  }

  /// Checks a block that is being allocated for writes while it was free, and fills it.
  ///
  /// - Returns: what was found, after observers heard of it; nil for clean blocks and for pools
  ///   that are not poisoned.
  static func unpoison(
    _ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>,
    _ name: String, _ site: CallSite
  ) -> DMAPoolCorruption? {
    // SAFETY: the caller has the block and the pool.
    guard unsafe core.pointee.mode.load(ordering: .relaxed) & Mode.poisoned != 0,
      let start = unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress)
    else { return nil }
    let byteCount = unsafe core.pointee.geometry.blockByteCount
    let bytes = unsafe UnsafeMutableRawBufferPointer(start: start, count: byteCount)
    defer { unsafe bytes.initializeMemory(as: UInt8.self, repeating: Poison.allocated) }
    guard let first = unsafe bytes.firstIndex(where: { $0 != Poison.free }),
      let last = unsafe bytes.lastIndex(where: { $0 != Poison.free })
    else { return nil }
    let address = unsafe DMAAddress(rawValue: record.pointee.address)
    let books = unsafe core.pointee.books
    unsafe books.pointee.lock.withLock { unsafe books.pointee.corruptionCount += 1 }
    let device = unsafe core.pointee.device
    if unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 {
      var event = unsafe event(.poolCorrupted, core, record, site)
      event.dmaAddress += UInt64(first)
      event.cpuAddress += UInt64(first)
      event.byteCount = UInt64(last - first + 1)
      unsafe DMADeviceCore.deliver(device, event)
    }
    return unsafe DMAPoolCorruption(
      poolName: name, pool: core.pointee.id, address: address, changed: first..<last + 1,
      bytes: Array(bytes))
  }
}
