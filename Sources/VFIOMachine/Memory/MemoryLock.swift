internal import CVFIO
internal import Glibc

/// The limit of memory that a process may lock, which VFIO counts device memory against.
enum MemoryLock {
  /// The soft limit in bytes; nil for none.
  static var limit: UInt64? {
    let limit = vfio_host_memory_lock_limit()
    return limit == .max ? nil : limit
  }

  /// What is locked already, from `VmLck` of /proc/self/status.
  static func lockedByteCount(_ tree: SysfsTree = SysfsTree()) -> UInt64 {
    for line in (tree.text("/proc/self/status") ?? "").split(separator: "\n")
    where line.hasPrefix("VmLck:") {
      let words = line.split { $0 == " " || $0 == "\t" }
      return words.count > 1 ? (UInt64(words[1]) ?? 0) * 1024 : 0
    }
    return 0
  }

  /// The error for a mapping that the kernel refused.
  static func error(code: Int32, call: String, need: UInt64) -> VFIOError {
    if code == ENOMEM, let limit {
      let total = lockedByteCount() + need
      if total > limit { return .memoryLock(have: limit, need: total) }
    }
    return .system(call: call, code: Int(code))
  }
}
