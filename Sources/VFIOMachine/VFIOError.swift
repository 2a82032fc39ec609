public import DMA
public import PCI

/// Why a device cannot be driven from user space, or not as asked for.
///
/// `limit` says what there is, what is needed and what helps. A call that throws has changed
/// nothing.
public enum VFIOError: Error, Equatable, Sendable {
  /// The kernel offers no VFIO: the file is missing.
  case noVFIO(path: String)
  /// The file is there, and this user may not use it.
  case noPermission(path: String)
  /// No such function on this host.
  case noDevice(PCIAddress)
  /// The function is in no IOMMU group: there is no IOMMU, or it is off.
  case noGroup(PCIAddress)
  /// The function belongs to another driver, or to none.
  case wrongDriver(PCIAddress, driver: String?, needed: String)
  /// Others of the group are still driven by the kernel.
  case groupNotViable(group: Int, blockers: [String])
  /// Another process has the group or the function open.
  case deviceInUse(PCIAddress, group: Int)
  /// The IOMMU does not remap interrupts, and nobody said that this is acceptable.
  case unsafeInterrupts
  /// The limit of locked memory, in bytes; `need` counts what is locked already.
  case memoryLock(have: UInt64, need: UInt64)
  /// The kernel's limit of mappings of a container.
  case mappingEntries(have: Int, need: Int)
  /// No range of bus addresses of the IOMMU is long enough.
  case aperture(have: UInt64, need: UInt64)
  /// The device's mask ends before the bus addresses that are free.
  case mask(have: UInt64, need: UInt64)
  /// Bus addresses that the IOMMU keeps for itself: message interrupts, firmware's.
  case reserved(asked: ClosedRange<UInt64>, usable: [ClosedRange<UInt64>])
  /// Not enough free huge pages of 2 MiB.
  case noHugePages(have: Int, need: Int)
  /// The process was forked: memory and device are the parent's.
  case forked
  /// What was asked for cannot be: a retry cannot help.
  case invalidConfiguration(String)
  /// A call of the operating system failed, with its errno; a retry can help.
  case system(call: String, code: Int)
  /// A driver's call failed.
  case dma(DMAError)
}

/// A limit of the host: what there is, what is needed, what helps.
public struct VFIOLimit: Equatable, Sendable {
  /// What the host has.
  public let have: String
  /// What it would need.
  public let need: String
  /// A command or a step that changes it.
  public let fix: String

  init(have: String, need: String, fix: String) {
    self.have = have
    self.need = need
    self.fix = fix
  }
}

extension VFIOError {
  /// What stands in the way, in numbers, and what to do.
  public var limit: VFIOLimit {
    switch self {
    case .noVFIO(let path):
      VFIOLimit(have: "no \(path)", need: "the kernel's VFIO driver", fix: "modprobe vfio-pci")
    case .noPermission(let path):
      VFIOLimit(
        have: "no right to open \(path)", need: "reading and writing it",
        fix: "sudo chown $USER \(path)")
    case .noDevice(let address):
      VFIOLimit(
        have: "no PCI function \(address)", need: "one that is on this host",
        fix: "dmatool devices")
    case .noGroup(let address):
      VFIOLimit(
        have: "no IOMMU group for \(address)", need: "an IOMMU that is on",
        fix: "turn VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on")
    case .wrongDriver(let address, let driver, let needed):
      VFIOLimit(
        have: "driver \(driver ?? "none") on \(address)", need: "driver \(needed)",
        fix: Self.bindCommand(address, driver, needed))
    case .groupNotViable(let group, let blockers):
      VFIOLimit(
        have: "group \(group) with \(blockers.joined(separator: ", ")) driven by the kernel",
        need: "all of the group with vfio-pci or without a driver",
        fix: blockers.map { blocker in
          let address = blocker.prefix { $0 != " " }
          return "echo \(address) > /sys/bus/pci/devices/\(address)/driver/unbind"
        }.joined(separator: "; "))
    case .deviceInUse(let address, let group):
      VFIOLimit(
        have: "\(address) (group \(group)) open in another process", need: "it for this one alone",
        fix: "fuser -v /dev/vfio/\(group)")
    case .unsafeInterrupts:
      VFIOLimit(
        have: "an IOMMU that does not remap interrupts", need: "remapping, or that you accept it",
        fix: "echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    case .memoryLock(let have, let need):
      VFIOLimit(
        have: "\(have) bytes of memory may be locked", need: "\(need) bytes",
        fix: "ulimit -l \((need + 1023) / 1024)")
    case .mappingEntries(let have, let need):
      VFIOLimit(
        have: "\(have) mappings left", need: "\(need)",
        fix: "use the arena mode, or modprobe vfio_iommu_type1 dma_entry_limit=1000000")
    case .aperture(let have, let need):
      VFIOLimit(
        have: "\(have) bytes of bus addresses in one piece", need: "\(need) bytes",
        fix: "ask for less memory")
    case .mask(let have, let need):
      VFIOLimit(
        have: "a device that drives addresses up to 0x\(String(have, radix: 16))",
        need: "0x\(String(need, radix: 16))", fix: "ask for less memory, or set a wider mask")
    case .reserved(let asked, let usable):
      VFIOLimit(
        have: "bus addresses " + usable.map(Self.text).joined(separator: ", "),
        need: Self.text(asked), fix: "choose addresses inside of one of these ranges")
    case .noHugePages(let have, let need):
      VFIOLimit(
        have: "\(have) free huge pages of 2 MiB", need: "\(need)",
        fix: "echo \(need) > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    case .forked:
      VFIOLimit(
        have: "a process made by fork", need: "the process that opened the device",
        fix: "open the device after the fork")
    case .invalidConfiguration(let reason):
      VFIOLimit(have: reason, need: "a configuration that can be", fix: "change it")
    case .system(let call, let code):
      VFIOLimit(have: "\(call): errno \(code)", need: "that it succeeds", fix: "dmatool doctor")
    case .dma(let error):
      VFIOLimit(have: error.description, need: "that it succeeds", fix: "dmatool doctor")
    }
  }

  private static func text(_ range: ClosedRange<UInt64>) -> String {
    "0x\(String(range.lowerBound, radix: 16))-0x\(String(range.upperBound, radix: 16))"
  }

  /// What takes a function from its driver and gives it to another.
  static func bindCommand(_ address: PCIAddress, _ driver: String?, _ needed: String) -> String {
    let folder = "/sys/bus/pci/devices/\(address)"
    let unbind = driver == nil ? "" : "echo \(address) > \(folder)/driver/unbind; "
    return unbind
      + "echo \(needed) > \(folder)/driver_override; echo \(address) > /sys/bus/pci/drivers_probe"
  }
}

extension VFIOError: CustomStringConvertible {
  /// What there is, what is needed and what helps, in one line.
  public var description: String {
    let limit = self.limit
    return "have: \(limit.have); need: \(limit.need); fix: \(limit.fix)"
  }
}
