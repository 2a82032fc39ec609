internal import CVFIO
internal import Glibc

/// A container: the address space that groups of devices share, and its descriptor.
@safe
final class VFIOContainer: Sendable {
  let descriptor: Int32

  /// - Throws: `VFIOError.noVFIO`, `.noPermission`, `.system`.
  init(path: String = "/dev/vfio/vfio") throws(VFIOError) {
    let opened = unsafe vfio_host_container_open(path)
    switch -opened {
    case _ where opened >= 0: descriptor = opened
    case ENOENT, ENODEV, ENXIO: throw .noVFIO(path: path)
    case EACCES, EPERM: throw .noPermission(path: path)
    default: throw .system(call: "open \(path)", code: Int(-opened))
    }
    guard vfio_host_container_has_type1v2(descriptor) == 1 else {
      close(descriptor)
      // The module is a soft dependency of vfio: it may not be loaded.
      throw .noVFIO(path: "/sys/module/vfio_iommu_type1")
    }
  }

  deinit { close(descriptor) }

  /// Ends what it stands for; the descriptor stays, so that a late call meets nothing.
  func retire() { vfio_host_retire(descriptor) }

  /// Chooses the kind of IOMMU, after the first group has joined.
  ///
  /// - Throws: `VFIOError.unsafeInterrupts`, `.system`.
  func setIOMMU() throws(VFIOError) {
    let status = vfio_host_container_set_type1v2(descriptor)
    if status == -EPERM { throw .unsafeInterrupts }
    guard status >= 0 else { throw .system(call: "VFIO_SET_IOMMU", code: Int(-status)) }
  }

  /// What the IOMMU offers this container now.
  struct Information {
    var pageSizes: UInt64
    /// nil when the kernel does not say.
    var entriesAvailable: Int?
    var ranges: [ClosedRange<UInt64>]
  }

  func information() throws(VFIOError) -> Information {
    var info = vfio_host_iommu()
    let status = unsafe vfio_host_iommu_info(descriptor, &info)
    guard status >= 0 else { throw .system(call: "VFIO_IOMMU_GET_INFO", code: Int(-status)) }
    var ranges: [ClosedRange<UInt64>] = []
    // SAFETY: both arrays have VFIO_HOST_RANGE_MAX elements, and the count is at most that.
    unsafe withUnsafeBytes(of: &info.first) { firsts in
      unsafe withUnsafeBytes(of: &info.last) { lasts in
        for index in 0..<Int(info.range_count) {
          let first = unsafe firsts.load(fromByteOffset: index * 8, as: UInt64.self)
          let last = unsafe lasts.load(fromByteOffset: index * 8, as: UInt64.self)
          if first <= last { ranges.append(first...last) }
        }
      }
    }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    // Kernels before 5.4 do not report ranges: 39 bits is what every unit translates, and the
    // window of message interrupts is kept by all.
    if ranges.isEmpty { ranges = [0...0xfedf_ffff, 0xfef0_0000...1 << 39 - 1] }
    return Information(
      pageSizes: info.page_sizes,
      entriesAvailable: info.entries_available == .max ? nil : Int(info.entries_available),
      ranges: ranges)
  }
}
