internal import CQEMUHost

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
    let path =
      searchPath ?? (unsafe qemu_host_search_path().map { unsafe String(cString: $0) }) ?? ""
    for folder in path.utf8.split(separator: UInt8(ascii: ":")) {
      let candidate = "\(String(decoding: Array(folder), as: UTF8.self))/\(executable)"
      if isExecutable(candidate) { return candidate }
    }
    throw .notInstalled(executable: executable, package: package)
  }

  private static func isExecutable(_ path: String) -> Bool {
    // SAFETY: the string lives until the call returns.
    unsafe qemu_host_is_executable(path) != 0
  }
}
