#if CLI
  import ArgumentParser
  internal import DMA

  /// Where a device is, and what stands between it and memory: for every verb that runs a driver.
  struct MachineOptions: ParsableArguments {
    @Option(help: "Where the device is: \(MachineKind.usage).")
    var machine: MachineKind = .simulated

    @Option(help: "What stands between the device and memory.")
    var mapping: MappingKind = .direct

    @Option(help: "When the IOMMU forgets what was unmapped.")
    var iommu: InvalidationKind = .strict

    @Option(help: "How much memory the machine has.")
    var memory = ByteSize(6 << 30)

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

    func validate() throws {
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

    /// What `--machine` takes.
    static var usage: String { "simulated, or qemu for QEMU's own device models" }

    init?(argument: String) {
      switch argument {
      case "simulated": self = .simulated
      case "qemu": self = .qemu
      default: return nil
      }
    }

    /// The word that `--machine` takes and results carry.
    var description: String {
      switch self {
      case .simulated: "simulated"
      case .qemu: "qemu"
      }
    }

    var defaultValueDescription: String { description }
    static var allValueStrings: [String] { ["simulated", "qemu"] }
  }

  /// What stands between a device and memory.
  enum MappingKind: String, ExpressibleByArgument, CaseIterable {
    case direct, bounce, iommu
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
