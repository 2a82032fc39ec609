#if CLI
  import ArgumentParser
  import DMATrace
  import Glibc

  /// `dmatool record`: a trace of this machine's DMA, with what `check` needs beside it.
  struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "record",
      abstract: "Record this machine's DMA events while a command runs (needs root, Linux 6.12).",
      discussion: """
        Writes trace.txt, facts.txt, stats.txt and dmesg.txt into a directory. It traces in an
        instance of its own and restores everything it touched, also when it is killed.
        --print-script prints a shell script that does the same where dmatool is not installed.
        """)

    @Option(help: "Only devices of this PCI driver.")
    var driver: String?

    @Option(help: "Only this device, by its PCI address.")
    var device: String?

    @Flag(help: "Unbind the driver first and bind it while recording: a whole life.")
    var rebind = false

    @Flag(help: "Record the stack of each call.")
    var stacks = false

    @Option(name: [.customShort("o"), .long], help: "The directory for the files.")
    var output = "dma-trace"

    @Option(help: "Kilobytes of buffer for each CPU.")
    var bufferKb = 16384

    @Flag(help: "Print a shell script that does the same, and do nothing.")
    var printScript = false

    @Argument(parsing: .postTerminator, help: "The command to run; without one until Ctrl-C.")
    var command: [String] = []

    func run() throws {
      var plan = RecordPlan(output: output)
      plan.driver = driver
      plan.device = device
      plan.rebinds = rebind
      plan.stacks = stacks
      plan.bufferKilobytes = bufferKb
      plan.command = command
      let script = RecordScript.text(plan)
      if printScript {
        CommandFiles.write(script)
        return
      }
      // The script is the one implementation: what is printed is what runs.
      var words: [UnsafeMutablePointer<CChar>?] = unsafe []
      for word in ["sh", "-c", script, "dmatool-record"] { unsafe words.append(strdup(word)) }
      unsafe words.append(nil)
      unsafe execv("/bin/sh", words)
      CommandFiles.complain(
        unsafe "dmatool record: cannot run /bin/sh: \(String(cString: strerror(errno)))")
      throw ExitCode(2)
    }
  }
#endif
