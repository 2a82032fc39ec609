#if CLI
  import ArgumentParser
  internal import DMA
  internal import DMAChecker
  internal import SimulatedMachine
  internal import Synchronization

  /// `--check`, for every verb that runs a driver.
  struct CheckOption: ParsableArguments {
    @Flag(help: "Check every DMA rule while the driver runs; broken ones make the exit code 1.")
    var check = false

    @Option(help: "How to write findings.")
    var checkFormat: FindingFormat = .text

    @Flag(help: "Write CPU addresses in findings.")
    var showAddresses = false
  }

  /// How findings are written.
  enum FindingFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json, sarif
  }

  /// A verb that runs a driver: it is checked when that is asked for.
  protocol DriverCommand: ParsableCommand {
    /// Does the verb's work; the driver has ended when it returns.
    ///
    /// - Returns: the watch over the device.
    func drive() throws -> Checking
  }

  extension DriverCommand {
    mutating func run() throws {
      let isClean = try drive().finish()
      guard isClean else { throw ExitCode(1) }
    }
  }

  /// The watch over a device, from before its driver starts until after it has ended.
  final class Checking {
    private let device: DMADevice
    private let list: FindingList?
    private let format: FindingFormat
    private let options: ReportOptions
    private let observer: DMAObserver?
    private let machine: SimulatedMachine?

    /// Begins to watch, if that is asked for.
    ///
    /// - Parameter machine: the machine, where it tells what devices do on the bus.
    init(_ option: CheckOption, _ device: DMADevice, on machine: SimulatedMachine?) {
      self.device = device
      format = option.checkFormat
      var options = ReportOptions()
      options.showsHostAddresses = option.showAddresses
      self.options = options
      guard option.check else {
        list = nil
        observer = nil
        self.machine = nil
        return
      }
      let list = FindingList()
      self.list = list
      self.machine = machine
      let observer = list.checker.observer(for: device)
      self.observer = observer
      device.setObserver(observer)
      machine?.setAccessObserver { [checker = list.checker] access in
        checker.reportAccess(
          device, address: DMAAddress(rawValue: access.address), byteCount: access.byteCount,
          isWrite: access.isWrite)
      }
      machine?.setIncidentObserver { [checker = list.checker] incident in
        // Every other access was judged when it began.
        guard incident.reason == .busMasterOff else { return }
        checker.reportFault(
          device, address: DMAAddress(rawValue: incident.address),
          byteCount: incident.byteCount, isWrite: incident.isWrite, reason: .notBusMaster)
      }
    }

    deinit {
      machine?.setAccessObserver(nil)
      machine?.setIncidentObserver(nil)
    }

    /// Lets another hear of the device's events too.
    func add(_ other: DMAObserver) {
      device.setObserver(observer.map { .both($0, other) } ?? other)
    }

    /// Ends the device, writes what was found and whether all was seen.
    ///
    /// - Parameter expected: a rule that is broken on purpose, once, and must be found.
    /// - Returns: whether no other rule was broken.
    func finish(expecting expected: CheckRule? = nil) -> Bool {
      guard let list else { return true }
      device.remove()
      let statistics = list.checker.finish()
      let findings = list.findings
      switch format {
      case .text:
        for finding in findings { print(finding.text(options)) }
        print("check: \(statistics.text)")
      case .json:
        for finding in findings { print(finding.json(options)) }
      case .sarif: print(SARIFReport.text(findings, options))
      }
      return findings.map(\.rule) == (expected.map { [$0] } ?? [])
        && statistics.violationCount == UInt64(findings.count)
    }
  }

  /// A checker and what it found.
  final class FindingList {
    private final class Storage: Sendable {
      let findings = Mutex<[Finding]>([])
    }

    private let storage = Storage()
    let checker: DMAChecker

    init(_ options: DMAChecker.Options = DMAChecker.Options()) {
      checker = DMAChecker(options) { [storage] finding in
        storage.findings.withLock { $0.append(finding) }
      }
    }

    var findings: [Finding] { storage.findings.withLock { $0 } }
  }
#endif
