internal import Glibc

/// An open file that is read or written piece by piece, by offset.
final class OpenFile {
  let path: String
  /// Its size when it was opened, or as much of it as is wanted.
  let byteCount: Int
  private let descriptor: Int32

  /// Opens a file that has at least one byte; those behind `limit` are left out.
  init(reading path: String, limit: Int = .max) throws(FileError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: FileBytes.lastError()) }
    var information = stat()
    // SAFETY: fstat fills the struct it is given.
    let status = unsafe fstat(descriptor, &information)
    self.path = path
    self.descriptor = descriptor
    byteCount = min(Int(information.st_size), limit)
    guard status == 0 else { throw .cannotRead(path: path, reason: FileBytes.lastError()) }
    guard information.st_mode & S_IFMT != S_IFDIR else { throw .isDirectory(path: path) }
    guard byteCount > 0 else { throw .isEmpty(path: path) }
  }

  /// Makes a file, or empties the one there is.
  init(writing path: String) throws(FileError) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: FileBytes.lastError()) }
    self.path = path
    self.descriptor = descriptor
    byteCount = 0
  }

  deinit { close(descriptor) }

  /// Its first bytes; all of it when `count` is nil.
  func bytes(_ count: Int? = nil) throws(FileError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count ?? byteCount)
    var elements = bytes.mutableSpan
    var raw = unsafe elements.mutableBytes
    // SAFETY: the pointer does not outlive the call.
    try unsafe raw.withUnsafeMutableBytes { (target) throws(FileError) in
      try unsafe read(into: target, at: 0)
    }
    return bytes
  }

  /// Fills `bytes` from `offset` on.
  func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < bytes.count {
      // SAFETY: at most as many bytes are read as the rest of the buffer has.
      let got = unsafe pread(
        descriptor, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done, offset + done)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .cannotRead(path: path, reason: FileBytes.lastError()) }
      guard got > 0 else { throw .cannotRead(path: path, reason: "it became shorter meanwhile") }
      done += got
    }
  }

  /// Writes `bytes` from `offset` on.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < bytes.count {
      // SAFETY: at most as many bytes are written as the rest of the buffer has.
      let put = unsafe pwrite(
        descriptor, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done, offset + done)
      if put < 0 && errno == EINTR { continue }
      guard put > 0 else { throw .cannotWrite(path: path, reason: FileBytes.lastError()) }
      done += put
    }
  }
}
