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
        space, count, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0)
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

  /// Puts a stretch of the file into the page table at once, which costs less than a fault for each
  /// few pages; `range` is of a file that has it all in memory already, or will soon.
  static func populate(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
    let from = UInt(bitPattern: start) & ~(page - 1)
    let to = UInt(bitPattern: end)
    guard to > from, let at = unsafe UnsafeMutableRawPointer(bitPattern: from) else { return }
    // An older kernel refuses: then there are faults.
    _ = unsafe madvise(at, Int(to - from), 22)  // MADV_POPULATE_READ
  }

  deinit {
    unsafe munmap(UnsafeMutableRawPointer(mutating: base), mappedCount)
  }
}
