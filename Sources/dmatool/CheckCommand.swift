#if CLI
  import ArgumentParser
  import DMATrace

  struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "check", abstract: "x")
    @Argument var files: [String]
    func run() throws {
      for file in files {
        let (r, c) = try TraceCheck.check(file)
        print(r.trace.lines, r.trace.events, r.trace.badLines, r.trace.firstBadLines, r.trace.eventCounts, r.unknown)
        for f in r.findings { print(f.rule, f.line, c.devices.name(f.device)) }
      }
    }
  }
#endif
