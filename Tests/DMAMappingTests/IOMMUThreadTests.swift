import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

struct IOMMUThreadTests {
  @Test(arguments: [false, true])
  func `Threads map and unmap at once, and every entry is the mapper's own`(
    isDeferred: Bool
  ) throws {
    let bench = try IOMMUBench(isDeferred ? .deferred() : .strict, lastAddress: 0xff_ffff)
    let shared = SharedIOMMUBench(bench: bench)
    let before = bench.domain.takenPageCount
    runThreads(4) { thread in
      var random = SeededGenerator(seed: UInt64(thread) + 3)
      let bench = shared.bench
      var held = InFlightTable<StreamingMapping<FromDevice>>(capacity: 32)
      var physical = [UInt64](repeating: 0, count: 32)
      for _ in 0..<1500 {
        if Bool.random(using: &random), !held.isFull {
          let byteCount = Int.random(in: 1...80_000, using: &random)
          do throws(DMAError) {
            let buffer = try StreamingBuffer(byteCount: byteCount, in: bench.platform)
            let mapping = try buffer.map(FromDevice.self, for: bench.device).get()
            let entry = bench.walk(mapping.address.rawValue) & 0x000f_ffff_ffff_f000
            let last = bench.walk(mapping.address.rawValue + UInt64(byteCount - 1))
            if last & 0x000f_ffff_ffff_f000 != entry + UInt64((byteCount - 1) / 4096 * 4096) {
              Issue.record("the last page is not behind the first")
            }
            let id = held.start(mapping)
            physical[Int(id)] = entry
          } catch {
            // 4095 pages for four threads: they may run out, and must only say so.
            if error != .outOfAddressSpace(byteCount: byteCount, limit: 0xffff_ffff) {
              Issue.record("\(error)")
            }
          }
        } else {
          let id = UInt16.random(in: 0..<32, using: &random)
          guard let mapping = held.complete(id) else { continue }
          if bench.walk(mapping.address.rawValue) & 0x000f_ffff_ffff_f000 != physical[Int(id)] {
            Issue.record("somebody else's entry")
          }
          _ = mapping.unmap()
        }
      }
      unmapAll(&held)
    }
    #expect(bench.domain.validEntryCount == 0)
    bench.domain.flush()
    #expect(bench.domain.waitingRangeCount == 0)
    // What is left is in threads' caches: a device with narrow reach gets all of it.
    #expect(bench.domain.takenPageCount >= before)
    let all = try bench.buffer(2048 * 4096).map(FromDevice.self, for: bench.device).get()
    _ = all.unmap()
    #expect(bench.faults().isEmpty)
  }
}

private struct SharedIOMMUBench: @unchecked Sendable {
  let bench: IOMMUBench
}
