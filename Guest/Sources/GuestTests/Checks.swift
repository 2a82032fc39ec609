import Glibc

/// Counts checks and says how each came out; the program's exit status follows from it.
final class Checks {
  private var count = 0
  private var failures = 0

  func expect(_ words: String, _ isTrue: Bool, _ detail: @autoclosure () -> String = "") {
    count += 1
    if isTrue {
      say("ok: \(words)")
    } else {
      failures += 1
      say("FAIL: \(words) \(detail())")
    }
  }

  /// Expects an error, and that it says what there is, what is needed and what helps.
  func expectLimit(_ words: String, _ limit: String?, _ isRight: Bool) {
    expect("\(words): \(limit ?? "no error")", isRight)
  }

  func finish() -> Never {
    say("count: \(count) checks, \(failures) failed")
    exit(failures == 0 && count > 0 ? 0 : 1)
  }
}

/// A line on standard output, at once: the guest may end at any time.
func say(_ line: String) {
  print(line)
  // SAFETY: nil flushes all streams.
  fflush(nil)
}

/// Ends the program: what it needs is not there.
func abandon(_ words: String) -> Never {
  say("FAIL: \(words)")
  exit(1)
}

/// A line of text in a file that is made or emptied.
func write(_ text: String, to path: String) {
  let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  guard file >= 0 else { abandon("cannot write \(path)") }
  var text = text
  text.withUTF8 { bytes in
    if unsafe Glibc.write(file, bytes.baseAddress, bytes.count) != bytes.count {
      abandon("cannot write \(path)")
    }
  }
  close(file)
}

/// Nanoseconds on the clock of the kernel's log.
func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  // SAFETY: clock_gettime fills the struct it is given.
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
