#if CLI
  import ArgumentParser

  /// The command: each verb is a file of its own.
  @main
  struct DMATool: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "dmatool",
      abstract: "Runs, checks and explains DMA: drivers on simulated and QEMU devices, and traces.",
      subcommands: [
        BenchCommand.self,
        CheckCommand.self,
        CountCommand.self,
        DemoCommand.self,
        DevicesCommand.self,
        DoctorCommand.self,
        EduCommand.self,
        ExportCommand.self,
        FaultCommand.self,
        NVMeCommand.self,
        NetCommand.self,
        RecordCommand.self,
        ReplayCommand.self,
        ReportCommand.self,
        USBCommand.self,
      ]
    )
  }
#else
  @main
  struct DMATool {
    static func main() {
      print("dmatool was built without the CLI trait: build with default traits")
    }
  }
#endif
