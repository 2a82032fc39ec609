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

  /// Hands out a stretch of a mapped file in windows of whole lines, and takes each out of memory
  /// when it was read: a process that reads gigabytes stays as small as one that reads a window.
  ///
  /// - Parameters:
  ///   - start: where the stretch begins; it must lie in a mapped file, since what was read is
  ///     dropped.
  ///   - end: where it ends.
  ///   - body: gets each window.
  static func walk(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>,
    _ body: (UnsafePointer<UInt8>, UnsafePointer<UInt8>) -> Void
  ) {
    var at = unsafe start
    while unsafe at < end {
      var stop = unsafe end - at > windowSize ? at + windowSize : end
      unsafe advise(at, stop, 22)  // MADV_POPULATE_READ; older kernels refuse, and there are faults
      while unsafe stop < end, unsafe stop[-1] != 0x0a { unsafe stop += 1 }
      unsafe body(at, stop)
      unsafe advise(at, stop, MADV_DONTNEED)
      unsafe at = unsafe stop
    }
  }

  private static let windowSize = 64 << 20

  /// From the page a stretch begins in to the last it has whole.
  private static func advise(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ advice: Int32
  ) {
    let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
    let from = UInt(bitPattern: start) & ~(page - 1)
    let to = UInt(bitPattern: end) & ~(page - 1)
    guard to > from, let at = unsafe UnsafeMutableRawPointer(bitPattern: from) else { return }
    _ = unsafe madvise(at, Int(to - from), advice)
  }

  deinit {
    unsafe munmap(UnsafeMutableRawPointer(mutating: base), mappedCount)
  }
}
