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

/// Bytes that are the result.
enum StandardOutput {
  static func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var done = 0
    while done < bytes.count {
      // SAFETY: at most as many bytes are written as the rest of the buffer has.
      let put = unsafe Glibc.write(
        1, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done)
      if put < 0 && errno == EINTR { continue }
      guard put > 0 else {
        throw .cannotWrite(path: "standard output", reason: FileBytes.lastError())
      }
      done += put
    }
  }
}
