internal import Glibc

/// Text for people that must not mix with results.
enum StandardError {
  static func write(_ text: String) {
    let bytes = Array(text.utf8)
    // SAFETY: the array holds as many bytes as are written. What does not get out is lost.
    unsafe bytes.withUnsafeBytes { buffer in
      _ = unsafe Glibc.write(2, buffer.baseAddress, buffer.count)
    }
  }
}
