#if CLI
  import ArgumentParser
  import DMATrace
  import DMATraceReplay

  extension ReplayMapping: ExpressibleByArgument {}

  /// `dmatool replay`: what would have been, on another platform.
  struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "replay",
      abstract: "Make a trace's calls again through this package's mappings: what if?",
      discussion: """
        Without options the platform is the traced one as far as the trace shows it, and results
        are compared with what was recorded, in three classes: exact, inferred by a stated rule,
        and undeterminable. Exit status: 0 done and everything determinable agrees, 1 something
        differs, 2 the trace could not be read or there is no such platform.
        """)

    @Argument(help: "The trace.")
    var file: String

    @Option(help: "direct, bounce, iommu-strict or iommu-lazy.")
    var mapping: ReplayMapping?

    @Option(help: "Memory of the machine, for example 6g.")
    var memory: ByteSize?

    @Option(help: "Address bits every device drives.")
    var mask: Int?

    @Option(help: "Bytes of the bounce pool (64m), or `force`: everything bounces.")
    var swiotlb: String?

    @Option(
      help: ArgumentHelp(
        "A file with masks and segment limits (facts.txt); may be given again.", valueName: "file"))
    var limits: [String] = []

    func validate() throws {
      if let mask, !(1...64).contains(mask) {
        throw ValidationError("a mask has 1 to 64 bits")
      }
      if let swiotlb, swiotlb != "force", ByteSize(argument: swiotlb) == nil {
        throw ValidationError("\(swiotlb) is neither a size nor `force`")
      }
    }

    func run() throws {
      var options = ReplayOptions()
      options.mapping = mapping
      if let memory { options.memoryByteCount = memory.byteCount }
      options.maskBits = mask
      if swiotlb == "force" {
        options.isForced = true
        options.mapping = mapping ?? .bounce
      } else if let swiotlb, let size = ByteSize(argument: swiotlb) {
        options.poolByteCount = size.byteCount
      }
      for path in limits { options.limits.add(try CommandFiles.read(path)) }
      let replay: Replay
      do throws(ReplayError) {
        replay = try Replay(file, options: options)
      } catch {
        CommandFiles.complain("dmatool replay: \(error)")
        throw ExitCode(2)
      }
      CommandFiles.write(ReplayText.text(replay))
      for certainty in [ReplayAgreement.Certainty.exact, .inferred] {
        let total = replay.agreement.total(certainty)
        if total.agreed != total.count { throw ExitCode(1) }
      }
    }
  }
#endif
