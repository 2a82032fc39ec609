internal import CVFIO
internal import DMA
internal import DMAMapping
internal import Glibc
internal import Synchronization

/// Memory from elsewhere in the process that drivers may use until it is unpinned.
@safe
final class PinnedMemory: Sendable {
  /// A pinned range, in whole pages.
  struct Range {
    var cpuAddress: UInt
    var byteCount: UInt64
    /// What drivers see as its physical address, of the first page.
    var address: UInt64
  }

  private let ranges = Mutex<[Range]>([])

  /// What `range` would be refused for; nil when it may be used.
  static func refusal(_ cpuAddress: UInt, _ byteCount: Int, _ tree: SysfsTree) -> MemoryKind? {
    var stack: UInt = 0
    var stackByteCount: UInt64 = 0
    // Stacks of threads look like any other memory in the list of areas.
    if unsafe vfio_host_stack_bounds(&stack, &stackByteCount) == 0,
      cpuAddress < stack + UInt(stackByteCount), cpuAddress + UInt(byteCount) > stack
    {
      return .stack
    }
    let kind = ProcessMap.current(tree).kind(UInt64(cpuAddress), UInt64(byteCount))
    return kind == .pages ? nil : kind
  }

  /// Marks the pages, so that a fork leaves them here and a replacement is noticed.
  ///
  /// The kernel's answer when it refuses, else 0.
  func add(_ range: Range) -> Int32 {
    let status = vfio_host_memory_keep(range.cpuAddress, range.byteCount, 1)
    guard status >= 0 else { return status }
    ranges.withLock { $0.append(range) }
    return 0
  }

  func remove(_ address: UInt64) -> Range? {
    ranges.withLock { ranges in
      guard let index = ranges.firstIndex(where: { $0.address == address & ~4095 }) else {
        return nil
      }
      let range = ranges.remove(at: index)
      // Others of the same pages keep the mark.
      let isShared = ranges.contains {
        $0.cpuAddress < range.cpuAddress + UInt(range.byteCount)
          && range.cpuAddress < $0.cpuAddress + UInt($0.byteCount)
      }
      if !isShared { vfio_host_memory_keep(range.cpuAddress, range.byteCount, 0) }
      return range
    }
  }

  var all: [Range] { ranges.withLock { $0 } }
}
