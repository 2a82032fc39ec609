import DMA
import DMAChecker
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// A machine with the document's network card.
private final class NetworkBench {
  let machine: SimulatedMachine
  let model: NetworkCardModel
  let pci: PCIDevice
  let counter: LiveCounter
  private let kept: [AnyObject]

  init(
    _ setup: Setup, seed: UInt64 = 1,
    _ change: (inout NetworkCardModel.Configuration) -> Void = { _ in }
  ) throws {
    machine = try setup.machine(seed: seed)
    var options = NetworkCardModel.Configuration()
    change(&options)
    model = NetworkCardModel(options)
    (pci, kept) = try setup.open(machine, try machine.attach(model))
    counter = LiveCounter(pci.dma)
  }

  func open(_ change: (inout NetworkCard.Options) -> Void = { _ in }) throws -> NetworkCard {
    var options = NetworkCard.Options()
    change(&options)
    return try NetworkCard(pci, options: options)
  }

  /// A buffer with a frame at an offset.
  func buffer(_ frame: [UInt8], at offset: Int = 0) throws -> StreamingBuffer {
    var buffer = try StreamingBuffer(byteCount: offset + frame.count, for: pci.dma)
    var bytes = buffer.mutableBytes
    for (index, byte) in frame.enumerated() {
      bytes.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
    }
    return buffer
  }
}

extension NetworkCard {
  /// Sends a frame that must be accepted.
  fileprivate func sendNow(_ buffer: consuming StreamingBuffer, bytes: Range<Int>) throws {
    switch send(buffer, bytes: bytes) {
    case .accepted: break
    case .refused(_, let error): throw error
    }
  }
}

@Suite struct NetworkCardTests {
  @Test(arguments: Setup.allCases, [NetworkCard.Completion.polling, .interrupt])
  func `E3 R100 frames of any length at odd offsets are sent without a sync`(
    setup: Setup, completion: NetworkCard.Completion
  ) throws {
    var random = SeededGenerator()
    let bench = try NetworkBench(setup, seed: random.next())
    do {
      let card = try bench.open {
        $0.completion = completion
        $0.ringCount = 16
      }
      let standing = bench.counter.live
      var sent: [[UInt8]] = []
      for length in [1, 2, 3, 59, 60, 61, 255, 256, 257, 1023, 1499, 1500] {
        let frame = Bench.pattern(length, seed: UInt8.random(in: 0...255, using: &random))
        let offset = Int.random(in: 0..<2000, using: &random) * 2 + 1
        try card.sendNow(
          bench.buffer(frame, at: offset), bytes: offset..<offset + length)
        sent.append(frame)
      }
      #expect(card.sendingCount == 12)
      var returned: [Int] = []
      try card.wait {
        card.reap { returned.append($0.byteCount) }
        return card.sendingCount == 0
      }
      #expect(bench.model.takeTransmitted() == sent)
      #expect(returned.count == 12)
      #expect(card.counters.sent == 12 && card.counters.failedToSend == 0)
      #expect(bench.counter.counts.syncs == 0)
      #expect(bench.counter.live == standing)
    }
    #expect(bench.counter.live == 0 && bench.counter.counts.dropped == 0)
    #expect(bench.pci.dma.liveCoherentCount == 0)
    #expect(bench.machine.incidentCount == 0)
  }

  @Test(arguments: Setup.allCases)
  func `E3 R38 a packet that the CPU changes while the card has it is reported`(
    setup: Setup
  ) throws {
    let bench = try NetworkBench(setup)
    let findings = Findings()
    var options = DMAChecker.Options()
    options.hashesContent = true
    let checker = DMAChecker(options) { findings.add($0) }
    checker.attach(to: bench.pci.dma)
    do {
      let card = try bench.open()
      for isTouched in [false, true, false] {
        var buffer = try bench.buffer(Bench.pattern(1500), at: 3)
        // The bug: a pointer that outlives the CPU's ownership.
        var bytes = buffer.mutableBytes
        let kept = unsafe bytes.withUnsafeMutableBytes { $0.baseAddress }
        try card.sendNow(buffer, bytes: 3..<1503)
        if isTouched { unsafe kept?.storeBytes(of: 0x5a, toByteOffset: 700, as: UInt8.self) }
        try card.wait { card.reap() > 0 }
        #expect(findings.all.map(\.rule) == (isTouched ? [.memoryChanged] : []))
        findings.removeAll()
      }
    }
    // The card left, and everything with it.
    #expect(findings.all.isEmpty)
    withExtendedLifetime(checker) {}
  }

  @Test(arguments: Setup.allCases)
  func `E4 R96 R101 headers are looked at under the mapping, and bad frames keep their buffer`(
    setup: Setup
  ) throws {
    let bench = try NetworkBench(setup)
    do {
      let card = try bench.open {
        $0.ringCount = 4
        $0.copyBreak = 0
        $0.completion = .interrupt
      }
      let standing = bench.counter.counts
      #expect(standing.maps == 4)
      var headers: [[UInt8]] = []
      var frames: [[UInt8]] = []
      func take(_ count: Int) throws {
        var got = 0
        try card.wait {
          got += card.receive { header in
            // The first byte says whether the frame is for us.
            let byte = unsafe header.unsafeLoad(as: UInt8.self)
            headers.append([byte, unsafe header.unsafeLoad(fromByteOffset: 1, as: UInt8.self)])
            return byte != 0xff
          } _: { frame in
            guard case .whole(let buffer, let byteCount) = frame else { return }
            frames.append(Array(buffer.array[..<byteCount]))
          }
          return got >= count
        }
      }
      let good = [UInt8](1...200) + Bench.pattern(1000)
      bench.model.deliver(good)
      try take(1)
      #expect(frames == [good])
      // Unmapped, and a new buffer in its place.
      #expect(bench.counter.counts.maps == standing.maps + 1)
      #expect(bench.counter.counts.unmaps == 1)
      for round in 0..<1000 {
        // Bad by its checksum, which the card tells; or by its header, which only a sync shows.
        let isBad = round % 3 == 0
        bench.model.deliver(
          [isBad ? 7 : 0xff, UInt8(round & 0xff)] + Bench.pattern(100), isBad: isBad)
        try take(1)
      }
      #expect(card.counters.refused == 1000)
      #expect(frames.count == 1)
      // No map, no unmap: the same four buffers all the time.
      #expect(bench.counter.counts.maps == standing.maps + 1)
      #expect(bench.counter.counts.unmaps == 1)
      // Each header that was looked at was the newest.
      let expected: [[UInt8]] =
        [[1, 2]] + (0..<1000).filter { $0 % 3 != 0 }.map { [UInt8(0xff), UInt8($0 & 0xff)] }
      #expect(headers == expected)
      let another = [UInt8](9...208)
      bench.model.deliver(another)
      try take(1)
      #expect(frames == [good, another])
      #expect(card.counters.passed == 2)
    }
    #expect(bench.counter.live == 0 && bench.counter.counts.dropped == 0)
    #expect(bench.model.statistics.lost == 0)
  }

  @Test(arguments: Setup.allCases)
  func `E4b short frames are copied out, and their buffer stays with the card`(
    setup: Setup
  ) throws {
    let bench = try NetworkBench(setup)
    let card = try bench.open { $0.ringCount = 8 }
    let standing = bench.counter.counts
    for length in [1, 14, 63, 64, 65, 255, 256] {
      let sent = Bench.pattern(length, seed: UInt8(truncatingIfNeeded: length))
      bench.model.deliver(sent)
      var got: [UInt8]?
      try card.wait {
        card.receive { frame in
          if case .copy(let bytes) = frame { got = bytes }
        } > 0
      }
      #expect(got == sent)
    }
    #expect(bench.counter.counts.maps == standing.maps && bench.counter.counts.unmaps == 0)
    #expect(card.counters.copied == 7)
  }

  @Test(arguments: Setup.allCases)
  func `E6 R34 a ring of 256 descriptors loses none, without a sync`(setup: Setup) throws {
    let bench = try NetworkBench(setup) { $0.latency = 50 }
    let card = try bench.open { $0.copyBreak = 0 }
    let total = Scale.count(usual: 10_000, full: 1_000_000)
    var given = 0
    var seen = 0
    while seen < total {
      while given < total, card.sendingCount < 256 {
        let number = UInt32(given)
        let frame = [
          UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8),
          UInt8(truncatingIfNeeded: number >> 16), 0x5a,
        ]
        try card.sendNow(bench.buffer(frame), bytes: 0..<4)
        given += 1
      }
      try card.wait {
        card.reap()
        return card.sendingCount == 0
      }
      for frame in bench.model.takeTransmitted() {
        let number = Int(frame[0]) | Int(frame[1]) << 8 | Int(frame[2]) << 16
        // In order, each once.
        guard number == seen else {
          Issue.record("frame \(number) came as number \(seen)")
          return
        }
        seen += 1
      }
    }
    #expect(card.counters.sent == UInt64(total))
    #expect(bench.counter.counts.syncs == 0)
    #expect(bench.model.statistics.lost == 0)
  }

  @Test func `a full ring gives the buffer back`() throws {
    let bench = try NetworkBench(.direct)
    let card = try bench.open { $0.ringCount = 2 }
    for _ in 0..<2 { try card.sendNow(bench.buffer([1]), bytes: 0..<1) }
    switch card.send(try bench.buffer([1, 2, 3])) {
    case .accepted: Issue.record("accepted")
    case .refused(let buffer, let error):
      #expect(error == .ringFull)
      #expect(buffer.array == [1, 2, 3])
    }
    try card.wait { card.reap() > 0 }
    try card.sendNow(bench.buffer([1]), bytes: 0..<1)
  }

  @Test func `memory out of the card's reach is refused and comes back`() throws {
    let bench = try NetworkBench(.direct)
    let card = try bench.open()
    let high = try StreamingBuffer(
      byteCount: 100, in: bench.machine.platform, placement: .high)
    switch card.send(high) {
    case .accepted: Issue.record("accepted")
    case .refused(let buffer, let error):
      guard case .dma(.outOfReach) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(buffer.byteCount == 100)
    }
    #expect(card.sendingCount == 0)
  }

  @Test func `a card that goes with frames in flight leaves nothing mapped`() throws {
    let bench = try NetworkBench(.direct)
    let free = bench.machine.freeByteCount
    do {
      let card = try bench.open()
      for _ in 0..<100 { try card.sendNow(bench.buffer([1, 2]), bytes: 0..<2) }
    }
    #expect(bench.counter.live == 0 && bench.counter.counts.dropped == 0)
    #expect(!bench.pci.isBusMasteringEnabled)
    #expect(bench.machine.freeByteCount == free)
  }

  @Test func `a card that does nothing is a time-out within a second`() throws {
    let bench = try NetworkBench(.direct)
    let card = try bench.open()
    try card.sendNow(bench.buffer([1]), bytes: 0..<1)
    bench.pci.disableBusMastering()
    let begun = bench.machine.platform.nanoseconds
    #expect(throws: NetworkCardError.timedOut(milliseconds: 900)) {
      try card.wait {
        card.reap()
        return card.sendingCount == 0
      }
    }
    #expect(bench.machine.platform.nanoseconds - begun < 1_000_000_000)
  }
}
