#if CLI
  import ArgumentParser

  /// `dmatool net`: network cards.
  struct NetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "net", abstract: "Drives network cards.",
      subcommands: [NetDemoCommand.self, NetPingCommand.self])
  }
#endif
