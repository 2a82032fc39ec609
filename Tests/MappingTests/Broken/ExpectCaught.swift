import DMA
import Testing

/// Expects that the test's expectations catch what is wrong with a setup: nothing else it may
/// stumble over.
///
/// - Parameter isExpected: errors of the library with which the test may fail as well: what the
///   broken part itself throws.
func expectCaught(
  _ broken: Setup, orThrowing isExpected: @escaping @Sendable (DMAError) -> Bool = { _ in false },
  sourceLocation: SourceLocation = #_sourceLocation, by test: (Setup) throws -> Void
) throws {
  try withKnownIssue("with the defect", sourceLocation: sourceLocation) {
    try test(broken)
  } matching: { issue in
    switch issue.kind {
    case .expectationFailed, .unconditional: true
    case .errorCaught(let error):
      if let error = error as? DMAError { isExpected(error) } else { false }
    default: false
    }
  }
}

/// The same for a setup with a broken mapping.
func expectCaught(
  _ setup: Setup, _ defect: Defect,
  orThrowing isExpected: @escaping @Sendable (DMAError) -> Bool = { _ in false },
  sourceLocation: SourceLocation = #_sourceLocation, by test: (Setup) throws -> Void
) throws {
  var broken = setup
  broken.defect = defect
  try expectCaught(
    broken, orThrowing: isExpected, sourceLocation: sourceLocation, by: test)
}

/// The same for a flawed pool.
func expectCaught(
  _ flaw: PoolFlaw, orThrowing isExpected: @escaping @Sendable (DMAError) -> Bool = { _ in false },
  sourceLocation: SourceLocation = #_sourceLocation, by test: (Setup) throws -> Void
) throws {
  var broken = Setup.direct
  broken.pool = .plain(flaw)
  try expectCaught(
    broken, orThrowing: isExpected, sourceLocation: sourceLocation, by: test)
}
