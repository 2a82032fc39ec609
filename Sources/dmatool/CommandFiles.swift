#if CLI
  import ArgumentParser
  import Glibc

  /// Files and streams of the command's verbs.
  enum CommandFiles {
    /// A whole file as text; `-` is standard input.
    static func read(_ path: String) throws -> String {
      let file = unsafe path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw unreadable(path) }
      defer { if path != "-" { close(file) } }
      var bytes: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let count = unsafe Glibc.read(file, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw unreadable(path) }
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
      }
    }

    private static func unreadable(_ path: String) -> ExitCode {
      complain(unsafe "dmatool: cannot read \(path): \(String(cString: strerror(errno)))")
      return ExitCode(2)
    }

    /// Writes to standard output, or to a file when one is named.
    static func write(_ text: String, to path: String? = nil) {
      var text = text
      let file: Int32
      if let path {
        file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else {
          complain(unsafe "dmatool: cannot write \(path): \(String(cString: strerror(errno)))")
          exit(2)
        }
      } else {
        file = 1
      }
      text.withUTF8 { bytes in
        var done = 0
        while done < bytes.count {
          let count = unsafe Glibc.write(
            file, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done)
          if count < 0, errno == EINTR { continue }
          if count <= 0 { exit(2) }
          done += count
        }
      }
      if path != nil { close(file) }
    }

    static func complain(_ text: String) {
      var line = text + "\n"
      line.withUTF8 { bytes in _ = unsafe Glibc.write(2, bytes.baseAddress, bytes.count) }
    }
  }
#endif
