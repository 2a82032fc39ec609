import Glibc
import Testing

@testable import DMATrace

/// The real traces beside the repository, where they are.
enum SharedTraces {
  /// `../shared/traces`, seen from the package's root; nil when it is not there.
  static let root: String? = {
    if let given = unsafe getenv("SWIFT_DMA_TRACES") { return unsafe String(cString: given) }
    var parts = #filePath.split(separator: "/").dropLast(3)
    // A worktree of the repository may stand a folder deeper.
    for _ in 0..<3 {
      let candidate = "/" + parts.dropLast().joined(separator: "/") + "/shared/traces"
      if unsafe access(candidate + "/README.md", R_OK) == 0 { return candidate }
      parts = parts.dropLast()
      if parts.isEmpty { break }
    }
    return nil
  }()

  static let isPresent: Bool = {
    if root == nil { print("../shared/traces is absent: tests of real traces are skipped") }
    return root != nil
  }()

  static func files(in folder: String, ending suffix: String) -> [String] {
    guard let root, let directory = unsafe opendir(root + folder) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name.hasSuffix(suffix) { names.append(root + folder + "/" + name) }
    }
    return names.sorted()
  }

  static func text(_ path: String) throws -> String {
    let file = unsafe fopen(path, "r")
    guard let file = unsafe file else { throw TraceInputError.cannotRead(path: path, errno: errno) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = unsafe fread(&buffer, 1, buffer.count, file), count > 0 {
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes of an xz file.
  static func unpacked(_ path: String) throws -> [UInt8] {
    let file = unsafe open(path, O_RDONLY)
    guard file >= 0 else { throw TraceInputError.cannotRead(path: path, errno: errno) }
    defer { close(file) }
    let unpacker = try Unpacker(.xz, input: file)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = unsafe read(unpacker.output, &buffer, buffer.count), count > 0 {
      bytes += buffer[..<count]
    }
    guard unpacker.finish() == 0 else {
      throw TraceInputError.cannotUnpack(path: path, tool: "xz", status: 1)
    }
    return bytes
  }
}
