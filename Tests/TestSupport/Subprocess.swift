import Glibc

/// What a program that was run came to.
public struct SubprocessResult: Sendable {
  /// The exit code, or 128 + the signal that ended it.
  public let status: Int32
  /// What it wrote, standard output and error in one.
  public let output: String
}

/// Runs a program found in PATH and waits for it.
///
/// - Returns: nil when it could not be started.
public func runProgram(_ arguments: [String]) -> SubprocessResult? {
  var ends: [Int32] = [0, 0]
  // Closed on exec: a program's own children must not keep the pipe open, nor must those that other
  // threads start meanwhile.
  guard unsafe pipe(&ends) == 0 else { return nil }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  var actions = unsafe posix_spawn_file_actions_t()
  unsafe posix_spawn_file_actions_init(&actions)
  defer { unsafe posix_spawn_file_actions_destroy(&actions) }
  unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
  // SAFETY: the duplicated strings live until after the spawn and are freed below.
  var argv = unsafe arguments.map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe argv.indices { unsafe free(argv[index]) } }
  var process: pid_t = 0
  let failure = unsafe posix_spawnp(&process, arguments[0], &actions, nil, &argv, environ)
  close(ends[1])
  defer { close(ends[0]) }
  guard failure == 0 else { return nil }
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while true {
    let got = unsafe read(ends[0], &chunk, chunk.count)
    if got < 0 && errno == EINTR { continue }
    guard got > 0 else { break }
    output.append(contentsOf: chunk[..<got])
  }
  var status: Int32 = 0
  while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
  let signal = status & 0x7f
  return SubprocessResult(
    status: signal == 0 ? (status >> 8) & 0xff : 128 + signal,
    output: String(decoding: output, as: UTF8.self))
}
