public import ACPI
public import DeviceTree

/// What a machine consists of, whoever described it: a device tree, or the PVH loader's map.
public struct MachineDescription {
  /// Where the PCI configuration space is.
  public enum PCI {
    /// Memory (ECAM), and the windows for devices' registers.
    case memory(PCIHostDescription)
    /// Ports 0xcf8 and 0xcfc (x86); the firmware has placed the devices' registers.
    case ports
  }

  /// Where QEMU's fw_cfg device is.
  public enum FirmwareConfiguration {
    case memory(UInt64)
    case ports(UInt16)
  }

  /// All RAM.
  public var memory: [MemoryRange] = []
  /// Parts of it that are taken: firmware, device tree.
  ///
  /// The image is not among them.
  public var reserved: [MemoryRange] = []
  /// A file that the loader left in memory (Linux's initrd), which is reserved.
  public var initialFile: MemoryRange?
  public var pci: PCI?
  /// VT-d units, which can translate devices' addresses.
  public var remappingUnits: [RemappingUnit] = []
  public var firmwareConfiguration: FirmwareConfiguration?
  /// Ticks of the clock a second.
  public var ticksPerSecond: UInt64 = 0
  /// Whether devices see the CPU's caches.
  public var isCoherent = true
  /// Bytes of a cache line for maintenance; 0 when there is none.
  public var cacheLineByteCount = 0

  public init() {}
}

extension MachineDescription {
  /// The file that the loader left; nil when there is none.
  public var initialFileBytes: RawSpan? {
    @_lifetime(immortal) get {
      guard let range = initialFile,
        let start = unsafe UnsafeRawPointer(bitPattern: UInt(range.start))
      else { return nil }
      // SAFETY: reserved, so that nobody writes it, and never freed.
      return unsafe _overrideLifetime(
        RawSpan(_unsafeStart: start, byteCount: Int(range.byteCount)), copying: ())
    }
  }
}

/// Why a machine could not be brought up.
public enum MachineError: Error {
  case noDescription(at: UInt)
  case deviceTree(DeviceTreeError)
  case acpi(ACPIError)
  case noMemory
  case noClock
  /// Devices do not see the cache, and the CPU cannot maintain it by address.
  case noCacheMaintenance
  /// The CPU's address space does not reach this far.
  case unreachable(MemoryRange)

  /// What is missing.
  public var description: String {
    switch self {
    case .noDescription(let address): "no machine description at 0x\(String(address, radix: 16))"
    case .deviceTree(let error): error.description
    case .acpi(let error): error.description
    case .noMemory: "the description names no usable memory"
    case .noClock: "the description names no clock"
    case .noCacheMaintenance: "the CPU cannot maintain its cache by address"
    case .unreachable(let range): "no way to address 0x\(String(range.start, radix: 16))"
    }
  }
}
