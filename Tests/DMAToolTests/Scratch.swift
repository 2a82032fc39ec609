import Glibc
import TestSupport
import Testing

/// A folder for one test, gone with the object.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/dmatool-nvme-XXXXXX".utf8CString)
    let made = unsafe mkdtemp(&template) != nil
    try #require(made)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = runProgram(["rm", "-rf", path]) }

  /// A file of random bytes, or of zeroes that take no room.
  func file(_ name: String, byteCount: Int, isRandom: Bool = false) throws -> String {
    let file = "\(path)/\(name)"
    let command =
      isRandom
      ? "head -c \(byteCount) /dev/urandom > \(file)" : "truncate -s \(byteCount) \(file)"
    try #require(runProgram(["sh", "-c", command])?.status == 0)
    return file
  }
}
