internal import CVFIO
internal import Glibc

/// Memory for devices, in one piece of address space; a fork does not hand it on.
@safe
final class PagePool: Sendable {
  let cpuAddress: UInt
  let byteCount: UInt64
  /// Pages of 2 MiB; otherwise of 4 KiB.
  let isHuge: Bool

  static let hugeByteCount: UInt64 = 2 << 20

  /// - Parameters:
  ///   - alignment: a power of two; the address is a multiple of it.
  ///   - pages: which pages to use.
  /// - Throws: `VFIOError.noHugePages`, `.system`.
  init(
    byteCount: UInt64, alignment: UInt64, pages: VFIOMachine.PageSize, _ tree: SysfsTree
  ) throws(VFIOError) {
    var code: Int32 = 0
    if pages != .small {
      let address = unsafe vfio_host_memory_create(byteCount, alignment, 1, &code)
      if address != 0 {
        cpuAddress = address
        self.byteCount = byteCount
        isHuge = true
        return
      }
      if pages == .huge {
        throw .noHugePages(
          have: Self.freeHugePages(tree), need: Int(byteCount / Self.hugeByteCount))
      }
    }
    let address = unsafe vfio_host_memory_create(byteCount, alignment, 0, &code)
    guard address != 0 else { throw .system(call: "mmap", code: Int(code)) }
    cpuAddress = address
    self.byteCount = byteCount
    isHuge = false
  }

  deinit { vfio_host_memory_end(cpuAddress, byteCount) }

  static func freeHugePages(_ tree: SysfsTree) -> Int {
    Int(tree.number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") ?? 0)
  }
}
