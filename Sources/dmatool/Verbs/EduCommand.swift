#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import PCI

  /// `dmatool edu`: the teaching device.
  struct EduCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "edu", abstract: "Drives QEMU's teaching device.",
      subcommands: [EduCopyCommand.self])
  }

  /// Which machine a verb runs on.
  enum MachineKind: String, ExpressibleByArgument, CaseIterable {
    /// A machine inside this process.
    case simulated
    /// QEMU's own device models, without a guest.
    case qemu
  }

  /// Where a verb's buffers lie.
  enum PlacementKind: String, ExpressibleByArgument, CaseIterable {
    /// Where the device's mask reaches.
    case low
    /// As high as the machine has memory.
    case high
  }

  /// How results are written.
  enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
  }

  /// `dmatool edu copy FILE`: a real file through the device and back.
  struct EduCopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "copy",
      abstract: "Sends a file through the device's buffer and back by DMA, and compares.",
      discussion: """
        The driver's source is the same on every machine. QEMU's device takes 100 ms for each \
        transfer of at most 4095 bytes, so 64 KiB take 3.4 s there.
        Exit code: 0 the bytes are the same, 1 they are not or the transfer failed, 2 bad input.
        """)

    @Argument(help: "The file to send.")
    var file: String

    @Option(help: "Where the device is.")
    var machine: MachineKind = .simulated

    @Option(help: "What stands between the device and memory.")
    var mapping: MappingKind = .direct

    @Option(help: "When the IOMMU forgets what was unmapped.")
    var iommu: InvalidationKind = .strict

    @Option(help: "How much memory the machine has.")
    var memory = ByteSize(6 << 30)

    @Option(help: "How many address bits the device drives.")
    var mask = 28

    @Option(help: "Where the buffers lie: within the mask, or as high as possible.")
    var placement: PlacementKind = .low

    @Option(help: "Seed of the simulated machine.")
    var seed: UInt64 = 1

    @Flag(help: "Wait for the device's message interrupt instead of polling.")
    var interrupt = false

    @Option(help: "How to write the result.")
    var format: OutputFormat = .text

    @OptionGroup(title: "Checking")
    var checkOption: CheckOption

    func validate() throws {
      guard (1...64).contains(mask) else {
        throw ValidationError("--mask takes 1 to 64 bits, not \(mask)")
      }
    }

    func run() throws {
      let bytes: [UInt8]
      do throws(FileError) {
        bytes = try FileBytes.read(file)
      } catch {
        throw Failure.badInput(error.description)
      }
      let bench = try EduBench(
        machine, mapping, iommu, memory: memory, maskBitCount: mask,
        completion: interrupt ? .interrupt : .polling, seed: seed)
      let counter = EventCounter()
      let checking = checkOption.begin(bench.edu.device.dma, with: counter.observer)
      let result: EduCopy.Result
      do throws(EduError) {
        result = try EduCopy.run(
          bench.edu, bytes, placement: placement == .low ? .below(bench.edu.device.dma.mask) : .high
        )
      } catch {
        throw Failure.failed(error.description)
      }
      report(result, counter.counts, bench.mapping)
      let isClean = checking.finish(removing: bench.edu.device.dma)
      guard result.firstDifference == nil, isClean else { throw ExitCode(1) }
    }

    private func report(
      _ result: EduCopy.Result, _ counts: EventCounter.Counts, _ used: MappingBench
    ) {
      let outcome =
        result.firstDifference.map { "different from byte \($0) on" } ?? "identical"
      switch format {
      case .text:
        print(
          """
          \(result.byteCount) bytes through the device and back: \(outcome)
          \(result.transfers) transfers, \(counts.maps) maps, \(counts.unmaps) unmaps, \
          \(counts.live) still mapped, \(Self.milliseconds(result.machineMilliseconds)) ms of the \
          machine's time, mapping \(mapping.rawValue)\(used.summary(of: mapping))
          """)
      case .json:
        print(
          "{\"machine\":\"\(machine.rawValue)\",\"mapping\":\"\(mapping.rawValue)\",\"bytes\":\(result.byteCount),"
            + "\"identical\":\(result.firstDifference == nil),\"transfers\":\(result.transfers),"
            + "\"maps\":\(counts.maps),\"unmaps\":\(counts.unmaps),\"live\":\(counts.live),"
            + "\"bounced_bytes\":\(used.bouncedByteCount),"
            + "\"iommu_commands\":\(used.invalidationCount),"
            + "\"entries_left\":\(used.liveEntryCount),"
            + "\"machine_ms\":\(Self.milliseconds(result.machineMilliseconds))}")
      }
    }

    static func milliseconds(_ value: Double) -> String {
      let tenths = Int((value * 10).rounded())
      return "\(tenths / 10).\(tenths % 10)"
    }
  }

  /// How a verb ends when it cannot do its work: a sentence on standard error, and an exit code.
  enum Failure {
    /// Exit code 2.
    static func badInput(_ message: String) -> any Error { exit(2, message) }
    /// Exit code 1.
    static func failed(_ message: String) -> any Error { exit(1, message) }

    private static func exit(_ code: Int32, _ message: String) -> any Error {
      StandardError.write("dmatool: \(message)\n")
      return ExitCode(code)
    }
  }
#endif
