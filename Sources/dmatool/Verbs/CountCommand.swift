#if CLI
  import ArgumentParser
  import DMATrace

  /// `dmatool count`: mappings a trace leaves alive, and bytes per device, as fast as it can be read.
  struct CountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "count",
      abstract: "Count what a text trace maps and leaves mapped; judges nothing (see check).")

    @Argument(help: "A text trace, not packed.")
    var file: String

    @Option(help: "How many threads read it.")
    var threads = 1

    @Option(help: "Count so many times, and print the median and the best time.")
    var `repeat` = 1

    func run() throws {
      do throws(TraceInputError) {
        let (count, times) =
          `repeat` > 1
          ? try LeakCount.measure(file, threads: threads, turns: `repeat`)
          : (try LeakCount.count(file, threads: threads), [])
        var text = ""
        for device in count.devices {
          text +=
            "\(device.name) maps \(device.maps) unmaps \(device.unmaps) bytes \(device.bytes)\n"
        }
        text += "\(count.events) events, \(count.left) left, \(count.odd) odd\n"
        if times.count > 1 {
          let sorted = times.sorted()
          text +=
            "median \(milliseconds(sorted[sorted.count / 2])) ms, "
            + "best \(milliseconds(sorted[0])) ms\n"
        }
        CommandFiles.write(text)
      } catch {
        CommandFiles.complain("dmatool count: \(error)")
        throw ExitCode(2)
      }
    }

    private func milliseconds(_ nanoseconds: UInt64) -> String {
      "\(nanoseconds / 1_000_000).\(nanoseconds / 100_000 % 10)"
    }
  }
#endif
