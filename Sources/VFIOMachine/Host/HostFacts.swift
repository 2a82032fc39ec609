internal import CVFIO
internal import Glibc
internal import PCI

/// What this host says of itself, as far as drivers in user space and traces depend on it.
///
/// Read from files that every user may read; what cannot be read is nil, and never an error.
public struct HostFacts: Sendable {
  /// The kernel's release.
  public var kernelRelease: String?
  public var commandLine: String?
  public var isRoot: Bool
  /// The kernel's IOMMUs, by their names: dmar0, ivhd0, virtio-iommu.
  public var iommuNames: [String]
  public var groupCount: Int
  /// `/dev/vfio/vfio` is there, and this user may use it.
  public var hasContainerFile: Bool
  public var mayUseContainer: Bool
  public var hasVFIODriver: Bool
  public var hasType1: Bool
  public var allowsUnsafeInterrupts: Bool?
  /// Mappings of a container.
  public var entryLimit: Int?
  /// Bytes that may be locked; nil for no limit.
  public var memoryLockLimit: UInt64?
  /// Of 2 MiB; nil when the kernel has none of them.
  public var hugePages: (total: Int, free: Int)?
  /// The kernel's options, when its configuration can be read.
  public var kernelOptions: [String: String]?
  public var hasTracing: Bool
  /// nil when the folder cannot be looked into.
  public var hasDMAEvents: Bool?
  /// What kernel lockdown is set to; nil for none.
  public var lockdown: String?
  public var functions: [PCIFunctionRecord]
  /// Group files this user may use, by group.
  public var usableGroups: Set<Int>

  /// What is true now.
  ///
  /// - Parameter tree: the host's files, or a copy of them.
  public init(_ tree: SysfsTree = SysfsTree()) {
    let release = tree.text("/proc/sys/kernel/osrelease")
    kernelRelease = release
    commandLine = tree.text("/proc/cmdline")
    isRoot = geteuid() == 0
    iommuNames = tree.names("/sys/class/iommu")
    groupCount = tree.names("/sys/kernel/iommu_groups").count
    hasContainerFile = tree.exists("/dev/vfio/vfio")
    mayUseContainer = tree.isUsable("/dev/vfio/vfio")
    hasVFIODriver = tree.exists("/sys/bus/pci/drivers/vfio-pci")
    let type1 = "/sys/module/vfio_iommu_type1"
    hasType1 = tree.exists(type1)
    allowsUnsafeInterrupts = tree.text(type1 + "/parameters/allow_unsafe_interrupts").map {
      $0 == "Y"
    }
    entryLimit = tree.number(type1 + "/parameters/dma_entry_limit").map { Int(clamping: $0) }
    memoryLockLimit = MemoryLock.limit
    let huge = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    hugePages = tree.number(huge + "/nr_hugepages").map { total in
      (Int(total), Int(tree.number(huge + "/free_hugepages") ?? 0))
    }
    kernelOptions = release.flatMap { tree.text("/boot/config-" + $0) }.map(Self.options)
    hasTracing = tree.exists("/sys/kernel/tracing")
    // An empty folder is one that may not be looked into, or nothing is mounted there.
    let events = tree.names("/sys/kernel/tracing/events")
    hasDMAEvents = events.isEmpty ? nil : events.contains("dma")
    lockdown = tree.text("/sys/kernel/security/lockdown").flatMap(Self.chosen)
    functions = PCIFunctionRecord.all(in: tree)
    usableGroups = Set(
      tree.names("/dev/vfio").compactMap { Int($0) }.filter { tree.isUsable("/dev/vfio/\($0)") })
  }

  /// `CONFIG_X=y` lines.
  static func options(_ text: String) -> [String: String] {
    var options: [String: String] = [:]
    for line in text.split(separator: "\n") where line.hasPrefix("CONFIG_") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      options[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    return options
  }

  /// The word in brackets of `none [integrity] confidentiality`; nil for none.
  static func chosen(_ text: String) -> String? {
    guard let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") else {
      return nil
    }
    let word = String(text[text.index(after: open)..<close])
    return word == "none" ? nil : word
  }
}
