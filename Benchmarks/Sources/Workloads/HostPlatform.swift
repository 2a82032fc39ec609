import CTiming
import DMA
import DMAMapping

#if canImport(Glibc)
  import Glibc
#endif

/// A platform whose memory is this process's, page by page from the C library: what the peers'
/// pools get, so that caches and address translation treat both alike.
///
/// No device can reach it; it is for what happens between a driver and the library.
final class HostPlatform {
  let platform: Platform

  private final class Nothing {}

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
