#if CLI
  internal import DMA
  internal import Drivers
  internal import SimulatedMachine

  /// One part of `dmatool net demo`: many frames of one kind, and what they took.
  struct NetPhase {
    enum Kind {
      case send, receiveShort, receiveLong
    }

    let kind: Kind
    private(set) var maps = 0
    private(set) var unmaps = 0
    private(set) var syncs = 0
    /// Frames that the card or their header called bad.
    private(set) var badCount = 0
    /// Frames that did not arrive as they were sent.
    private(set) var wrongCount = 0

    init(_ kind: Kind) { self.kind = kind }

    /// Moves `count` frames and compares each.
    func run(_ bench: NetBench, _ count: Int, seed: UInt64) throws(NetworkCardError) -> NetPhase {
      var phase = self
      let before = bench.counter.counts
      switch kind {
      case .send: try phase.send(bench, count, seed)
      case .receiveShort: try phase.receive(bench, count, seed, lengths: 14...256)
      case .receiveLong: try phase.receive(bench, count, seed, lengths: 257...1514)
      }
      let after = bench.counter.counts
      phase.maps = after.maps - before.maps
      phase.unmaps = after.unmaps - before.unmaps
      phase.syncs = after.syncs - before.syncs
      return phase
    }

    func text(_ count: Int) -> String {
      let outcome = wrongCount == 0 ? "every byte is the same" : "\(wrongCount) DIFFERENT"
      switch kind {
      case .send:
        return """
          Sending: map to device, give to the card, unmap when it is done (E3).
             \(count) frames of 1 to 1514 bytes at odd offsets: \(outcome).
             \(maps) maps, \(unmaps) unmaps, \(syncs) syncs: the CPU never looked meanwhile.
          """
      case .receiveShort:
        return """
          Receiving short frames: sync, copy out, and the card keeps the buffer (E4b).
             \(count) frames of 14 to 256 bytes: \(outcome).
             \(maps) maps, \(unmaps) unmaps, \(syncs) syncs.
          """
      case .receiveLong:
        return """
          Receiving long ones: a look at the header decides while the buffer stays mapped (E4).
             \(count) frames of 257 to 1514 bytes, \(badCount) of them bad: \(outcome).
             \(maps) maps, \(unmaps) unmaps, \(syncs) syncs: bad frames cost neither map nor unmap.
          """
      }
    }

    private mutating func send(
      _ bench: NetBench, _ count: Int, _ seed: UInt64
    ) throws(NetworkCardError) {
      var given = 0
      var arrived = 0
      while arrived < count {
        while given < count, bench.card.sendingCount < 256 {
          let frame = Self.frame(given, seed, 1...1514)
          let offset = given % 64 * 2 + 1
          let buffer = try Self.buffer(bench, frame, at: offset)
          let sending = bench.card.send(buffer, bytes: offset..<offset + frame.count)
          if case .refused(_, let error) = sending { throw error }
          given += 1
        }
        try bench.card.wait {
          bench.card.reap()
          return bench.card.sendingCount == 0
        }
        for frame in bench.model.takeTransmitted() {
          if frame != Self.frame(arrived, seed, 1...1514) { wrongCount += 1 }
          arrived += 1
        }
        // What the card says it sent must have come out.
        guard arrived == given else {
          wrongCount += given - arrived
          return
        }
      }
    }

    private mutating func receive(
      _ bench: NetBench, _ count: Int, _ seed: UInt64, lengths: ClosedRange<Int>
    ) throws(NetworkCardError) {
      var next = 0
      while next < count {
        // Never more than the ring holds: the card would lose them.
        let batch = next..<min(next + 128, count)
        var expected: [[UInt8]] = []
        for number in batch {
          var frame = Self.frame(number, seed, lengths)
          // Every third long one is bad: by its checksum or by its header, in turn.
          let isBad = kind == .receiveLong && number % 3 == 0
          frame[0] = isBad && number % 2 == 0 ? 0xff : 1
          badCount += isBad ? 1 : 0
          if !isBad { expected.append(frame) }
          bench.model.deliver(frame, isBad: isBad && number % 2 == 1)
        }
        try take(bench, batch.count, expected)
        next = batch.upperBound
      }
    }

    private mutating func take(
      _ bench: NetBench, _ count: Int, _ expected: [[UInt8]]
    ) throws(NetworkCardError) {
      var seen = 0
      var frames: [[UInt8]] = []
      try bench.card.wait {
        seen += bench.card.receive { header in
          // SAFETY: a header has at least one byte.
          unsafe header.unsafeLoad(as: UInt8.self) != 0xff
        } _: { frame in
          switch consume frame {
          case .copy(let bytes): frames.append(bytes)
          case .whole(let buffer, let byteCount):
            // SAFETY: the array copies the bytes before the buffer ends.
            frames.append(
              unsafe buffer.bytes.withUnsafeBytes { unsafe [UInt8]($0[..<byteCount]) })
          }
        }
        return seen >= count
      }
      let wrong = zip(frames, expected).count { $0 != $1 }
      wrongCount += wrong + abs(frames.count - expected.count)
    }

    private static func buffer(
      _ bench: NetBench, _ frame: [UInt8], at offset: Int
    ) throws(NetworkCardError) -> StreamingBuffer {
      var buffer: StreamingBuffer
      do throws(DMAError) {
        buffer = try StreamingBuffer(
          byteCount: offset + frame.count, in: bench.machine.platform,
          placement: bench.machine.placement)
      } catch { throw .dma(error) }
      var bytes = buffer.mutableBytes
      for (index, byte) in frame.enumerated() {
        bytes.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
      }
      return buffer
    }

    /// A frame that its number and the seed decide.
    private static func frame(
      _ number: Int, _ seed: UInt64, _ lengths: ClosedRange<Int>
    ) -> [UInt8] {
      var state = seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(number) &* 0xbf58_476d_1ce4_e5b9 | 1
      state ^= state >> 31
      let length = lengths.lowerBound + Int(state % UInt64(lengths.count))
      return (0..<length).map {
        UInt8(truncatingIfNeeded: state &>> UInt64($0 % 8 * 8)) ^ UInt8(truncatingIfNeeded: $0)
      }
    }
  }
#endif
