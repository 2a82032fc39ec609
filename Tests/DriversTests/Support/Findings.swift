import DMAChecker
import Synchronization

/// What a checker found.
final class Findings: Sendable {
  private let state = Mutex<[Finding]>([])

  var all: [Finding] { state.withLock { $0 } }
  func add(_ finding: Finding) { state.withLock { $0.append(finding) } }
  func removeAll() { state.withLock { $0 = [] } }
}
