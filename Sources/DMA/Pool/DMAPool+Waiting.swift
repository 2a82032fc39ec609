internal import Synchronization

extension DMAPool {
  /// A block, waiting for another to be freed when there is no memory for more (R67).
  ///
  /// - Parameter deadline: when to give up, on the clock of `Platform.nanoseconds`.
  /// - Throws: `DMAError.wouldBlock` in an interrupt or with a spin lock held, before anything is
  ///   tried; `.timedOut`, with which a retry can help; `.deviceRemoved`, with which it cannot.
  public func allocate(
    deadlineNanoseconds deadline: UInt64, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) -> DMAPoolBlock {
    let record = try unsafe takeWaiting(until: deadline, CallSite(file, line))
    let block = unsafe DMAPoolBlock(core, record)
    if unsafe core.pointee.isZeroing { block.zero() }
    return block
  }

  func takeWaiting(
    until deadline: UInt64, _ site: CallSite
  ) throws(DMAError) -> UnsafeMutablePointer<PoolRecord> {
    guard !ExecutionContext.current.isAtomic else { throw .wouldBlock }
    // SAFETY: the core lives as long as this object.
    if let record = unsafe PoolCore.takeCached(core) { return unsafe record }
    if let record = try unsafe takeUnlessExhausted(site) { return unsafe record }
    unsafe PoolCore.beginWaiting(core)
    defer { unsafe PoolCore.endWaiting(core) }
    while true {
      let platform = device.platform
      let now = platform.nanoseconds
      guard now < deadline else { throw .timedOut }
      // A freed block ends the wait; from time to time memory elsewhere is tried as well.
      let slice = min(deadline - now, 1_000_000)
      do throws(DMAError) {
        try platform.wait(nanoseconds: slice) { unsafe PoolCore.hasFreeBlock(core) }
      } catch {
        guard error == .timedOut else { throw error }
      }
      if let record = try unsafe takeUnlessExhausted(site) { return unsafe record }
    }
  }

  /// A block, or nil when one may come later.
  private func takeUnlessExhausted(
    _ site: CallSite
  ) throws(DMAError) -> UnsafeMutablePointer<PoolRecord>? {
    do throws(DMAError) {
      return try unsafe take(site)
    } catch {
      guard error.isTransient else { throw error }
      return nil
    }
  }
}

extension PoolCore {
  /// Has every freed block go to the stack, where those who wait see it.
  static func beginWaiting(_ core: UnsafeMutablePointer<PoolCore>) {
    let books = unsafe core.pointee.books
    // SAFETY: the pool, which the caller has, keeps core and books.
    unsafe books.pointee.lock.withLock {
      unsafe books.pointee.waiterCount += 1
      let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
      unsafe core.pointee.mode.store(mode | Mode.awaited, ordering: .releasing)
      // Also stops those that have not seen the new mode yet.
      unsafe collect(core)
    }
  }

  static func endWaiting(_ core: UnsafeMutablePointer<PoolCore>) {
    let books = unsafe core.pointee.books
    // SAFETY: as above.
    unsafe books.pointee.lock.withLock {
      unsafe books.pointee.waiterCount -= 1
      guard unsafe books.pointee.waiterCount == 0 else { return }
      let mode = unsafe core.pointee.mode.load(ordering: .relaxed)
      unsafe core.pointee.mode.store(mode & ~Mode.awaited, ordering: .releasing)
    }
  }

  static func hasFreeBlock(_ core: UnsafeMutablePointer<PoolCore>) -> Bool {
    let books = unsafe core.pointee.books
    // SAFETY: as above.
    return unsafe books.pointee.lock.withLock { unsafe books.pointee.freeCount > 0 }
  }
}
