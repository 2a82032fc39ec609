import DMA
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// What the document means coherent memory for, each in a few lines.
@Suite struct IntendedUseTests {
  @Test(arguments: Setup.allCases)
  func `R34 a card's ring is polled for the bit that the card sets`(setup: Setup) throws {
    let bench = try setup.make()
    // Each descriptor: an address, a length, and a status whose top bit says done.
    let ring = try CoherentBuffer<UInt64>(count: 2 * 16, for: bench.dma)
    let done: UInt64 = 1 << 63
    for round in 0..<1000 {
      let slot = round % 16
      ring[2 * slot] = UInt64(round) << 12
      DMABarrier.write()
      ring[2 * slot + 1] = 60
      // The card reads the descriptor, and writes its status back.
      let seen = try #require(
        bench.probe.read(ring.address(of: 2 * slot).rawValue, byteCount: 16))
      let address = word(seen, 0)
      let status = word(seen, 8)
      try #require(address == UInt64(round) << 12 && status == 60)
      try #require(ring[2 * slot + 1] & done == 0)
      try #require(
        bench.probe.write(
          ring.address(of: 2 * slot + 1).rawValue, bytes(done | UInt64(round & 0xfff))))
      let polled = ring[2 * slot + 1]
      try #require(polled == done | UInt64(round & 0xfff))
    }
  }

  @Test(arguments: Setup.allCases)
  func `R35 a mailbox carries commands one way and answers the other`(setup: Setup) throws {
    let bench = try setup.make()
    let mailbox = try CoherentBuffer<UInt64>(count: 2, for: bench.dma)
    for command in 1..<500 as Range<UInt64> {
      mailbox[0] = command
      let taken = try #require(bench.probe.read(mailbox.address.rawValue, byteCount: 8))
      // The adapter takes the command out of the box and answers beside it.
      try #require(bench.probe.write(mailbox.address.rawValue, bytes(0)))
      try #require(bench.probe.write(mailbox.address(of: 1).rawValue, bytes(word(taken, 0) * 3)))
      let left = mailbox[0]
      let answer = mailbox[1]
      try #require(left == 0 && answer == command * 3)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R36 a device executes firmware that the CPU stored at any time before`(setup: Setup) throws
  {
    var random = SeededGenerator()
    let bench = try setup.make()
    let firmware = try CoherentBuffer<UInt32>(count: 1024, for: bench.dma)
    // The device knows the address before the code is there.
    var model = [UInt32](repeating: 0, count: 1024)
    for _ in 0..<300 {
      let start = Int.random(in: 0..<1000, using: &random)
      for index in start..<start + Int.random(in: 1...24, using: &random) {
        model[index] = UInt32.random(in: 0 ... .max, using: &random)
        firmware[index] = model[index]
      }
      // It fetches a line, wherever it is.
      let line = Int.random(in: 0..<64, using: &random) * 16
      let fetched = bench.probe.read(firmware.address(of: line).rawValue, byteCount: 64)
      try #require(
        fetched
          == model[line..<line + 16].flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
          })
    }
  }

  @Test(arguments: Setup.allCases)
  func `R79 coherent memory and blocks of pools have no direction: the device does both`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let buffer = try CoherentBuffer<UInt64>(count: 512, for: bench.dma)
    let block = try bench.pools().make(size: 64).allocate()
    for address in [buffer.address.rawValue, block.bus] {
      #expect(bench.probe.write(address + 8, [1, 2, 3]))
      #expect(bench.probe.read(address + 8, byteCount: 3) == [1, 2, 3])
    }
    #expect(buffer[1] == 0x030201 && block[8] == 0x030201)
  }

  @Test(arguments: Setup.allCases)
  func `T24 bus addresses keep all their 64 bits`(setup: Setup) throws {
    #expect(MemoryLayout<DMAAddress>.size == 8)
    let bench = try setup.make()
    try bench.dma.setMask(.bits64)
    let recorder = EventRecorder()
    recorder.observe(bench.dma)
    let buffer = try StreamingBuffer(byteCount: 64, in: bench.platform, placement: .high)
    let mapping = try buffer.map(Bidirectional.self, for: bench.dma).get()
    let address = mapping.address.rawValue
    if setup.kind == .direct { #expect(address >= 1 << 32, "memory above 4 GiB, at its address") }
    #expect(bench.probe.write(address, [9]))
    let back = mapping.unmap()
    let seen = unsafe back.bytes.unsafeLoad(as: UInt8.self)
    #expect(seen == 9)
    #expect(recorder.records.filter { $0.address == address }.count == 2)
  }

  private func bytes(_ word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
  }

  private func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
    bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
