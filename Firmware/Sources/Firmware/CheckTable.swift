/// Why a check failed, in words for the table.
struct CheckFailure: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// The checks of a run, printed as they end.
struct CheckTable {
  private(set) var count = 0
  private(set) var failureCount = 0

  /// Prints the table's head.
  init() {
    print("  # result  check                                       what was seen")
  }

  /// Runs a check; what it returns is printed beside its name.
  mutating func run(_ name: String, _ body: () throws(CheckFailure) -> String) {
    count += 1
    do throws(CheckFailure) {
      let seen = try body()
      print(Self.row(count, "ok    ", name, seen))
    } catch {
      failureCount += 1
      print(Self.row(count, "FAILED", name, error.reason))
    }
  }

  private static func row(_ number: Int, _ result: String, _ name: String, _ seen: String) -> String
  {
    let digits = String(number)
    return padding(3 - digits.utf8.count) + digits + " " + result + "  " + name
      + padding(44 - name.utf8.count) + seen
  }

  private static func padding(_ count: Int) -> String {
    String(repeating: " ", count: max(0, count))
  }
}

/// Fails a check unless `condition` holds.
func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(CheckFailure) {
  guard condition else { throw CheckFailure(reason()) }
}

/// `0x` and the number.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// Does what may fail with a library's error, as part of a check.
func attempt<R: ~Copyable, Failure: Error & CustomStringConvertible>(
  _ body: () throws(Failure) -> R
) throws(CheckFailure) -> R {
  do throws(Failure) { return try body() } catch { throw CheckFailure(error.description) }
}
