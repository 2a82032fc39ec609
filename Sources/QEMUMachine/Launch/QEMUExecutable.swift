internal import Glibc

/// Finding QEMU.
enum QEMUExecutable {
  /// What Debian and Ubuntu call the package.
  static let package = "qemu-system-x86"

  /// The path of an executable file.
  ///
  /// - Parameter searchPath: folders with colons between them; nil is the environment's PATH.
  /// - Throws: `QEMUError.notInstalled`.
  static func find(_ executable: String, searchPath: String?) throws(QEMUError) -> String {
    if executable.utf8.contains(UInt8(ascii: "/")) {
      guard isExecutable(executable) else {
        throw .notInstalled(executable: executable, package: package)
      }
      return executable
    }
    // SAFETY: copied before anything else can change the environment.
    let path = searchPath ?? (unsafe getenv("PATH").map { unsafe String(cString: $0) }) ?? ""
    for folder in path.split(separator: ":") {
      let candidate = "\(folder)/\(executable)"
      if isExecutable(candidate) { return candidate }
    }
    throw .notInstalled(executable: executable, package: package)
  }

  private static func isExecutable(_ path: String) -> Bool {
    var information = stat()
    // SAFETY: the string and the structure live until the calls return. A folder may have the execute bit too.
    guard unsafe stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      return false
    }
    return unsafe access(path, X_OK) == 0
  }
}
