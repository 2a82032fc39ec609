internal import DMA
internal import DMASupport
internal import Glibc
internal import PCI

extension NoIOMMUHost {
  private var context: UnsafeMutableRawPointer {
    unsafe Unmanaged.passUnretained(self).toOpaque()
  }

  private static func of(_ context: UnsafeMutableRawPointer) -> NoIOMMUHost {
    // SAFETY: only `context` is ever passed, by a platform that owns the object.
    unsafe Unmanaged<NoIOMMUHost>.fromOpaque(context).takeUnretainedValue()
  }

  /// The platform that owns this object.
  func makePlatform() -> Platform {
    let last = pages.regions.last.map { $0.physicalAddress + UInt64($0.pageCount) << 12 - 1 } ?? 0
    let first =
      pages.regions.first.map {
        $0.physicalAddress + UInt64($0.pageCount) << 12 - 1
      } ?? 0
    return unsafe Platform(
      operations: Self.platformTable, context: context, owner: self, lowestLimit: first,
      highestAddress: last, isCoherent: true)
  }

  private static var platformTable: PlatformOperations {
    unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        var found = DMAStatusNumbers()
        let status = unsafe NoIOMMUHost.of(context).pages.allocate(
          byteCount: byteCount, alignment: alignment, limit: limit,
          options: PageOptions(rawValue: options), &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      freePages: { context, _, physicalAddress, byteCount, _ in
        unsafe NoIOMMUHost.of(context).pages.free(
          physicalAddress: physicalAddress, byteCount: byteCount)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        let pages = unsafe NoIOMMUHost.of(context).pages
        if let address = pages.physicalAddress(cpuAddress, byteCount),
          pages.isAllocated(address, byteCount)
        {
          unsafe store(DMAStatusNumbers(address), numbers)
          return DMAStatus.success.rawValue
        }
        unsafe store(DMAStatusNumbers(UInt64(MemoryKind.user.rawValue)), numbers)
        return DMAStatus.notDMAable.rawValue
      },
      maintainCache: { _, _, _, _ in },
      now: { context in WaitPace.now - (unsafe NoIOMMUHost.of(context).startNanoseconds) },
      relax: { context in unsafe NoIOMMUHost.of(context).wait() })
  }

  /// The machine's PCI; it owns this object.
  func makePCI(_ platform: Platform) -> PCIHost {
    unsafe PCIHost(platform: platform, operations: Self.pciTable, context: context, owner: self)
  }

  private static var pciTable: PCIOperations {
    unsafe PCIOperations(
      readConfiguration: { context, address, offset, byteCount in
        let host = unsafe NoIOMMUHost.of(context)
        return host.address.packed == address ? host.readConfiguration(offset, byteCount) : .max
      },
      writeConfiguration: { context, address, offset, byteCount, value in
        let host = unsafe NoIOMMUHost.of(context)
        if host.address.packed == address { host.writeConfiguration(offset, byteCount, value) }
      },
      mapBAR: { context, _, index, _, byteCount, numbers in
        let (address, code) = unsafe NoIOMMUHost.of(context).mapBAR(index, byteCount)
        unsafe store(DMAStatusNumbers(address != 0 ? UInt64(address) : UInt64(code)), numbers)
        return (address != 0 ? DMAStatus.success : .machine).rawValue
      },
      // Messages would go to addresses that only the kernel gives out.
      allocateMessage: { _, _, _, numbers in
        unsafe store(DMAStatusNumbers(UInt64(ENOTSUP)), numbers)
        return DMAStatus.machine.rawValue
      },
      freeMessage: { context, _ in unsafe NoIOMMUHost.of(context).detachWire() },
      takeInterrupt: { context, _ in unsafe NoIOMMUHost.of(context).takeInterrupt() ? 1 : 0 },
      registers: unsafe RegisterOperations(
        read: { _, _, _, _ in .max }, write: { _, _, _, _, _ in }),
      attachInterrupt: { context, address, kind, _, numbers in
        let host = unsafe NoIOMMUHost.of(context)
        // Only the wire, and only this device's.
        let code =
          kind != 0 ? ENOTSUP : host.address.packed != address ? ENODEV : host.attachWire()
        unsafe store(DMAStatusNumbers(UInt64(code)), numbers)
        return (code == 0 ? DMAStatus.success : .machine).rawValue
      })
  }
}
