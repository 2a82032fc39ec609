import Glibc

/// How a file is packed, by its first bytes.
enum Packing {
  case none, gzip, xz, zstd

  init(_ magic: [UInt8]) {
    if magic.starts(with: [0x1f, 0x8b]) {
      self = .gzip
    } else if magic.starts(with: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) {
      self = .xz
    } else if magic.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
      self = .zstd
    } else {
      self = .none
    }
  }

  var tool: String {
    switch self {
    case .gzip: "gzip"
    case .xz: "xz"
    case .zstd: "zstd"
    case .none: ""
    }
  }

  var package: String {
    switch self {
    case .gzip: "gzip"
    case .xz: "xz-utils"
    case .zstd: "zstd"
    case .none: ""
    }
  }
}

/// A child process that unpacks what it is given on its standard input.
///
/// No shell is involved, so no file name can be mistaken for anything else.
struct Unpacker {
  let process: pid_t
  /// Where the unpacked bytes come out.
  let output: Int32
  let packing: Packing

  /// Starts the tool of a packing on an open file, which it reads from where it stands.
  init(_ packing: Packing, input: Int32) throws(TraceInputError) {
    let ends = try makePipe()
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends.write, 1)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    var process: pid_t = 0
    let status = unsafe packing.tool.withCString { tool in
      unsafe "-dc".withCString { option in
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [
          UnsafeMutablePointer(mutating: tool), UnsafeMutablePointer(mutating: option), nil,
        ]
        return unsafe posix_spawnp(&process, tool, &actions, nil, &arguments, environ)
      }
    }
    close(ends.write)
    guard status == 0 else {
      close(ends.read)
      throw .toolMissing(tool: packing.tool, package: packing.package)
    }
    self.process = process
    self.output = ends.read
    self.packing = packing
  }

  /// Waits for the tool: its exit status, or 128 and the signal that ended it.
  func finish() -> Int32 {
    close(output)
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
  }
}

/// Bytes already taken from a pipe, put back in front of the rest by a thread of its own.
final class Refill: @unchecked Sendable {
  private let head: [UInt8]
  private let source: Int32
  private let target: Int32

  private init(head: [UInt8], source: Int32, target: Int32) {
    self.head = head
    self.source = source
    self.target = target
  }

  /// A pipe that yields `head` and then everything `source` yields.
  static func pipe(head: [UInt8], source: Int32) throws(TraceInputError) -> Int32 {
    let ends = try makePipe()
    let refill = Refill(head: head, source: source, target: ends.write)
    var thread = pthread_t()
    // SAFETY: the thread takes over the reference it is given and releases it when done.
    let started = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Refill>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(refill).toOpaque())
    guard started == 0 else { throw .cannotRead(path: "thread", errno: started) }
    pthread_detach(thread)
    return ends.read
  }

  private func run() {
    defer { close(target) }
    guard put(head, head.count) else { return }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe read(source, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0, put(buffer, count) else { return }
    }
  }

  private func put(_ bytes: [UInt8], _ count: Int) -> Bool {
    var done = 0
    while done < count {
      let written = unsafe bytes.withUnsafeBytes { bytes in
        unsafe write(target, bytes.baseAddress.map { unsafe $0 + done }, count - done)
      }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return false }
      done += written
    }
    return true
  }
}

/// A pipe whose ends no child inherits.
private func makePipe() throws(TraceInputError) -> (read: Int32, write: Int32) {
  var ends: [Int32] = [0, 0]
  guard unsafe pipe(&ends) == 0 else { throw .cannotRead(path: "pipe", errno: errno) }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  return (ends[0], ends[1])
}
