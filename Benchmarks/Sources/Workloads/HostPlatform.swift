import CTiming
import DMA
import DMAMapping

#if canImport(Glibc)
  import Glibc
#endif

/// Address space that is handed out from front to back and takes no memory until it is touched.
final class UntouchedMemory {
  private var next: UInt

  init(byteCount: Int) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    next = UInt(bitPattern: mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0))
  }

  func take(_ byteCount: Int) -> UInt {
    defer { next += UInt((byteCount + 4095) & ~4095) }
    return next
  }
}

/// A platform whose memory is this process's, page by page from the C library: what the peers'
/// pools get, so that caches and address translation treat both alike.
///
/// No device can reach it; it is for what happens between a driver and the library.
final class HostPlatform {
  let platform: Platform

  private final class Nothing {}

  /// A platform of memory for many live mappings, which are never looked into.
  init(untouched memory: UntouchedMemory) {
    platform = Platform(
      operations: PlatformOperations(
        allocatePages: { context, byteCount, _, _, _, numbers in
          let memory = Unmanaged<UntouchedMemory>.fromOpaque(context).takeUnretainedValue()
          numbers[0] = UInt64(memory.take(byteCount))
          numbers[1] = numbers[0]
          return DMAStatus.success.rawValue
        },
        freePages: { _, _, _, _, _ in },
        resolve: { _, cpuAddress, _, numbers in
          numbers[0] = UInt64(cpuAddress)
          return DMAStatus.success.rawValue
        },
        maintainCache: { _, _, _, _ in },
        now: { _ in UInt64(timing_wall()) },
        relax: { _ in }),
      context: Unmanaged.passUnretained(memory).toOpaque(), owner: memory,
      lowestLimit: .max, highestAddress: .max, isCoherent: true)
  }

  init() {
    let owner = Nothing()
    platform = Platform(
      operations: PlatformOperations(
        allocatePages: { _, byteCount, alignment, _, _, numbers in
          guard let memory = aligned_alloc(max(alignment, 4096), byteCount) else {
            return DMAStatus.outOfMemory.rawValue
          }
          memset(memory, 0, byteCount)
          numbers[0] = UInt64(UInt(bitPattern: memory))
          numbers[1] = numbers[0]
          return DMAStatus.success.rawValue
        },
        freePages: { _, cpuAddress, _, _, _ in
          free(UnsafeMutableRawPointer(bitPattern: cpuAddress))
        },
        resolve: { _, cpuAddress, _, numbers in
          numbers[0] = UInt64(cpuAddress)
          return DMAStatus.success.rawValue
        },
        maintainCache: { _, _, _, _ in },
        now: { _ in UInt64(timing_wall()) },
        relax: { _ in },
        isTimeReal: true),
      context: Unmanaged.passUnretained(owner).toOpaque(), owner: owner,
      lowestLimit: .max, highestAddress: .max, isCoherent: true)
  }

  /// A device that sees all of it.
  func device() throws(DMAError) -> DMADevice {
    let device = DMADevice(
      name: "measured", platform: platform, mapping: DirectMapping.make(for: platform))
    try device.setMask(.bits64)
    return device
  }
}
