import DMA
import DMAMapping
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

@testable import DMAChecker

/// A checker that several threads use, one alone and several at once.
@Suite struct ThreadTests {
  /// A count that only its lock protects.
  @safe
  private final class Guarded: @unchecked Sendable {
    let lock = BiasedLock()
    // SAFETY: read and written under the lock only.
    var count = 0
    var favourites = 0

    func add(rarely: Bool) {
      let way = rarely ? lock.lockRarely() : lock.lock()
      count += 1
      if way == .favourite { favourites += 1 }
      lock.unlock(way)
    }
  }

  @Test(arguments: [1, 2, 4])
  func `a lock with a favourite keeps every other thread out`(threadCount: Int) {
    let guarded = Guarded()
    let turns = Scale.count(usual: 20_000, full: 2_000_000)
    // Alone, then all at once, then alone again: the favourite comes, goes and comes back.
    for round in 0..<3 {
      let count = round == 1 ? threadCount : 1
      runThreads(count) { _ in
        for turn in 0..<turns { guarded.add(rarely: turn % 5000 == 4999) }
      }
    }
    #expect(guarded.count == turns * (threadCount + 2))
    #expect(guarded.favourites > turns, "alone, a thread is the favourite")
  }

  private final class Counts: Sendable {
    let found = Atomic<Int>(0)
    let failed = Atomic<Int>(0)
  }

  @Test func `threads that map and unmap at once lose no event and accuse nobody`() throws {
    let machine = try SimulatedMachine()
    let device = DMADevice(
      name: "shared", platform: machine.platform,
      mapping: DirectMapping.make(for: machine.platform))
    let counts = Counts()
    let checker = DMAChecker { _ in counts.found.add(1, ordering: .relaxed) }
    checker.attach(to: device)
    let pairs = 5000
    @Sendable func work() {
      guard var buffer = try? StreamingBuffer(byteCount: 2000, for: device) else {
        counts.failed.add(1, ordering: .relaxed)
        return
      }
      for _ in 0..<pairs {
        switch buffer.map(FromDevice.self, for: device) {
        case .mapped(let mapping): buffer = mapping.unmap()
        case .failed(let back, _):
          counts.failed.add(1, ordering: .relaxed)
          buffer = back
        }
      }
    }
    work()
    runThreads(3) { index in
      // One looks while the others work.
      if index == 2 { for _ in 0..<100 { _ = checker.statistics } } else { work() }
    }
    work()
    // A device that goes says so, and that would be one event more.
    let statistics = withExtendedLifetime(device) { checker.statistics }
    #expect(counts.failed.load(ordering: .relaxed) == 0)
    #expect(counts.found.load(ordering: .relaxed) == 0)
    #expect(statistics.eventCount == UInt64(1 + 2 * 4 * pairs), "and that the device is there")
    #expect(statistics.liveCount == 0 && !statistics.isIncomplete)
  }
}
