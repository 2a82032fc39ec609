import DMA
public import DMAChecker
import Synchronization

/// A long run of legal steps under a checker, which is to say nothing.
public struct LegalRun: Sendable {
  public var setup: ProgramSetup
  public var stepCount = 0
  /// Steps that made nothing because the machine was short of something.
  public var shortCount = 0
  public var findings: [String] = []
  /// Calls that were refused though they were right.
  public var refusals: [String] = []
  public var statistics = DMAChecker.Statistics()
  public var liveCount = 0

  /// Whether there was nothing to say.
  public var isClean: Bool {
    findings.isEmpty && refusals.isEmpty && statistics.violationCount == 0
      && !statistics.isIncomplete && statistics.liveCount == 0 && liveCount == 0
  }

  /// Runs about `count` steps.
  ///
  /// - Parameter isGuarded: whether guard pages close what devices own.
  public init(
    _ setup: ProgramSetup, count: Int, isGuarded: Bool = false,
    using random: inout some RandomNumberGenerator
  ) throws {
    self.setup = setup
    let found = Mutex<[String]>([])
    var options = DMAChecker.Options()
    options.hashesContent = true
    let checker = DMAChecker(options) { finding in found.withLock { $0.append(finding.text()) } }
    let world = try World(
      setup, isTruthWanted: false, seed: UInt64.random(in: 0 ... .max, using: &random),
      guardian: isGuarded ? checker : nil)
    world.watch(with: checker)
    var generator = LegalGenerator(hasLines: false)
    while true {
      let op: Op
      if stepCount < count {
        op = generator.next(using: &random)
      } else if let end = generator.nextEnd() {
        op = end
      } else {
        break
      }
      stepCount += 1
      switch world.perform(op) {
      case .done: break
      case .short:
        shortCount += 1
        generator.forget(op.item)
      case .refused(let error): refusals.append("\(op): \(error)")
      }
    }
    liveCount = world.liveCount
    world.finish()
    statistics = checker.statistics
    findings = found.withLock { $0 }
  }
}

extension World {
  /// Ends the pools, as a driver does that leaves.
  func destroyPools() {
    for pools in pools { for pool in pools { try? pool.destroy() } }
  }
}
