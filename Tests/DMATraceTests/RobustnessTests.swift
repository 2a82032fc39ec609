import DMA
import Glibc
import TestSupport
import Testing

@testable import DMATrace

struct RobustnessTests {
  static let lines = """
    # entries-in-buffer/entries-written: 12/12   #P:2
                init-1       [000] .....     7.967898: tracing_mark_write: module load
              insmod-156     [000] .....     8.006335: dma_alloc: 0000:00:01.0 dir=BIDIRECTIONAL dma_addr=ffffc000 size=16384 virt_addr=00000000a21fa1be flags=GFP_KERNEL attrs=
              insmod-156     [000] .....     8.007199: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 phys_addr=3001140 attrs=SKIP_CPU_SYNC|NEW_WORD
              insmod-156     [000] .....     8.008196: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 attrs=
              insmod-156     [000] .....     8.211975: dma_map_sg: 0000:00:01.0 dir=BIDIRECTIONAL nents=4/4 ents=1/1 dma_addrs={0xffff4000} sizes={0x4000} phys_addrs={0x3008000,0x3009000,0x300a000,0x300b000} attrs=
              insmod-156     [000] .....     8.212224: dma_unmap_sg: 0000:00:01.0 dir=BIDIRECTIONAL phys_addrs={0x3008000,0x3009000,0x300a000,0x300b000} attrs=
              insmod-156     [001] .....     8.219055: dma_map_phys: 0000:00:01.0 dir=FROM_DEVICE dma_addr=fea00000 size=4096 phys_addr=fea00000 attrs=CACHE_CLEAN
              insmod-156     [001] .....     8.219144: dma_unmap_phys: 0000:00:01.0 dir=FROM_DEVICE dma_addr=fea00000 size=4096 attrs=
    CPU:1 [LOST 25070 EVENTS]
                  dd-187   [001]    25.521003: dma_map_sg:           [FAILED TO PARSE] device=0000:00:1f.2 full_nents=1 full_ents=1 truncated=0 phys_addrs=ARRAY[00, f0, c7, 04, 00, 00, 00, 00] dma_addrs=ARRAY[00, 00, f2, ff, 00, 00, 00, 00] lengths=ARRAY[00, 00, 01, 00] dir=2 attrs=0x0
                ping   180 [001]    47.857049:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffc999c2 size=60 phys_addr=1d039c2 attrs=
    \tffffffff81234567 dma_map_page_attrs+0x12 ([kernel.kallsyms])

    """

  @Test func `changed bytes crash nothing and never hang`() {
    var random = SeededGenerator()
    let original = Array(Self.lines.utf8)
    for _ in 0..<400 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
        default: bytes.removeSubrange(at..<min(at + 9, bytes.count))
        }
        if bytes.isEmpty { bytes = original }
      }
      if let report = try? TraceCheck.check(bytes: bytes).report {
        #expect(report.trace.lines <= UInt64(bytes.count) + 1)
      }
    }
  }

  @Test func `old and new event names and unknown attribute words are read`() throws {
    let (report, _) = try TraceCheck.check(bytes: Array(Self.lines.utf8))
    #expect(report.trace.badLines == 0, "\(report.trace.firstBadLines)")
    #expect(report.findings.isEmpty)
    #expect(report.trace.lossMarks == 1)
    #expect(report.trace.lostEvents == 25070)
    #expect(report.trace.eventCounts.contains { $0.name == "dma_map_phys" && $0.count == 1 })
  }

  @Test func `bad lines are counted and shown by number`() throws {
    let text = Self.lines + "what is this\n  insmod-156 [000] ..... 9.1: dma_map_page: nothing\n"
    let (report, _) = try TraceCheck.check(bytes: Array(text.utf8))
    let count = UInt64(Self.lines.split(separator: "\n", omittingEmptySubsequences: false).count)
    #expect(report.trace.badLines == 2)
    #expect(report.trace.firstBadLines == [count, count + 1])
  }

  @Test func `a comm that looks like an event confuses nothing`() throws {
    let text = """
       [000] 1.0: dma_-77      [001] .....     1.500000: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=1000 size=16 phys_addr=1000 attrs=
      """
    let (report, context) = try TraceCheck.check(bytes: Array(text.utf8))
    #expect(report.trace.events == 1)
    #expect(context.tasks.name(1) == "[000] 1.0: dma_")
    #expect(report.devices.first?.state.liveBytes == 16)
  }

  @Test func `six dot twelve dot zero has no direction in its allocations`() throws {
    let text = """
                insmod-156     [000] .....     1.000000: dma_alloc: 0000:00:01.0 dma_addr=ffffc000 size=4096 virt_addr=00000000a21fa1be flags=GFP_KERNEL attrs=
                insmod-156     [000] .....     1.000001: dma_free: 0000:00:01.0 dma_addr=ffffc000 size=4096 virt_addr=00000000a21fa1be attrs=
      """
    let (report, _) = try TraceCheck.check(bytes: Array(text.utf8))
    #expect(report.findings.isEmpty)
    #expect(report.devices.first?.state.liveCount == 0)
    #expect(report.devices.first?.state.allocations == 1)
  }

  @Test func `an unmap whose map another CPU wrote with the same stamp is no misuse`() throws {
    let text = """
                insmod-156     [000] .....     1.000000: dma_map_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=
                insmod-156     [000] .....     1.000001: dma_unmap_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=16 attrs=
                insmod-156     [000] .....     1.000002: dma_unmap_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=32 attrs=
                insmod-157     [001] .....     1.000002: dma_map_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=32 phys_addr=1000 attrs=
      """
    let (report, _) = try TraceCheck.check(bytes: Array(text.utf8))
    #expect(report.findings.isEmpty)
    #expect(report.devices.first?.state.liveCount == 0)
  }

  @Test func `files that are no traces are told as what they are`() throws {
    func error(_ bytes: [UInt8]) -> TraceInputError? {
      do throws(TraceInputError) {
        _ = try TraceCheck.check(bytes: bytes)
        return nil
      } catch {
        return error
      }
    }
    #expect(error([]) == .notATrace(path: "memory", lines: 0))
    #expect(error(Array("hello\nworld\n".utf8)) == .notATrace(path: "memory", lines: 2))
    #expect(error([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 0, 1, 2, 3]) != nil)
    guard case .notDecodable? = error(Array("PERFILE2........".utf8)) else {
      Issue.record("perf's own file")
      return
    }
    // A header over lines nobody understands is no clean trace.
    #expect(
      error(Array("# entries-in-buffer/entries-written: 1/1   #P:2\nabc\n".utf8))
        == .notATrace(path: "memory", lines: 2))
    // A recording during which nothing happened is a trace.
    #expect(error(Array("# entries-in-buffer/entries-written: 0/0   #P:2\n".utf8)) == nil)
    for (path, number) in [("/", EISDIR), ("/nowhere/at/all", ENOENT)] {
      #expect(throws: TraceInputError.cannotRead(path: path, errno: number)) {
        try TraceCheck.check(path)
      }
    }
  }

  @Test(
    .enabled(if: SharedTraces.isPresent, "../shared/traces is absent"),
    arguments: CleanTraceTests.drivers.filter { !$0.contains("big-multi") }
      + CleanTraceTests.formats)
  func `lines read in one go give what the full reader gives`(_ path: String) throws {
    let bytes = try SharedTraces.unpacked(path)
    let quick = EventList(bytes, quickly: true)
    let full = EventList(bytes, quickly: false)
    #expect(quick.hashes == full.hashes)
    #expect(quick.hashes.count > 10)
  }

  @Test func `raw traces are refused with the reason`() {
    let text = "            ping-262     [000] b..1.    35.1: 381 ffff 10 20\n"
    #expect {
      try TraceCheck.check(bytes: Array(text.utf8))
    } throws: { error in
      if case TraceInputError.notDecodable = error { return true }
      return false
    }
  }
}

struct SharedRecordTests {
  @Test func `what a trace knows is said with the shared record's bits`() throws {
    let pairs: [(TraceEvent.Known, DMAEvent.Known)] = [
      (.dmaAddress, .dmaAddress), (.physicalAddress, .physicalAddress),
      (.cpuAddress, .cpuAddress), (.byteCount, .byteCount), (.direction, .direction),
      (.entryCount, .entryCount), (.segmentCount, .segmentCount), (.attributes, .attributes),
      (.segmentAddresses, .segmentAddresses),
      (.segmentPhysicalAddresses, .segmentPhysicalAddresses),
      (.segmentByteCounts, .segmentByteCounts), (.truncated, .truncated),
    ]
    for (own, shared) in pairs { #expect(own.rawValue == shared.rawValue) }
  }
}

/// What a reader delivered, an event in a number.
private final class EventList: TraceSink {
  private(set) var hashes: [Int] = []
  private let context = TraceContext()

  init(_ bytes: [UInt8], quickly: Bool) {
    let padded = bytes + [UInt8](repeating: 0, count: Bytes.readablePadding)
    var parser = TextParser(context: context)
    parser.readsQuickly = quickly
    unsafe padded.withUnsafeBufferPointer { padded in
      guard let start = padded.baseAddress else { return }
      unsafe parser.parse(start, start + bytes.count, into: self)
    }
    parser.finish(into: self)
    parser.deallocate()
  }

  func accept(_ event: inout TraceEvent) {
    var hasher = Hasher()
    hasher.combine(context.eventNames.name(UInt32(event.name)))
    hasher.combine(context.devices.name(event.device))
    hasher.combine(context.tasks.name(event.taskName))
    for value in [
      UInt64(event.kind.rawValue), UInt64(event.direction), UInt64(event.context),
      UInt64(event.known.rawValue), UInt64(event.flags.rawValue), UInt64(event.cpu),
      UInt64(bitPattern: Int64(event.task)), UInt64(event.attributes), event.time, event.line,
      event.dmaAddress, event.physicalAddress, event.byteCount, UInt64(event.entryCount),
    ] {
      hasher.combine(value)
    }
    hasher.combine(unsafe Array(context.busAddresses(event)))
    hasher.combine(unsafe Array(context.lengths(event)))
    hasher.combine(unsafe Array(context.physicalAddresses(event)))
    hashes.append(hasher.finalize())
  }

  func attachStack(_ stack: UInt32) { hashes.append(context.stacks.name(stack).hashValue) }
}
