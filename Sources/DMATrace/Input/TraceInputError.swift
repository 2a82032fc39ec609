import Glibc

/// Why a trace cannot be read.
public enum TraceInputError: Error, Equatable {
  /// The file cannot be opened or read: its path and the system's error number.
  ///
  /// Trying again helps only when what the number says has changed.
  case cannotRead(path: String, errno: Int32)
  /// The tool that unpacks the file is not in PATH, and this package has it.
  case toolMissing(tool: String, package: String)
  /// The tool that unpacks the file gave up: the file is damaged or cut short.
  case cannotUnpack(path: String, tool: String, status: Int32)
  /// The binary trace is damaged: where, and what was expected there.
  case damaged(path: String, offset: UInt64, reason: String)
  /// The file is a trace, in a form that does not hold enough to be read.
  case notDecodable(path: String, reason: String)
  /// No line of the file is an event: it is not a trace.
  case notATrace(path: String, lines: UInt64)
}

extension TraceInputError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .cannotRead(let path, let number):
      "cannot read \(path): \(Self.text(of: number))"
    case .toolMissing(let tool, let package):
      "the file is packed, and `\(tool)` is not in PATH: install the package `\(package)`, "
        + "or unpack the file first"
    case .cannotUnpack(let path, let tool, let status):
      "\(tool) could not unpack \(path) (exit \(status)): the file is damaged or cut short"
    case .damaged(let path, let offset, let reason):
      "\(path) is damaged at byte \(offset): \(reason)"
    case .notDecodable(let path, let reason):
      "\(path) cannot be decoded: \(reason)"
    case .notATrace(let path, let lines):
      "\(path) is not a trace: none of its \(lines) lines is an event"
    }
  }

  private static func text(of number: Int32) -> String {
    // SAFETY: strerror returns a C string that lives until the next call of this thread.
    unsafe String(cString: strerror(number))
  }
}
