#if CLI
  import ArgumentParser
  internal import DMA
  internal import PCI
  internal import VFIOMachine

  /// Where a device is, and what stands between it and memory: for every verb that runs a driver.
  struct MachineOptions: ParsableArguments {
    @Option(help: "Where the device is: \(MachineKind.usage).")
    var machine: MachineKind = .simulated

    @Option(
      name: .customLong("mapping"),
      help: "What stands between the device and memory; direct, over VFIO percall, when left out.")
    var chosenMapping: MappingKind?

    @Option(help: "When the IOMMU forgets what was unmapped.")
    var iommu: InvalidationKind = .strict

    @Option(
      name: .customLong("memory"),
      help: "How much memory the machine has; 6G, over VFIO 64M, vfio-user 256M, when left out.")
    var chosenMemory: ByteSize?

    @Option(help: "How many address bits the device drives; as many as it has when left out.")
    var mask: Int?

    @Option(help: "Where buffers lie: within the mask, or as high as possible.")
    var placement: PlacementKind?

    @Flag(help: "Wait for message interrupts instead of polling.")
    var interrupt = false

    @Option(help: "Seed of the simulated machine.")
    var seed: UInt64 = 1

    @Option(help: "How to write the result.")
    var format: OutputFormat = .text

    @OptionGroup(title: "Checking") var checkOption: CheckOption

    /// What stands between the device and memory.
    var mapping: MappingKind {
      if let chosenMapping { return chosenMapping }
      if case .vfio = machine { return .percall }
      return .direct
    }

    /// How much memory the machine has.
    var memory: ByteSize {
      if let chosenMemory { return chosenMemory }
      switch machine {
      case .vfio: return ByteSize(64 << 20)
      case .vfioUser: return ByteSize(256 << 20)
      case .simulated, .qemu: return ByteSize(6 << 30)
      }
    }

    func validate() throws {
      let isReal = if case .vfio = machine { true } else { false }
      if isReal != (mapping == .percall || mapping == .arena) {
        throw ValidationError(
          isReal
            ? "--mapping \(mapping.rawValue): a device of this host takes percall or arena"
            : "--mapping \(mapping.rawValue): only --machine vfio:ADDRESS takes it")
      }
      if case .vfioUser = machine, mapping == .iommu {
        throw ValidationError(
          "--mapping iommu: a device behind vfio-user has no IOMMU; take direct or bounce")
      }
      if let mask, !(1...64).contains(mask) {
        throw ValidationError("--mask takes 1 to 64 bits, not \(mask)")
      }
    }
  }

  /// Which machine a verb runs on.
  enum MachineKind: Equatable, ExpressibleByArgument, CustomStringConvertible {
    /// A machine inside this process.
    case simulated
    /// QEMU's own device models, without a guest.
    case qemu
    /// A device of this host, through Linux's VFIO.
    case vfio(PCIAddress)
    /// A device that another program serves at this UNIX socket.
    case vfioUser(path: String)

    /// What `--machine` takes.
    static var usage: String {
      "simulated, qemu for QEMU's own device models, vfio:0000:00:02.0 for one of this host, or "
        + "vfio-user:PATH for one that another program serves at a UNIX socket"
    }

    init?(argument: String) {
      switch argument {
      case "simulated": self = .simulated
      case "qemu": self = .qemu
      case _ where argument.hasPrefix("vfio-user:"):
        let path = String(argument.dropFirst("vfio-user:".count))
        guard !path.isEmpty else { return nil }
        self = .vfioUser(path: path)
      default:
        guard argument.hasPrefix("vfio:"), let address = PCIAddress(String(argument.dropFirst(5)))
        else { return nil }
        self = .vfio(address)
      }
    }

    /// The word that `--machine` takes and results carry.
    var description: String {
      switch self {
      case .simulated: "simulated"
      case .qemu: "qemu"
      case .vfio(let address): "vfio:\(address)"
      case .vfioUser(let path): "vfio-user:\(path)"
      }
    }

    var defaultValueDescription: String { description }
    static var allValueStrings: [String] {
      ["simulated", "qemu", "vfio:ADDRESS", "vfio-user:PATH"]
    }
  }

  /// What stands between a device and memory.
  enum MappingKind: String, ExpressibleByArgument, CaseIterable {
    case direct, bounce, iommu
    /// VFIO: a call of the kernel's for each map and unmap.
    case percall
    /// VFIO: everything is mapped once.
    case arena
  }

  /// When an IOMMU forgets what was unmapped.
  enum InvalidationKind: String, ExpressibleByArgument, CaseIterable {
    case strict, deferred
  }

  /// Where a verb's buffers lie.
  enum PlacementKind: String, ExpressibleByArgument, CaseIterable {
    /// Where the device's mask reaches.
    case low
    /// As high as the machine has memory.
    case high
  }

  /// How results are written.
  enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
  }
#endif
