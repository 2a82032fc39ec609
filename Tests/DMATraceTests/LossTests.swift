import DMA
import Glibc
import TestSupport
import Testing

@testable import DMATrace

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct LossTests {
  static let traces = [
    "nvme-vtd-strict", "e1000-bounce-6g", "ahci-swiotlb-force", "vmxnet3-vtd-strict",
    "megaraid-vtd-strict", "sym53c8xx-bounce-6g", "multi-vtd-lazy", "rtl8139-direct",
    "virtio-blk-vtd-strict", "usb-ehci-vtd-strict", "e1000e-amdvi",
  ]

  /// How many seeds each trace is tried with, at each rate: SWIFT_DMA_ROUNDS, or a few.
  static var rounds: Int {
    // SAFETY: getenv's result is read before anything else could change the environment.
    unsafe getenv("SWIFT_DMA_ROUNDS").flatMap { unsafe Int(String(cString: $0)) } ?? 2
  }

  /// The lines of a packed trace, without its header: as `trace_pipe` would have written it.
  static func lines(_ name: String) throws -> [[UInt8]] {
    let root = try #require(SharedTraces.root)
    let bytes = try SharedTraces.unpacked("\(root)/\(name).txt.xz")
    return bytes.split(separator: 10).filter { $0.first != 0x23 }.map(Array.init)
  }

  static func cpu(_ line: [UInt8]) -> Int {
    guard let open = line.firstIndex(of: 0x5b), open + 4 < line.count else { return 0 }
    return Int(String(decoding: line[(open + 1)..<(open + 4)], as: UTF8.self)) ?? 0
  }

  /// Takes bursts out of single CPUs and leaves the mark the kernel leaves.
  ///
  /// A ring buffer overwrites what is oldest, so a CPU's last events are always there.
  static func lose(
    _ lines: [[UInt8]], rate: Double, marked: Bool, using random: inout SeededGenerator
  ) -> [[UInt8]] {
    var isKept = [Bool](repeating: true, count: lines.count)
    var burst: [Int: (left: Int, lines: [Int])] = [:]
    for (index, line) in lines.enumerated() {
      let cpu = cpu(line)
      if burst[cpu] == nil, Double.random(in: 0..<1, using: &random) < rate / 20 {
        burst[cpu] = (Int.random(in: 1...40, using: &random), [])
      }
      guard let running = burst[cpu] else { continue }
      if running.left == 0 {
        burst[cpu] = nil
      } else {
        isKept[index] = false
        burst[cpu] = (running.left - 1, running.lines + [index])
      }
    }
    for running in burst.values {
      for index in running.lines { isKept[index] = true }
    }
    var result: [[UInt8]] = []
    var lost: [Int: Int] = [:]
    for (index, line) in lines.enumerated() {
      let cpu = cpu(line)
      guard isKept[index] else {
        lost[cpu, default: 0] += 1
        continue
      }
      if let count = lost.removeValue(forKey: cpu), marked {
        result.append(Array("CPU:\(cpu) [LOST \(count) EVENTS]".utf8))
      }
      result.append(line)
    }
    return result
  }

  /// Writes a trace that failed to where SWIFT_DMA_KEEP says, to look at it.
  static func keep(_ lines: [[UInt8]]) {
    guard let path = unsafe getenv("SWIFT_DMA_KEEP"), let file = unsafe fopen(path, "w") else {
      return
    }
    let bytes = Array(lines.joined(separator: [10]))
    unsafe fwrite(bytes, 1, bytes.count, file)
    unsafe fclose(file)
  }

  @Test(arguments: traces, [0.001, 0.01, 0.1])
  func `marked losses cause no finding, and misuse after them is found`(
    _ name: String, _ rate: Double
  ) throws {
    let seed = SeededGenerator().seed
    let lines = try Self.lines(name)
    for round in 0..<Self.rounds {
      let seed = seed &+ UInt64(round)
      var random = SeededGenerator(seed: seed)
      var kept = Self.lose(lines, rate: rate, marked: true, using: &random)
      let (report, _) = try TraceCheck.check(bytes: Array(kept.joined(separator: [10])))
      let text = report.findings.map { "\($0.rule.rawValue) line \($0.line)" }
      let isClean = text.isEmpty
      if !isClean { Self.keep(kept) }
      #expect(isClean, "SWIFT_DMA_SEED=\(seed): \(text)")

      // Misuse at the very end, after every mark.
      for line in [
        "      driver-77      [000] .....   900.000001: dma_map_page: 0000:00:01.0 "
          + "dir=FROM_DEVICE dma_addr=77770000 size=1500 phys_addr=1234000 attrs=",
        "      driver-77      [000] .....   900.000002: dma_unmap_page: 0000:00:01.0 "
          + "dir=FROM_DEVICE dma_addr=77770000 size=1024 attrs=",
      ] {
        kept.append(Array(line.utf8))
      }
      let after = try TraceCheck.check(bytes: Array(kept.joined(separator: [10]))).report
      let rules = after.findings.map(\.rule)
      #expect(rules == [.sizeDiffers], "SWIFT_DMA_SEED=\(seed)")
      let line = after.findings.last?.line
      #expect(line == UInt64(kept.count))
    }
  }

  @Test(arguments: traces)
  func `unmarked losses crash nothing`(_ name: String) throws {
    var random = SeededGenerator()
    let kept = Self.lose(try Self.lines(name), rate: 0.05, marked: false, using: &random)
    let (report, _) = try TraceCheck.check(bytes: Array(kept.joined(separator: [10])))
    #expect(report.trace.lossMarks == 0)
    #expect(report.trace.events == kept.count)
  }

  @Test(arguments: MisuseCase.all.filter { $0.expected != nil && $0.kernel == "dmadebug" })
  func `misuse after a loss mark is still found`(_ misuse: MisuseCase) throws {
    // The mark stands at the very beginning, before the driver's arrival.
    let text = try SharedTraces.text(misuse.path)
    let marked = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    let bytes = Array(("CPU:0 [LOST 12 EVENTS]\n" + marked.joined(separator: "\n")).utf8)
    let (report, _) = try TraceCheck.check(bytes: bytes)
    #expect(report.findings.map(\.rule) == misuse.expected.map { [$0] })
  }
}
