#if CLI
  import ArgumentParser
  import DMATrace
  import Glibc

  /// `dmatool check`: broken DMA rules in traces of Linux kernels.
  struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "check",
      abstract: "Find broken DMA rules in a trace of a Linux kernel (6.12 or newer).",
      discussion: """
        Reads tracefs text (trace, trace_pipe), `trace-cmd report`, `perf script` and trace.dat,
        packed with gzip, xz or zstd or not; `-` is standard input. Only what a trace proves is a
        finding. Exit status: 0 no finding, 1 findings, 2 a trace could not be read.
        """)

    @Argument(help: "Traces to check; - is standard input.")
    var files: [String]

    @Flag(
      help: "The trace covers the whole life of its devices: what is alive at its end is a leak.")
    var complete = false

    @Option(
      help: ArgumentHelp(
        "A file with masks, segment limits or /proc/iomem; may be given again.", valueName: "file"))
    var limits: [String] = []

    @Flag(help: "Replace names and addresses by stable pseudonyms.")
    var redact = false

    @Option(help: "How to write the report: text, json or sarif.")
    var format: OutputFormat = .text

    @Flag(help: "Follow a trace that is being written, and tell findings as they come.")
    var follow = false

    @Flag(help: "The files are one recording, a file for each CPU (per_cpu/cpu*/trace).")
    var merge = false

    @Option(help: "Threads to use: 1, or 2 to read and check at once (where there are two CPUs).")
    var threads: Int?

    @Flag(help: "Print plain counts of the trace instead of checking it.")
    var totals = false

    enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
      case text, json, sarif
    }

    func run() throws {
      var options = CheckOptions()
      options.isComplete = complete
      for path in limits { options.limits.add(try CommandFiles.read(path)) }
      var status: Int32 = 0
      var reports: [(report: CheckReport, context: TraceContext)] = []
      for path in merge ? ["-"] : files {
        do throws(TraceInputError) {
          if totals {
            CommandFiles.write(try TraceCheck.totals(path))
            continue
          }
          let checked = try check(path, options)
          status = max(status, checked.report.exitStatus)
          switch format {
          case .text:
            if files.count > 1 { CommandFiles.write("== \(path)\n") }
            var text = TextReport(checked.report, context: checked.context, redact: redact)
            CommandFiles.write(text.text())
          case .json:
            var json = JSONReport(checked.report, context: checked.context, redact: redact)
            CommandFiles.write(json.text())
          case .sarif: reports.append(checked)
          }
        } catch {
          CommandFiles.complain("dmatool check: \(error)")
          status = 2
        }
      }
      if format == .sarif, !totals {
        CommandFiles.write(SARIFReport(reports, redact: redact).text())
      }
      if status != 0 { throw ExitCode(status) }
    }

    private func check(_ path: String, _ options: CheckOptions) throws(TraceInputError)
      -> (report: CheckReport, context: TraceContext)
    {
      if merge { return try TraceCheck.check(merging: files, options: options) }
      guard follow else {
        return try TraceCheck.check(
          path, options: options, threads: threads ?? min(2, Processors.usable))
      }
      return try TraceCheck.follow(path, options: options, redact: redact) {
        CommandFiles.write($0 + "\n")
      }
    }
  }
#endif
