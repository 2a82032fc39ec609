internal import Glibc

/// Files in which Linux tells about the host, below folders that tests replace.
public struct SysfsTree: Sendable {
  /// In front of `/sys`, `/proc` and `/dev`; empty on a real host.
  public let root: String

  /// The host's own files, or a copy of some of them below `root`.
  public init(root: String = "") { self.root = root }

  /// A file's text without the newline at its end; nil when it cannot be read.
  public func text(_ path: String) -> String? {
    let file = unsafe open(root + path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let got = unsafe read(file, &chunk, chunk.count)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { return nil }
      if got == 0 { break }
      bytes += chunk[..<got]
    }
    while let last = bytes.last, last == 10 || last == 32 { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A file's text as a number, decimal or with 0x.
  public func number(_ path: String) -> UInt64? {
    guard let text = text(path) else { return nil }
    return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  /// What a link's last part names; nil when it is no link.
  public func link(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    // SAFETY: at most as many bytes are written as the array has.
    let count = unsafe buffer.withUnsafeMutableBytes { bytes -> Int in
      guard let start = bytes.baseAddress else { return 0 }
      return unsafe readlink(
        root + path, start.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    guard count > 0 else { return nil }
    let target = String(decoding: buffer[..<count], as: UTF8.self)
    return target.split(separator: "/").last.map(String.init)
  }

  /// The names in a folder, sorted; empty when there is none.
  public func names(_ path: String) -> [String] {
    guard let folder = unsafe opendir(root + path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    // SAFETY: readdir's entry is copied before the next call.
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { start in
        unsafe start.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Whether there is such a file.
  public func exists(_ path: String) -> Bool { unsafe access(root + path, F_OK) == 0 }

  /// Whether this user may read and write it.
  public func isUsable(_ path: String) -> Bool {
    unsafe access(root + path, R_OK | W_OK) == 0
  }
}
