import DMA
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// The same driver over every mapping (R5).
@Suite struct SameResultTests {
  @Test(arguments: Setup.allCases)
  func `R5 the same driver gives the same results over every mapping`(setup: Setup) throws {
    let expected = try transcript(.direct)
    let seen = try transcript(setup)
    #expect(seen == expected)
    #expect(expected.count > 40)
  }

  /// What a driver that knows nothing of its mapping does, and everything that it sees.
  private func transcript(_ setup: Setup) throws -> [String] {
    let bench = try setup.make()
    var lines: [String] = []
    var random = SeededGenerator(seed: 5)
    lines.append("\(bench.dma.mask) \(bench.dma.supports(.bits32))")
    let ring = try CoherentBuffer<UInt32>(count: 300, for: bench.dma)
    lines.append("ring \(ring.byteCount) \(ring.address.rawValue % 4096)")
    for round in 0..<20 {
      let byteCount = Int.random(in: 1...9000, using: &random)
      let start = Int.random(in: 0..<5000, using: &random)
      let buffer = try StreamingBuffer(byteCount: start + byteCount, for: bench.dma)
      let mapping = try buffer.map(
        FromDevice.self, bytes: start..<start + byteCount, for: bench.dma
      ).get()
      let offset = mapping.address.rawValue % 4096
      let count = mapping.byteCount
      lines.append("mapped \(offset) \(count)")
      let bytes = pattern(byteCount, seed: UInt8(round))
      lines.append("written \(bench.probe.write(mapping.address.rawValue, bytes))")
      ring[round] = UInt32(byteCount)
      let told = bench.probe.read(ring.address(of: round).rawValue, byteCount: 4)
      lines.append("told \(String(describing: told))")
      let back = mapping.unmap()
      var sum = 0
      for index in 0..<byteCount {
        sum =
          sum &* 31
          &+ Int(
            unsafe back.bytes.unsafeLoad(
              fromByteOffset: start + index, as: UInt8.self))
      }
      lines.append("sum \(sum)")
    }
    // Misuse is the same everywhere, too.
    let empty = try StreamingBuffer(byteCount: 10, for: bench.dma)
    if case .failed(_, let error) = empty.map(ToDevice.self, bytes: 3..<3, for: bench.dma) {
      lines.append("\(error)")
    }
    bench.device.remove()
    let late = try StreamingBuffer(byteCount: 10, for: bench.dma)
    if case .failed(_, let error) = late.map(ToDevice.self, for: bench.dma) {
      lines.append("\(error)")
    }
    return lines
  }
}
