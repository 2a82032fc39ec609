public import PCI

/// How a QEMU process ended.
public enum QEMUExit: Equatable, Sendable {
  /// It ended by itself with this status.
  case code(Int)
  /// A signal ended it.
  case signal(Int)
  /// It ended, and somebody else in this process took the news: a `wait` for any child, or
  /// ignored SIGCHLD.
  case unknown

  /// What `waitpid` reported.
  init(waitStatus: Int32) {
    guard waitStatus >= 0 else {
      self = .unknown
      return
    }
    let signal = Int(waitStatus & 0x7f)
    self = signal == 0 ? .code(Int(waitStatus >> 8 & 0xff)) : .signal(signal)
  }
}

extension QEMUExit: CustomStringConvertible {
  /// How it ended.
  public var description: String {
    switch self {
    case .code(let code): "exit status \(code)"
    case .signal(let signal): "signal \(signal)"
    case .unknown: "unknown exit status"
    }
  }
}

/// Why QEMU could not be started, or is not there any more.
///
/// After any of these the machine is gone; a new one may be started.
public enum QEMUError: Error, Equatable, Sendable {
  /// No such program on the search path; `package` is what Debian and Ubuntu call its package.
  case notInstalled(executable: String, package: String)
  /// QEMU would not start; the message is its own.
  case startFailed(message: String, exit: QEMUExit?)
  /// What was asked for cannot be a machine; a retry cannot help.
  case invalidConfiguration(String)
  /// A call of the host's operating system failed, with its errno; a retry can help.
  case host(call: String, code: Int)
  /// The functions' registers do not fit, or a function is missing.
  case pci(PCIError)
  /// QEMU answered what it never should.
  case protocolViolation(command: String, reply: String)
  /// QEMU lives but did not answer in time; it was killed, so that it writes no more memory.
  case noReply(command: String, milliseconds: Int)
  /// QEMU ended by itself or was killed; the message is the last it wrote.
  case died(exit: QEMUExit?, message: String)
  /// `stop()` was called.
  case stopped
}

extension QEMUError: CustomStringConvertible {
  /// What went wrong, and what would help.
  public var description: String {
    switch self {
    case .notInstalled(let executable, let package):
      "\(executable) is not installed: it comes with the package \(package)"
    case .startFailed(let message, let exit):
      "QEMU did not start" + (exit.map { " (\($0))" } ?? "") + ": \(message)"
    case .invalidConfiguration(let reason): "no such machine: \(reason)"
    case .host(let call, let code): "\(call) failed (errno \(code))"
    case .pci(let error): "\(error)"
    case .protocolViolation(let command, let reply): "QEMU answered \"\(reply)\" to \"\(command)\""
    case .noReply(let command, let milliseconds):
      "QEMU did not answer \"\(command)\" within \(milliseconds) ms"
    case .died(let exit, let message):
      "QEMU died" + (exit.map { " (\($0))" } ?? "") + (message.isEmpty ? "" : ": \(message)")
    case .stopped: "the machine was stopped"
    }
  }
}
