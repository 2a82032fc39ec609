import DMATrace
import Glibc

/// Gives changed traces to the readers: they may refuse, but not crash, and not hang.
///
///     FuzzTrace text|dat|log RUNS [SEED-FILE...]
///
/// The seed of the random numbers is printed, and SWIFT_DMA_SEED repeats a run. Each run has ten
/// seconds; a crash or an alarm ends the process with the number of the run on standard error.
@main
struct FuzzTrace {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3, let runs = Int(arguments[2]) else {
      fail("usage: FuzzTrace text|dat|log RUNS [SEED-FILE...]")
    }
    var corpus = arguments.dropFirst(3).map(read)
    if corpus.isEmpty { corpus = arguments[1] == "log" ? logs : texts }
    if arguments[1] == "dat", arguments.count == 3 { fail("dat needs a trace.dat to begin with") }
    let given = getenv("SWIFT_DMA_SEED").flatMap { UInt64(String(cString: $0)) }
    let seed = given ?? UInt64(time(nil))
    print("SWIFT_DMA_SEED=\(seed)")
    var random = Generator(state: seed)
    var refused = 0
    for run in 0..<runs {
      // SIGALRM ends a run that hangs.
      alarm(10)
      let bytes = changed(corpus[Int(random.next() % UInt64(corpus.count))], &random)
      switch arguments[1] {
      case "log":
        _ = FaultLine.all(in: String(decoding: bytes, as: UTF8.self))
        var limits = TraceLimits()
        limits.add(String(decoding: bytes, as: UTF8.self))
      default:
        do {
          let (report, context) = try TraceCheck.check(bytes: bytes)
          if run % 64 == 0 {
            var text = TextReport(report, context: context, redact: true)
            _ = text.text()
            var json = JSONReport(report, context: context, redact: false)
            _ = json.text()
          }
        } catch {
          refused += 1
        }
      }
      if run % 100_000 == 99_999 { print("\(run + 1) runs, \(refused) refused") }
    }
    print("\(runs) runs without a crash, \(refused) refused")
  }

  /// A few changes: bytes, bits, stretches taken out, doubled or moved, numbers made extreme.
  static func changed(_ original: [UInt8], _ random: inout Generator) -> [UInt8] {
    var bytes = original
    for _ in 0...random.next() % 8 {
      guard bytes.count > 1 else { return bytes }
      let at = Int(random.next() % UInt64(bytes.count))
      let length = min(Int(random.next() % 24) + 1, bytes.count - at)
      switch random.next() % 7 {
      case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 1: bytes[at] ^= 1 << UInt8(random.next() % 8)
      case 2: bytes.removeSubrange(at..<(at + length))
      case 3: bytes.insert(contentsOf: Array(bytes[at..<(at + length)]), at: at)
      case 4: for index in at..<(at + length) { bytes[index] = random.next() & 1 == 0 ? 0xff : 0 }
      case 5: bytes.removeSubrange(at...)
      default:
        let from = Int(random.next() % UInt64(bytes.count))
        bytes.swapAt(at, from)
      }
    }
    return bytes
  }

  static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { fail("cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      bytes += buffer[..<count]
    }
    return bytes
  }

  static func fail(_ text: String) -> Never {
    let line = text + "\n"
    _ = line.withCString { write(2, $0, strlen($0)) }
    exit(2)
  }

  static let texts: [[UInt8]] = [
    """
    # entries-in-buffer/entries-written: 12/12   #P:2
                init-1       [000] .....     7.967898: tracing_mark_write: module load
              insmod-156     [000] .....     8.006335: dma_alloc: 0000:00:01.0 dir=BIDIRECTIONAL dma_addr=ffffc000 size=16384 virt_addr=00000000a21fa1be flags=GFP_KERNEL attrs=
              insmod-156     [000] .....     8.007199: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 phys_addr=3001140 attrs=SKIP_CPU_SYNC|NO_WARN
              insmod-156     [001] .....     8.007199: dma_sync_single_for_cpu: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=128
              insmod-156     [000] .....     8.008196: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 attrs=
              insmod-156     [000] .....     8.211975: dma_map_sg: 0000:00:01.0 dir=BIDIRECTIONAL nents=2/2 ents=1/1 dma_addrs={0xffff4000} sizes={0x2000} phys_addrs={0x3008000,0x3009000} attrs=
              insmod-156     [000] .....     8.212224: dma_unmap_sg: 0000:00:01.0 dir=BIDIRECTIONAL phys_addrs={0x3008000,0x3009000} attrs=
    CPU:1 [LOST 25070 EVENTS]
                init-1       [001] .....     9.600688: tracing_mark_write: module unload
    """,
    """
    cpus=2
                  dd-187   [001]    25.521003: dma_map_sg:           [FAILED TO PARSE] device=0000:00:1f.2 full_nents=1 full_ents=1 truncated=0 phys_addrs=ARRAY[00, f0, c7, 04, 00, 00, 00, 00] dma_addrs=ARRAY[00, 00, f2, ff, 00, 00, 00, 00] lengths=ARRAY[00, 00, 01, 00] dir=2 attrs=0x0
                  dd-187   [001]    25.524693: dma_unmap_sg:         [FAILED TO PARSE] device=0000:00:1f.2 addrs=ARRAY[00, f0, c7, 04, 00, 00, 00, 00] dir=2 attrs=0x0
    """,
    """
                ping   180 [001]    47.857049:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffc999c2 size=60 phys_addr=1d039c2 attrs=
    \tffffffff81234567 dma_map_page_attrs+0x12 ([kernel.kallsyms])

        ping-196       1b..1. 29051us#: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffe72842 size=60 phys_addr=1fe8842 attrs=
    dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffbb13c2 size=60 attrs=
                ping-218     [000] b..1.    30.289287: dma_map_page: device=0000:00:01.0 phys_addr=0x198eec2 (26799810) dma_addr=0xffcacec2 (4291481282) size=0x3c (60) dir=0x1 (1) attrs=0x0 (0)
    """,
  ].map { Array($0.utf8) }

  static let logs: [[UInt8]] = [
    """
    [   28.037972] DMAR: [DMA Write NO_PASID] Request device [00:01.0] fault addr 0xffff0000 [fault reason 0x05] PTE Write access is not set
    [    5.100000] AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x000e address=0x00000000fffc1000 flags=0x0020]
    arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x7fff5000, fsynr=0x11, cbfrsynra=0x404, cb=3
    36200000-371fffff : Kernel code
    0000:00:01.0 dma_mask_bits=64 max_segment_size=65536 segment_boundary_mask=0xffffffff
    """
  ].map { Array($0.utf8) }
}

/// Random numbers from a seed (splitmix64).
struct Generator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
