internal import Glibc

/// Why a file could not be used.
enum FileError: Error, CustomStringConvertible {
  case cannotOpen(path: String, reason: String)
  case cannotRead(path: String, reason: String)
  case cannotWrite(path: String, reason: String)
  case isDirectory(path: String)
  case isEmpty(path: String)

  var description: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
    case .cannotRead(let path, let reason): "cannot read \(path): \(reason)"
    case .cannotWrite(let path, let reason): "cannot write \(path): \(reason)"
    case .isDirectory(let path): "\(path) is a directory, not a file"
    case .isEmpty(let path): "\(path) is empty: there is nothing to transfer"
    }
  }
}

/// Whole files as bytes.
enum FileBytes {
  /// The file's first bytes, at most `limit`; at least one.
  static func read(_ path: String, limit: Int = .max) throws(FileError) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: lastError()) }
    defer { _ = close(descriptor) }
    var information = stat()
    // SAFETY: fstat fills the struct it is given.
    guard unsafe fstat(descriptor, &information) == 0 else {
      throw .cannotRead(path: path, reason: lastError())
    }
    guard information.st_mode & S_IFMT != S_IFDIR else { throw .isDirectory(path: path) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count < limit {
      let wanted = min(chunk.count, limit - bytes.count)
      // SAFETY: at most as many bytes are read as the array has.
      let got = unsafe chunk.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(descriptor, buffer.baseAddress, wanted)
      }
      if got < 0 {
        if errno == EINTR { continue }
        throw .cannotRead(path: path, reason: lastError())
      }
      if got == 0 { break }
      bytes.append(contentsOf: chunk[..<got])
    }
    guard !bytes.isEmpty else { throw .isEmpty(path: path) }
    return bytes
  }

  static func lastError() -> String {
    // SAFETY: strerror's text is copied before anything else can change it.
    unsafe String(cString: strerror(errno))
  }
}
