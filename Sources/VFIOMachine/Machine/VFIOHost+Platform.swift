internal import CVFIO
internal import DMA
internal import Glibc

extension VFIOHost {
  /// What the platform's functions are told.
  ///
  /// Valid as long as this object.
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  /// The object behind a context.
  static func of(_ context: UnsafeMutableRawPointer) -> VFIOHost {
    // SAFETY: only `context` is ever passed, by a platform that owns the object.
    unsafe Unmanaged<VFIOHost>.fromOpaque(context).takeUnretainedValue()
  }

  /// The platform that owns this object.
  func makePlatform() -> Platform {
    unsafe Platform(
      operations: Self.platformTable, context: context, owner: self,
      lowestLimit: baseAddress + (pool.byteCount - 1),
      highestAddress: baseAddress + (pool.byteCount - 1), isCoherent: true)
  }

  private static var platformTable: PlatformOperations {
    unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        let host = unsafe VFIOHost.of(context)
        var found = DMAStatusNumbers()
        let status = host.allocate(
          byteCount, alignment, limit, PageOptions(rawValue: options), &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      freePages: { context, _, physicalAddress, byteCount, _ in
        unsafe VFIOHost.of(context).pages.free(
          physicalAddress: physicalAddress, byteCount: byteCount)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        var found = DMAStatusNumbers()
        let status = unsafe VFIOHost.of(context).resolve(cpuAddress, byteCount, &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      // Never called: the machine is coherent.
      maintainCache: { _, _, _, _ in },
      now: { context in WaitPace.now - (unsafe VFIOHost.of(context).startNanoseconds) },
      relax: { context in
        let host = unsafe VFIOHost.of(context)
        host.pace.pause(host.interrupts)
      },
      pin: { context, cpuAddress, byteCount, numbers in
        var found = DMAStatusNumbers()
        let status = unsafe VFIOHost.of(context).pin(cpuAddress, byteCount, &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      unpin: { context, _, physicalAddress, _ in
        unsafe VFIOHost.of(context).unpin(physicalAddress)
      })
  }

  private func allocate(
    _ byteCount: Int, _ alignment: Int, _ limit: UInt64, _ options: PageOptions,
    _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    // After a fork the memory is not there any more.
    guard vfio_host_fork_count() == (unsafe state.pointee.forkCount) else {
      numbers = DMAStatusNumbers(UInt64(ECHILD))
      return .machine
    }
    // A mapping for each call reaches memory wherever it lies; in an arena, it lies where the
    // device sees it.
    return pages.allocate(
      byteCount: byteCount, alignment: alignment,
      limit: configuration.mode == .perCall ? .max : limit, options: options, &numbers)
  }

  /// The "physical" address of memory that drivers were given.
  private func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    if let address = pages.physicalAddress(cpuAddress, byteCount) {
      guard pages.isAllocated(address, byteCount) else {
        numbers = DMAStatusNumbers(UInt64(MemoryKind.unknown.rawValue))
        return .notDMAable
      }
      numbers = DMAStatusNumbers(address)
      return .success
    }
    // Ordinary memory of the process is not used by its address: it has to be pinned.
    let kind = PinnedMemory.refusal(cpuAddress, byteCount, tree) ?? .user
    numbers = DMAStatusNumbers(UInt64(kind.rawValue))
    return .notDMAable
  }
}

/// Three words, for whoever called through a table.
func store(_ numbers: DMAStatusNumbers, _ place: UnsafeMutablePointer<UInt64>) {
  // SAFETY: callers give room for three words.
  unsafe place[0] = numbers.first
  unsafe place[1] = numbers.second
  unsafe place[2] = numbers.third
}
