import Glibc

/// A whole file in memory, with readable zeros behind it.
@safe
struct MappedFile: ~Copyable {
  // SAFETY: a mapping of `mappedCount` bytes that this value owns.
  let base: UnsafePointer<UInt8>
  let count: Int
  private let mappedCount: Int

  /// Maps an open regular file; nil when the system cannot (then it is read instead).
  init?(_ file: Int32, count: Int) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let mapped = (count + page - 1) / page * page + page
    // Anonymous memory first, so that the page behind the file is ours and zero.
    guard
      let space = unsafe mmap(
        nil, mapped, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      unsafe space != MAP_FAILED
    else { return nil }
    if count > 0 {
      let over = unsafe mmap(
        space, count, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, file, 0)
      guard unsafe over != MAP_FAILED else {
        unsafe munmap(space, mapped)
        return nil
      }
      unsafe madvise(space, count, MADV_SEQUENTIAL)
    }
    unsafe base = UnsafePointer(space.assumingMemoryBound(to: UInt8.self))
    self.count = count
    self.mappedCount = mapped
  }

  deinit {
    unsafe munmap(UnsafeMutableRawPointer(mutating: base), mappedCount)
  }
}
