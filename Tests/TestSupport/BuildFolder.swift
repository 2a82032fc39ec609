import Glibc

/// Where this build's products and modules are.
public enum BuildFolder {
  /// The folder of the running test program: .build/debug or whatever was asked for.
  public static let path: String = {
    // SAFETY: realpath allocates the result, which is copied and freed.
    guard let resolved = unsafe realpath("/proc/self/exe", nil) else { return "" }
    defer { unsafe free(resolved) }
    let program = unsafe String(cString: resolved)
    return program.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/")
  }()
}
