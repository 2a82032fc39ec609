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

  /// `dmatool edu copy FILE`: a real file through the device and back.
  struct EduCopyCommand: DriverCommand {
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

    @OptionGroup(title: "Machine and mapping") var options: MachineOptions

    func drive() throws -> Checking {
      let bytes: [UInt8]
      do throws(FileError) {
        bytes = try FileBytes.read(file)
      } catch {
        throw Failure.badInput(error.description)
      }
      let bench = try EduBench(options)
      let counter = EventCounter()
      bench.machine.checking.add(counter.observer)
      let result: EduCopy.Result
      do throws(EduError) {
        result = try EduCopy.run(
          bench.edu, bytes, placement: bench.machine.placement)
      } catch {
        throw Failure.failed(error.description)
      }
      report(result, counter.counts, bench.mapping)
      guard result.firstDifference == nil else { throw ExitCode(1) }
      return bench.machine.checking
    }

    private func report(
      _ result: EduCopy.Result, _ counts: EventCounter.Counts, _ used: MappingBench
    ) {
      let outcome =
        result.firstDifference.map { "different from byte \($0) on" } ?? "identical"
      switch options.format {
      case .text:
        print(
          """
          \(result.byteCount) bytes through the device and back: \(outcome)
          \(result.transfers) transfers, \(counts.maps) maps, \(counts.unmaps) unmaps, \
          \(counts.live) still mapped, \(Self.milliseconds(result.machineMilliseconds)) ms of the \
          machine's time, mapping \(options.mapping.rawValue)\(used.summary(of: options.mapping))
          """)
      case .json:
        print(
          "{\"machine\":\"\(options.machine)\",\"mapping\":\"\(options.mapping.rawValue)\",\"bytes\":\(result.byteCount),"
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
