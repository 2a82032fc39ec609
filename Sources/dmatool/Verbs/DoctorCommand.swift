#if CLI
  import ArgumentParser
  internal import PCI
  internal import VFIOMachine

  /// `dmatool doctor`: what this host can do, and what stands in the way.
  struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "doctor",
      abstract: "Says what this host can do for drivers in user space and for traces.",
      discussion: """
        Whatever stands in the way comes with what there is, what is needed, and the command that \
        changes it. Changes nothing, and needs no privileges.
        Exit code: 0 the report was made, 1 something is blocked and --strict was given, 2 bad input.
        """)

    @Argument(help: "Devices to look at too, by PCI address.")
    var addresses: [String] = []

    @Flag(help: "End with exit code 1 when something stands in the way.")
    var strict = false

    @Option(help: "How to write the report.")
    var format: OutputFormat = .text

    @Option(
      help: ArgumentHelp("Read files below this folder instead of the host's.", visibility: .hidden)
    )
    var root = ""

    func run() throws {
      var devices: [PCIAddress] = []
      for text in addresses {
        guard let address = PCIAddress(text) else {
          throw Failure.badInput("\(text): a PCI address looks like 0000:00:02.0")
        }
        devices.append(address)
      }
      let checks = HostCheckup(HostFacts(SysfsTree(root: root))).checks(devices: devices)
      switch format {
      case .text: Self.write(checks)
      case .json: Self.writeJSON(checks)
      }
      guard !strict || !checks.contains(where: { $0.state == .blocked }) else { throw ExitCode(1) }
    }

    private static func write(_ checks: [HostCheck]) {
      let width = checks.reduce(0) { max($0, $1.topic.utf8.count) }
      for check in checks {
        let state = check.state.rawValue
        let start =
          state + String(repeating: " ", count: 9 - state.utf8.count) + check.topic
          + String(repeating: " ", count: width + 2 - check.topic.utf8.count)
        print(start + check.have)
        guard check.state != .ok else { continue }
        let indent = String(repeating: " ", count: width + 11)
        print(indent + "need: " + check.need)
        print(indent + "fix:  " + check.fix)
      }
      let blocked = checks.count { $0.state == .blocked }
      print(
        blocked == 0
          ? "Nothing stands in the way." : "\(blocked) of \(checks.count) stand in the way.")
    }

    private static func writeJSON(_ checks: [HostCheck]) {
      let rows = checks.map { check in
        "{\"topic\":\(Output.quoted(check.topic)),\"state\":\"\(check.state.rawValue)\","
          + "\"have\":\(Output.quoted(check.have)),\"need\":\(Output.quoted(check.need)),"
          + "\"fix\":\(Output.quoted(check.fix))}"
      }
      print("[" + rows.joined(separator: ",\n ") + "]")
    }
  }
#endif
