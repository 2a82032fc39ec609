import DMAChecker
import DMAPrograms
import Glibc
import TestSupport
import Testing

/// Programs without a fault, drawn at random: the checker has nothing to say.
///
/// SWIFT_DMA_CHECK_OPS sets how many steps, shared out among mappings and masks. The long run is
/// `swift run -c release checker-runs legal`: 10,000,000 steps.
@Suite struct LegalProgramTests {
  static let stepCount: Int = {
    // SAFETY: getenv's result is read before anything else could change the environment.
    unsafe getenv("SWIFT_DMA_CHECK_OPS").flatMap { unsafe Int(String(cString: $0)) } ?? 100_000
  }()

  @Test(arguments: ProgramSetup.all)
  func `no finding in legal steps`(setup: ProgramSetup) throws {
    var random = SeededGenerator()
    let run = try LegalRun(
      setup, count: Self.stepCount / ProgramSetup.all.count, using: &random)
    #expect(run.isClean, "seed \(random.seed): \(run.findings.prefix(3)) \(run.refusals.prefix(3))")
    #expect(run.statistics.eventCount > UInt64(run.stepCount / 4))
    #expect(run.shortCount < run.stepCount / 100)
  }

  @Test(arguments: ProgramSetup.all.filter { $0.maskBits == 32 })
  func `no finding in legal steps with guard pages`(setup: ProgramSetup) throws {
    var random = SeededGenerator()
    let run = try LegalRun(setup, count: 1500, isGuarded: true, using: &random)
    #expect(run.isClean, "seed \(random.seed): \(run.findings.prefix(3)) \(run.refusals.prefix(3))")
  }
}
