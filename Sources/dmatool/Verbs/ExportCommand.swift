#if CLI
  import ArgumentParser
  import DMATrace

  /// `dmatool export`: a trace in a form other tools read.
  struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "export",
      abstract: "Write a trace as Chrome/Perfetto JSON, CSV, JSON Lines or folded stacks.")

    @Argument(help: "The trace.")
    var file: String

    @Option(
      help: "chrome, csv, jsonl or folded.",
      transform: { name in
        guard let form = ExportForm(rawValue: name) else {
          throw ValidationError("\(name) is none of chrome, csv, jsonl, folded")
        }
        return form
      })
    var format: ExportForm = .chrome

    @Option(
      help: "What folded stacks weigh: count, bytes or byte-seconds.",
      transform: { name in
        guard let weight = FoldedWeight(rawValue: name) else {
          throw ValidationError("\(name) is none of count, bytes, byte-seconds")
        }
        return weight
      })
    var weight: FoldedWeight = .bytes

    @Flag(help: "Replace names and addresses by stable pseudonyms.")
    var redact = false

    func run() throws {
      do throws(TraceInputError) {
        try TraceExport.export(file, as: format, weight: weight, redact: redact) {
          CommandFiles.write($0)
        }
      } catch {
        CommandFiles.complain("dmatool export: \(error)")
        throw ExitCode(2)
      }
    }
  }
#endif
