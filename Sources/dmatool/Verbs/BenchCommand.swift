#if CLI
  import ArgumentParser
  internal import DMA
  internal import PCI

  /// `dmatool bench`: how long a map and an unmap take, on any machine and mapping.
  struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "bench",
      abstract: "Times map and unmap, as Linux's dma_map_benchmark does for a kernel.",
      discussion: """
        The device is the machine's edu device; nothing is transferred. Every time holds one \
        reading of the clock, which is printed. Exit code: 0 done, 1 failed, 2 bad input.
        """)

    @OptionGroup var options: MachineOptions

    @Option(help: "How many threads map at the same time, each its own buffer.")
    var threads = 1

    @Option(help: "For how long, in seconds.")
    var seconds = 1.0

    @Option(help: "Who writes the memory.")
    var direction: DirectionKind = .bidirectional

    @Option(help: "Pages of 4 KiB that one call maps.")
    var granule = 1

    @Option(help: "Nanoseconds between a map and its unmap.")
    var delay: UInt64 = 0

    func validate() throws {
      guard (1...1024).contains(threads) else {
        throw ValidationError("--threads takes 1 to 1024, not \(threads)")
      }
      guard seconds > 0, seconds <= 300 else {
        throw ValidationError("--seconds takes more than 0 and at most 300, not \(seconds)")
      }
      guard (1...1024).contains(granule) else {
        throw ValidationError("--granule takes 1 to 1024 pages, not \(granule)")
      }
      guard delay <= 1_000_000_000 else {
        throw ValidationError("--delay takes at most 1000000000 ns, not \(delay)")
      }
    }

    func run() throws {
      let bench = try EduBench(options)
      let benchmark = MapBenchmark(
        device: bench.machine.device.dma,
        plan: MapBenchmark.Plan(
          threadCount: threads, nanoseconds: UInt64(seconds * 1e9), byteCount: granule * 4096,
          delayNanoseconds: delay, placement: bench.machine.placement))
      let times: MapBenchmark.Times
      do throws(DMAError) {
        switch direction {
        case .bidirectional: times = try benchmark.run(Bidirectional.self)
        case .toDevice: times = try benchmark.run(ToDevice.self)
        case .fromDevice: times = try benchmark.run(FromDevice.self)
        }
      } catch { throw Failure.failed(error.description) }
      report(times)
    }

    private func report(_ times: MapBenchmark.Times) {
      let rows = [("map", times.map), ("unmap", times.unmap)]
      let clock = Self.tenths(MapBenchmark.clockNanoseconds)
      switch options.format {
      case .text:
        print(
          "\(options.machine), \(options.mapping.rawValue): \(threads) threads,"
            + " \(granule * 4096) bytes, \(direction.rawValue), \(times.map.count) pairs;"
            + " one reading of the clock is \(clock) ns of each time")
        var table = TextTable(
          ["ns", "mean", "deviation", "50 %", "90 %", "99 %", "99.9 %", "most"],
          rightAligned: [1, 2, 3, 4, 5, 6, 7])
        for (name, times) in rows {
          table.add(
            [name, Self.tenths(times.mean), Self.tenths(times.deviation)]
              + [0.5, 0.9, 0.99, 0.999].map { String(times.percentile($0)) }
              + [String(times.largest)])
        }
        print(table.text)
      case .json:
        let parts = rows.map { name, times in
          "\"\(name)\":{\"mean\":\(Self.tenths(times.mean)),"
            + "\"deviation\":\(Self.tenths(times.deviation)),"
            + "\"p50\":\(times.percentile(0.5)),\"p90\":\(times.percentile(0.9)),"
            + "\"p99\":\(times.percentile(0.99)),\"p999\":\(times.percentile(0.999)),"
            + "\"max\":\(times.largest)}"
        }
        print(
          "{\"machine\":\"\(options.machine)\",\"mapping\":\"\(options.mapping.rawValue)\","
            + "\"threads\":\(threads),\"bytes\":\(granule * 4096),"
            + "\"direction\":\"\(direction.rawValue)\",\"pairs\":\(times.map.count),"
            + "\"clock_ns\":\(clock)," + parts.joined(separator: ",") + "}")
      }
    }

    /// One digit behind the point.
    private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
  }

  /// Who writes the memory of a mapping.
  enum DirectionKind: String, ExpressibleByArgument, CaseIterable {
    case bidirectional
    case toDevice = "to-device"
    case fromDevice = "from-device"
  }
#endif
