#if CLI
  import ArgumentParser
  import DMATrace

  /// `dmatool report`: a trace as one page to look at.
  struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "report",
      abstract: "Make one self-contained HTML page of a trace; redacted unless told otherwise.")

    @Argument(help: "The trace.")
    var file: String

    @Option(name: [.customShort("o"), .long], help: "The page's file; without it standard output.")
    var output: String?

    @Flag(help: "Show names and addresses as they are.")
    var noRedact = false

    @Flag(help: "The trace covers the whole life of its devices.")
    var complete = false

    @Option(
      help: ArgumentHelp(
        "A file with masks, the bounce pool's size or /proc/iomem (facts.txt); may be given again.",
        valueName: "file"))
    var limits: [String] = []

    func run() throws {
      var options = CheckOptions()
      for path in limits { options.limits.add(try CommandFiles.read(path)) }
      options.isComplete = complete
      do throws(TraceInputError) {
        CommandFiles.write(
          try ReportPage.html(file, options: options, redact: !noRedact), to: output)
      } catch {
        CommandFiles.complain("dmatool report: \(error)")
        throw ExitCode(2)
      }
    }
  }
#endif
