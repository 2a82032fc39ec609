internal import CQEMUHost

/// A running QEMU: ends when it is told to, or with this process, however that ends.
@safe
final class QEMUProcess: Sendable {
  // Thread-safe by itself; see qemu_host.h.
  nonisolated(unsafe) private let child: OpaquePointer

  /// Starts a program.
  ///
  /// - Parameter descriptors: what it inherits as descriptors 3 and on.
  /// - Throws: `QEMUError.host`.
  init(path: String, arguments: [String], descriptors: [Int32]) throws(QEMUError) {
    var words: [UnsafeMutablePointer<CChar>?] = unsafe []
    for word in [path] + arguments { unsafe words.append(copy(word)) }
    unsafe words.append(nil)
    defer { for index in unsafe words.indices { unsafe words[index]?.deallocate() } }
    var started: OpaquePointer?
    // SAFETY: the strings and the descriptors live until the call returns; the child has its own
    // copies by then.
    let code = unsafe qemu_host_spawn(path, words, descriptors, descriptors.count, &started)
    guard code == 0, let child = unsafe started else {
      throw .host(call: "starting \(path)", code: Int(code))
    }
    unsafe self.child = child
  }

  deinit { unsafe qemu_host_release(child) }

  var identifier: Int32 { unsafe qemu_host_process_id(child) }

  /// How it ended, once it has.
  ///
  /// - Parameter milliseconds: how long to wait for that.
  func exit(waiting milliseconds: Int = 0) -> QEMUExit? {
    var status: Int32 = 0
    guard unsafe qemu_host_wait(child, Int32(clamping: milliseconds), &status) != 0 else {
      return nil
    }
    return QEMUExit(waitStatus: status)
  }

  /// Asks it to end, so that it writes out its disks; makes it, when it does not.
  ///
  /// Takes at most `milliseconds` and one second.
  ///
  /// - Returns: how it ended; nil when the host's kernel does not let go of it.
  @discardableResult
  func end(milliseconds: Int) -> QEMUExit? {
    if milliseconds > 0 {
      unsafe qemu_host_signal(child, Signal.terminate)
      if let exit = exit(waiting: milliseconds) { return exit }
    }
    unsafe qemu_host_signal(child, Signal.kill)
    return exit(waiting: 1000)
  }

  /// The last lines it printed.
  var diagnostics: String {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      unsafe qemu_host_diagnostics(child, buffer.baseAddress, buffer.count)
    }
    let text = String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return joinedLines(text)
  }
}

/// Signals by their numbers on every Linux.
private enum Signal {
  static var kill: Int32 { 9 }
  static var terminate: Int32 { 15 }
}

/// A C string of its own memory.
private func copy(_ text: String) -> UnsafeMutablePointer<CChar> {
  let bytes = Array(text.utf8)
  let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
  for index in bytes.indices {
    // SAFETY: there is room for the bytes and the ending zero.
    unsafe (copy + index).initialize(to: CChar(bitPattern: bytes[index]))
  }
  unsafe (copy + bytes.count).initialize(to: 0)
  return unsafe copy
}

/// The lines of a text without empty ones.
private func joinedLines(_ text: String) -> String {
  text.utf8.split(separator: UInt8(ascii: "\n"))
    .map { String(decoding: Array($0), as: UTF8.self) }
    .joined(separator: "\n")
}
