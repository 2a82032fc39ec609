import DMA
import DMAMapping
import Drivers
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  /// Every mapping in front of a device model that nobody here wrote.
  @Suite(.needsQEMU)
  struct MappingsOnQEMUTests {
    @Test func `R1 direct refuses what lies beyond 28 bits, with mask and address`() throws {
      let bench = try MappedEduBench(.direct)
      var source = try bench.high(5000)
      var destination = try bench.high(5000)
      do throws(EduError) {
        try bench.edu.copy(&source, to: &destination)
        Issue.record("memory beyond the mask was mapped")
      } catch {
        guard case .dma(.outOfReach(let first, let last, let mask)) = error else {
          Issue.record("\(error)")
          return
        }
        // The last pages of 1 GiB.
        #expect(first.rawValue >= 1 << 30 - 4 * 4096 && first.rawValue < 1 << 30)
        #expect(last.rawValue == first.rawValue + 4094)
        #expect(mask == MappedEduBench.mask)
        #expect(error.description.contains("0x3fff"))
        #expect(error.description.contains("its mask is 0xfffffff (28 bits)"))
      }
      bench.machine.stop()
      // Nothing reached the device that it would have had to cut off.
      #expect(!bench.machine.diagnostics.contains("clamping"))
    }

    @Test func `R1 R2 bounce buffers carry what lies beyond 28 bits`() throws {
      var random = SeededGenerator()
      let bench = try MappedEduBench(.bounce)
      let pool = try #require(bench.bounce)
      var source = try bench.high(5001)
      let expected = randomBytes(5001, &random)
      fill(&source, expected)
      var destination = try bench.high(5001)
      #expect(try bench.edu.copy(&source, to: &destination) == 4)
      #expect(bytes(destination) == expected)
      #expect(bytes(source) == expected)
      let statistics = pool.statistics
      // Each piece goes in for the device to read; a destination goes in and comes out.
      #expect(statistics.bytesIn == 2 * 5001 && statistics.bytesOut == 5001)
      #expect(statistics.usedSlots == 0 && statistics.highWaterSlots > 0)
      // What the device reaches by itself is not copied.
      var low = try StreamingBuffer(byteCount: 64, for: bench.dma)
      var lowDestination = try StreamingBuffer(byteCount: 64, for: bench.dma)
      fill(&low, [UInt8](expected[..<64]))
      try bench.edu.copy(&low, to: &lowDestination)
      #expect(bytes(lowDestination) == [UInt8](expected[..<64]))
      #expect(pool.statistics == statistics)
      bench.machine.stop()
      #expect(!bench.machine.diagnostics.contains("clamping"))
    }

    @Test(arguments: EduMapping.allCases)
    func `R55 R58 the device reads and writes blocks of a pool`(_ kind: EduMapping) throws {
      var random = SeededGenerator()
      let bench = try MappedEduBench(kind)
      let pool = try DMAPool(
        name: "edu", blockSize: 192, alignment: 64, boundary: 4096, for: bench.dma)
      let source = try pool.allocateZeroed()
      let destination = try pool.allocateZeroed()
      let neighbour = try pool.allocateZeroed()
      let addresses = [source.address, destination.address, neighbour.address]
      for address in addresses {
        #expect(address.rawValue % 64 == 0 && address.rawValue + 191 <= bench.dma.mask.rawValue)
      }
      let expected = randomBytes(192, &random)
      for (index, byte) in expected.enumerated() { source[index, as: UInt8.self] = byte }
      try bench.edu.write(from: source.address, byteCount: 192, toOffset: 8)
      try bench.edu.read(to: destination.address, byteCount: 192, fromOffset: 8)
      #expect((0..<192).map { destination[$0, as: UInt8.self] } == expected)
      #expect((0..<192).allSatisfy { neighbour[$0, as: UInt8.self] == 0 })
      source.free()
      destination.free()
      neighbour.free()
      try pool.destroy()
    }

    @Test(arguments: EduMapping.allCases)
    func `R82 R89 R91 each segment of a list goes to the device and comes back`(
      _ kind: EduMapping
    ) throws {
      var random = SeededGenerator()
      let bench = try MappedEduBench(kind)
      let lengths = [100, 4000, 1500]
      var list = ScatterBuffer()
      for (index, length) in lengths.enumerated() {
        // Not at the beginning of a page, and each in memory of its own.
        let offset = 12 * (index + 1)
        let buffer = try StreamingBuffer(
          byteCount: length + 64, in: bench.machine.platform, placement: bench.placement(kind))
        list.append(buffer, bytes: offset..<offset + length)
      }
      let total = lengths.reduce(0, +)
      let expected = randomBytes(total, &random)
      // SAFETY: a byte has no padding.
      unsafe list.copyBytes(from: expected.span.bytes)
      let out = try list.map(ToDevice.self, for: bench.dma).get()
      var landing = try StreamingBuffer(byteCount: 4095, for: bench.dma)
      var sent: [UInt8] = []
      for index in 0..<out.segmentCount {
        for piece in pieces(of: out.segment(at: index)) {
          #expect(piece.address.rawValue + UInt64(piece.byteCount) - 1 <= bench.dma.mask.rawValue)
          try bench.edu.write(from: piece.address, byteCount: piece.byteCount)
          try receive(bench, &landing)
          sent += bytes(landing)[..<piece.byteCount]
        }
      }
      #expect(sent == expected)
      // The other way, into zeroes: every segment gets the device's bytes from their beginning.
      let known = bytes(landing)
      var cleared = out.unmap()
      let zeroes = [UInt8](repeating: 0, count: total)
      unsafe cleared.copyBytes(from: zeroes.span.bytes)
      let into = try cleared.map(FromDevice.self, for: bench.dma).get()
      var answers: [UInt8] = []
      for index in 0..<into.segmentCount {
        for piece in pieces(of: into.segment(at: index)) {
          try bench.edu.read(to: piece.address, byteCount: piece.byteCount)
          answers += known[..<piece.byteCount]
        }
      }
      let back = into.unmap()
      #expect(back.entryCount == 3 && back.byteCount == total)
      var result = [UInt8](repeating: 0, count: total)
      var span = result.mutableSpan
      var raw = unsafe span.mutableBytes
      back.copyBytes(to: &raw)
      #expect(result == answers)
      #expect(bench.bounce?.statistics.usedSlots ?? 0 == 0)
    }

    /// What the device moves at once of a segment.
    private func pieces(of segment: DMASegment) -> [DMASegment] {
      stride(from: 0, to: segment.byteCount, by: 4095).map { offset in
        DMASegment(
          address: DMAAddress(rawValue: segment.address.rawValue + UInt64(offset)),
          byteCount: min(4095, segment.byteCount - offset))
      }
    }

    /// The device's buffer, as far as a transfer reads it.
    private func receive(
      _ bench: MappedEduBench, _ landing: inout StreamingBuffer
    ) throws {
      let mapped = try MappedBytes(&landing, FromDevice.self, for: bench.dma)
      try bench.edu.read(to: mapped.address, byteCount: 4095)
    }
  }
}
