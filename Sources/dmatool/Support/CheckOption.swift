#if CLI
  import ArgumentParser
  internal import DMA
  internal import DMAChecker
  internal import Synchronization

  /// `--check`, for every verb that runs a driver.
  struct CheckOption: ParsableArguments {
    @Flag(help: "Check every DMA rule while the driver runs; broken ones make the exit code 1.")
    var check = false

    @Option(help: "How to write findings.")
    var checkFormat: FindingFormat = .text

    @Flag(help: "Write CPU addresses in findings.")
    var showAddresses = false

    /// Watches a device from now on, together with another observer.
    func begin(_ device: DMADevice, with observer: DMAObserver) -> Checking {
      guard check else {
        device.setObserver(observer)
        return Checking(format: checkFormat, options: ReportOptions(), checker: nil)
      }
      var options = ReportOptions()
      options.showsHostAddresses = showAddresses
      let checking = Checking(format: checkFormat, options: options, checker: FindingList())
      if let list = checking.list {
        device.setObserver(.both(list.checker.observer(for: device), observer))
      }
      return checking
    }
  }

  /// How findings are written.
  enum FindingFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json, sarif
  }

  /// A run that is being checked, or not.
  struct Checking {
    let format: FindingFormat
    let options: ReportOptions
    let list: FindingList?

    init(format: FindingFormat, options: ReportOptions, checker: FindingList?) {
      self.format = format
      self.options = options
      list = checker
    }

    /// Ends the device, writes what was found and whether all was seen.
    ///
    /// - Returns: whether no rule was broken.
    func finish(removing device: DMADevice) -> Bool {
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
      return statistics.violationCount == 0
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
