public import PCI

/// What Linux tells of a PCI function in sysfs.
public struct PCIFunctionRecord: Equatable, Sendable {
  /// A base address register that has a size.
  public struct BAR: Equatable, Sendable {
    public let index: Int
    public let start: UInt64
    public let byteCount: UInt64
    /// Registers in memory; otherwise I/O ports.
    public let isMemory: Bool
    public let isPrefetchable: Bool
  }

  public let address: PCIAddress
  public let vendorID: UInt16
  public let deviceID: UInt16
  /// Class, subclass and programming interface in 24 bits.
  public let classCode: UInt32
  /// nil when none drives it.
  public let driver: String?
  /// nil when it is behind no IOMMU.
  public let group: Int?
  /// Bits of the mask that the kernel's driver set for streaming mappings.
  public let maskBitCount: Int?
  /// The same for consistent memory.
  public let consistentMaskBitCount: Int?
  public let bars: [BAR]
  public let hasReset: Bool

  /// The function's record; nil when there is no such function.
  public init?(_ address: PCIAddress, in tree: SysfsTree) {
    let folder = "/sys/bus/pci/devices/\(address)"
    guard let vendor = tree.number(folder + "/vendor"), let device = tree.number(folder + "/device")
    else { return nil }
    self.address = address
    vendorID = UInt16(truncatingIfNeeded: vendor)
    deviceID = UInt16(truncatingIfNeeded: device)
    classCode = UInt32(truncatingIfNeeded: tree.number(folder + "/class") ?? 0)
    driver = tree.link(folder + "/driver")
    group = tree.link(folder + "/iommu_group").flatMap { Int($0) }
    maskBitCount = tree.number(folder + "/dma_mask_bits").map { Int($0) }
    consistentMaskBitCount = tree.number(folder + "/consistent_dma_mask_bits").map { Int($0) }
    bars = Self.bars(tree.text(folder + "/resource") ?? "")
    hasReset = tree.exists(folder + "/reset")
  }

  /// The lines of `resource`: start, end and flags in hexadecimal; the first six are BARs
  /// (flags of include/linux/ioport.h: 0x100 ports, 0x200 memory, 0x2000 prefetchable).
  static func bars(_ text: String) -> [BAR] {
    var bars: [BAR] = []
    for (index, line) in text.split(separator: "\n").prefix(6).enumerated() {
      let words = line.split(separator: " ").map { UInt64($0.dropFirst(2), radix: 16) }
      guard words.count == 3, let start = words[0], let end = words[1], let flags = words[2],
        flags & 0x300 != 0, end > start
      else { continue }
      bars.append(
        BAR(
          index: index, start: start, byteCount: end - start + 1, isMemory: flags & 0x200 != 0,
          isPrefetchable: flags & 0x2000 != 0))
    }
    return bars
  }

  /// Every function of the host, in the order of their addresses.
  public static func all(in tree: SysfsTree = SysfsTree()) -> [PCIFunctionRecord] {
    tree.names("/sys/bus/pci/devices").compactMap { name in
      PCIAddress(name).flatMap { PCIFunctionRecord($0, in: tree) }
    }
  }

  /// What the class code says, in a few words (PCI 3.0, appendix D); nil for others.
  public var className: String? {
    switch classCode >> 8 {
    case 0x0100: "SCSI controller"
    case 0x0101: "IDE controller"
    case 0x0104: "RAID controller"
    case 0x0106: "SATA controller"
    case 0x0108: "NVMe controller"
    case 0x0180: "storage controller"
    case 0x0200: "network card"
    case 0x0280: "network controller"
    case 0x0300: "display"
    case 0x0302: "3D controller"
    case 0x0380: "display controller"
    case 0x0401, 0x0403: "audio"
    case 0x0600: "host bridge"
    case 0x0601: "ISA bridge"
    case 0x0604: "PCI bridge"
    case 0x0c03: "USB controller"
    case 0x0c05: "SMBus"
    case 0x0806: "IOMMU"
    case 0x00ff: "unclassified device"
    default: nil
    }
  }

  /// Whether it is a bridge, which never blocks a group.
  public var isBridge: Bool { classCode >> 16 == 0x06 }
}

extension PCIAddress {
  /// An address as Linux writes it, like `0000:00:02.0`; the segment may be left out.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3 else { return nil }
    let ends = parts[parts.count - 1].split(separator: ".", omittingEmptySubsequences: false)
    guard ends.count == 2, let bus = UInt8(parts[parts.count - 2], radix: 16),
      let device = UInt8(ends[0], radix: 16), let function = UInt8(ends[1], radix: 16),
      device < 32, function < 8
    else { return nil }
    var segment: UInt16 = 0
    if parts.count == 3 {
      guard let given = UInt16(parts[0], radix: 16) else { return nil }
      segment = given
    }
    self.init(segment: segment, bus: bus, device: device, function: function)
  }
}
