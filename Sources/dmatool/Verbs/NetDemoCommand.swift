#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import PCI

  /// `dmatool net demo`: the document's card, sending and receiving.
  struct NetDemoCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "demo",
      abstract: "Sends and receives with the DMA-mapping document's network card, and explains.",
      discussion: """
        Exit code: 0 every frame arrived whole, 1 one did not or the card failed, 2 bad input.
        """)

    @Option(help: "How many frames of each kind.")
    var count = 1000

    @OptionGroup(title: "Machine and mapping") var options: MachineOptions

    func validate() throws {
      guard count > 0 else { throw ValidationError("--count takes at least 1") }
    }

    func drive() throws -> Checking {
      let bench = try NetBench(options)
      let machine = bench.machine
      if options.format == .text {
        print(
          """
          The card, at \(machine.device.address), drives \(machine.mask.bitCount) bits of address. \
          Two rings of 256 descriptors lie in coherent
          memory; 256 receive buffers are mapped from device all the time. Mapping: \
          \(options.mapping.rawValue).
          """)
      }
      var phases: [NetPhase] = []
      do throws(NetworkCardError) {
        for phase in [
          NetPhase(.send), NetPhase(.receiveShort), NetPhase(.receiveLong),
        ] {
          phases.append(try phase.run(bench, count, seed: options.seed))
          if options.format == .text, let last = phases.last {
            print("\n\(phases.count). \(last.text(count))")
          }
        }
      } catch {
        throw Failure.failed(error.description)
      }
      let wrong = phases.reduce(0) { $0 + $1.wrongCount }
      report(bench, phases, wrong)
      guard wrong == 0 else { throw ExitCode(1) }
      return bench.machine.checking
    }

    private func report(_ bench: NetBench, _ phases: [NetPhase], _ wrong: Int) {
      let counts = bench.counter.counts
      let frames = bench.card.counters
      let mapping = bench.machine.mapping
      switch options.format {
      case .text:
        var table = TextTable(["event", "count", "what it means"], rightAligned: [1])
        table.add(["map", "\(counts.maps)", "256 receive buffers first; then one a frame at most"])
        table.add(["unmap", "\(counts.unmaps)", "buffers that left with a frame"])
        table.add([
          "sync", "\(counts.syncs)", "looks at a header or a short frame, and handing back",
        ])
        table.add(["still mapped", "\(counts.live)", "the receive ring's buffers"])
        table.add([
          "refused", "\(frames.refused)", "bad frames: their buffers stayed with the card",
        ])
        print("\n\(table.text)\(mapping.summary(of: options.mapping))")
      case .json:
        print(
          "{\"machine\":\"\(options.machine)\",\"mapping\":\"\(options.mapping.rawValue)\","
            + "\"frames\":\(count),\"wrong\":\(wrong),\"sent\":\(frames.sent),"
            + "\"copied\":\(frames.copied),\"passed\":\(frames.passed),"
            + "\"refused\":\(frames.refused),\"maps\":\(counts.maps),\"unmaps\":\(counts.unmaps),"
            + "\"syncs\":\(counts.syncs),\"live\":\(counts.live),"
            + "\"bounced_bytes\":\(mapping.bouncedByteCount),"
            + "\"iommu_commands\":\(mapping.invalidationCount)}")
      }
    }
  }
#endif
