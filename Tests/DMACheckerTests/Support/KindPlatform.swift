import DMA

/// A platform around another one, that says of some memory that it is of another kind.
final class KindPlatform {
  private let inner: Platform
  /// Set before use.
  var kinds: [(start: UInt, byteCount: Int, kind: MemoryKind)] = []

  init(_ inner: Platform) { self.inner = inner }

  private static func from(_ context: UnsafeMutableRawPointer) -> KindPlatform {
    // SAFETY: contexts are made in `make`; the platform keeps its owner.
    unsafe Unmanaged<KindPlatform>.fromOpaque(context).takeUnretainedValue()
  }

  private var core: UnsafeMutablePointer<PlatformCore> { unsafe inner.unsafeCore }

  func make() -> Platform {
    let operations = unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        let core = unsafe KindPlatform.from(context).core
        return unsafe core.pointee.operations.allocatePages(
          core.pointee.context, byteCount, alignment, limit, options, numbers)
      },
      freePages: { context, cpuAddress, physicalAddress, byteCount, options in
        let core = unsafe KindPlatform.from(context).core
        unsafe core.pointee.operations.freePages(
          core.pointee.context, cpuAddress, physicalAddress, byteCount, options)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        let platform = unsafe KindPlatform.from(context)
        for area in platform.kinds
        where cpuAddress >= area.start && cpuAddress < area.start + UInt(area.byteCount) {
          unsafe numbers[0] = UInt64(area.kind.rawValue)
          return DMAStatus.notDMAable.rawValue
        }
        let core = unsafe platform.core
        return unsafe core.pointee.operations.resolve(
          core.pointee.context, cpuAddress, byteCount, numbers)
      },
      maintainCache: { _, _, _, _ in },
      now: { context in
        let core = unsafe KindPlatform.from(context).core
        return unsafe core.pointee.operations.now(core.pointee.context)
      },
      relax: { context in
        let core = unsafe KindPlatform.from(context).core
        unsafe core.pointee.operations.relax(core.pointee.context)
      })
    return unsafe Platform(
      operations: operations, context: Unmanaged.passUnretained(self).toOpaque(), owner: self,
      lowestLimit: core.pointee.lowestLimit, highestAddress: core.pointee.highestAddress,
      isCoherent: true)
  }
}
