internal import DMA
internal import MachineMemory

extension VFIOUserHost {
  /// What the platform's functions are told.
  ///
  /// Valid as long as this object.
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  /// The object behind a context.
  static func of(_ context: UnsafeMutableRawPointer) -> VFIOUserHost {
    // SAFETY: only `context` is ever passed, by a platform that owns the object.
    unsafe Unmanaged<VFIOUserHost>.fromOpaque(context).takeUnretainedValue()
  }

  /// The platform that owns this object.
  func makePlatform() -> Platform {
    unsafe Platform(
      operations: Self.platformTable, context: context, owner: self,
      lowestLimit: memory.map.lowestLimit, highestAddress: memory.map.highestAddress,
      isCoherent: true)
  }

  private static var platformTable: PlatformOperations {
    unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        var found = DMAStatusNumbers()
        let status = unsafe VFIOUserHost.of(context).pages.allocate(
          byteCount: byteCount, alignment: alignment, limit: limit,
          options: PageOptions(rawValue: options), &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      freePages: { context, _, physicalAddress, byteCount, _ in
        unsafe VFIOUserHost.of(context).pages.free(
          physicalAddress: physicalAddress, byteCount: byteCount)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        var found = DMAStatusNumbers()
        let status = unsafe VFIOUserHost.of(context).resolve(cpuAddress, byteCount, &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      // Never called: the machine is coherent.
      maintainCache: { _, _, _, _ in },
      now: { context in
        MonotonicClock.nanoseconds - (unsafe VFIOUserHost.of(context).startNanoseconds)
      },
      relax: { context in unsafe VFIOUserHost.of(context).relax() })
  }

  /// Serves the server's accesses to memory, or pauses until there is one.
  private func relax() {
    let pause = waiting.next()
    if client.serve(within: pause) { return }
    // Nothing comes over a closed connection, and nothing pauses there.
    if client.failure != nil { pauseThread(max(pause, 1000)) }
  }

  /// The physical address of memory that drivers were given.
  private func resolve(
    _ cpuAddress: UInt, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard byteCount > 0 else { return .emptyRequest }
    guard let physicalAddress = memory.physicalAddress(cpuAddress) else {
      // Memory of this process, which no server sees.
      numbers = DMAStatusNumbers(UInt64(MemoryKind.user.rawValue))
      return .notDMAable
    }
    guard pages.isAllocated(physicalAddress, byteCount) else {
      numbers = DMAStatusNumbers(UInt64(MemoryKind.unknown.rawValue))
      return .notDMAable
    }
    numbers = DMAStatusNumbers(physicalAddress)
    return .success
  }
}

/// Three words, for whoever called through a table.
func store(_ numbers: DMAStatusNumbers, _ place: UnsafeMutablePointer<UInt64>) {
  // SAFETY: callers give room for three words.
  unsafe place[0] = numbers.first
  unsafe place[1] = numbers.second
  unsafe place[2] = numbers.third
}
