#if CLI
  import ArgumentParser
  import DMATrace

  /// `dmatool fault`: which mapping an IOMMU fault is about.
  struct FaultCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "fault",
      abstract: "Tie IOMMU faults in a kernel log (DMAR, AMD-Vi, SMMU) to mappings of a trace.",
      discussion: "Exit status: 0 no fault in the log, 1 faults, 2 a file could not be read.")

    @Option(help: "The kernel's log (dmesg); - is standard input.")
    var dmesg: String

    @Argument(help: "The trace.")
    var trace: String

    @Flag(help: "Replace names and addresses by stable pseudonyms.")
    var redact = false

    func run() throws {
      let log = try CommandFiles.read(dmesg)
      do throws(TraceInputError) {
        let explained = try FaultExplanation.explain(log: log, trace: trace)
        CommandFiles.write(
          FaultExplanation.text(explained.reports, context: explained.context, redact: redact))
        if explained.reports.isEmpty { return }
      } catch {
        CommandFiles.complain("dmatool fault: \(error)")
        throw ExitCode(2)
      }
      throw ExitCode(1)
    }
  }
#endif
