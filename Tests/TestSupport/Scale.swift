#if canImport(Glibc)
  import Glibc
#endif

/// How long tests that repeat one thing may take.
public enum Scale {
  /// Whether SWIFT_DMA_FULL asks for as many repetitions as the requirement names.
  public static let isFull = unsafe getenv("SWIFT_DMA_FULL") != nil

  /// `full` repetitions when they are asked for, else `usual`, which says so.
  public static func count(
    usual: Int, full: Int, _ test: StaticString = #function
  ) -> Int {
    let count = isFull ? full : usual
    if !isFull { print("\(test): \(count) of \(full) repetitions; all with SWIFT_DMA_FULL=1") }
    return count
  }
}
