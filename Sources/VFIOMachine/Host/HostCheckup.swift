public import PCI

/// One thing that a driver in user space or a trace depends on, and how this host stands.
public struct HostCheck: Equatable, Sendable {
  /// How bad it is.
  public enum State: String, Sendable {
    /// As it should be.
    case ok
    /// Works, with less than there could be.
    case limited
    /// Stands in the way.
    case blocked
    /// Cannot be seen from here.
    case unknown
  }

  /// What it is about, in a word or two.
  public let topic: String
  public let state: State
  public let have: String
  /// Empty when nothing is missing.
  public let need: String
  /// The command that changes it; empty when nothing is missing.
  public let fix: String

  init(_ topic: String, ok have: String) {
    self.init(topic, .ok, have, "", "")
  }

  init(_ topic: String, _ state: State, _ have: String, _ need: String, _ fix: String) {
    self.topic = topic
    self.state = state
    self.have = have
    self.need = need
    self.fix = fix
  }
}

/// What this host can do, and what stands in the way.
public struct HostCheckup {
  let facts: HostFacts

  public init(_ facts: HostFacts) { self.facts = facts }

  /// Everything, the host first and then each of `devices`.
  public func checks(devices: [PCIAddress] = []) -> [HostCheck] {
    [
      iommu, vfioDriver, containerFile, interruptRemapping, entryLimit, memoryLock, hugePages,
      kernelOptions, traceEvents,
    ] + devices.flatMap(checks(of:))
  }

  // MARK: The host

  var iommu: HostCheck {
    if facts.groupCount > 0 {
      let names = facts.iommuNames.isEmpty ? "" : facts.iommuNames.joined(separator: ", ") + ", "
      return HostCheck("IOMMU", ok: "\(names)\(facts.groupCount) groups")
    }
    guard facts.iommuNames.isEmpty else {
      return HostCheck(
        "IOMMU", .limited, "\(facts.iommuNames.joined(separator: ", ")), 0 groups",
        "a group for each device that is to be driven",
        "give the device to vfio-pci: some IOMMUs make its group then")
    }
    let isAsked = facts.commandLine.map {
      $0.contains("intel_iommu=on") || $0.contains("amd_iommu")
    }
    return HostCheck(
      "IOMMU", .blocked, "none, 0 groups",
      "VT-d, AMD-Vi or an SMMU, on in the firmware and in the kernel",
      isAsked == true
        ? "turn VT-d or AMD-Vi on in the firmware's settings"
        : "boot with intel_iommu=on (AMD: on by default); without one only UIO is left, unprotected"
    )
  }

  var vfioDriver: HostCheck {
    guard facts.hasVFIODriver && facts.hasType1 else {
      return HostCheck(
        "VFIO driver", .blocked,
        facts.hasVFIODriver ? "vfio-pci without vfio_iommu_type1" : "vfio-pci is not loaded",
        "vfio-pci and vfio_iommu_type1", "sudo modprobe -a vfio-pci vfio_iommu_type1")
    }
    return HostCheck("VFIO driver", ok: "vfio-pci, type 1")
  }

  var containerFile: HostCheck {
    guard facts.hasContainerFile else {
      return HostCheck(
        "/dev/vfio/vfio", .blocked, "not there", "the file", "sudo modprobe vfio-pci")
    }
    guard facts.mayUseContainer else {
      return HostCheck(
        "/dev/vfio/vfio", .blocked, "not for this user", "reading and writing it",
        "sudo chmod 666 /dev/vfio/vfio")
    }
    return HostCheck("/dev/vfio/vfio", ok: "usable")
  }

  var interruptRemapping: HostCheck {
    switch facts.allowsUnsafeInterrupts {
    case nil:
      HostCheck(
        "interrupts", .unknown, "vfio_iommu_type1 is not loaded", "to see its setting",
        "sudo modprobe vfio_iommu_type1")
    case true:
      HostCheck(
        "interrupts", .limited,
        "allow_unsafe_interrupts=Y: a device may forge interrupts where they are not remapped",
        "remapping of interrupts",
        "echo N > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    default: HostCheck("interrupts", ok: "only remapped ones")
    }
  }

  /// The kernel's default (drivers/vfio/vfio_iommu_type1.c).
  private static let usualEntryLimit = 65535

  var entryLimit: HostCheck {
    guard let limit = facts.entryLimit else {
      return HostCheck(
        "mapping entries", .unknown, "vfio_iommu_type1 is not loaded", "to see its setting",
        "sudo modprobe vfio_iommu_type1")
    }
    guard limit >= Self.usualEntryLimit else {
      return HostCheck(
        "mapping entries", .limited, "\(limit) at once", "\(Self.usualEntryLimit) as usual",
        "echo \(Self.usualEntryLimit) > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit")
    }
    return HostCheck("mapping entries", ok: "\(limit) at once")
  }

  /// What a machine has unless told otherwise.
  private static let usualMemory = VFIOMachine.Configuration().memoryByteCount

  var memoryLock: HostCheck {
    guard let limit = facts.memoryLockLimit else {
      return HostCheck("locked memory", ok: "no limit")
    }
    if facts.isRoot {
      return HostCheck("locked memory", ok: "\(limit) bytes, which root may exceed")
    }
    guard limit >= Self.usualMemory else {
      return HostCheck(
        "locked memory", .limited, "\(limit) bytes",
        "\(Self.usualMemory) bytes for a machine's usual memory",
        "ulimit -l \(Self.usualMemory / 1024) (or a memlock line in /etc/security/limits.conf)")
    }
    return HostCheck("locked memory", ok: "\(limit) bytes")
  }

  var hugePages: HostCheck {
    let need = Int(Self.usualMemory / PagePool.hugeByteCount)
    let fix = "echo \(need) | sudo tee /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    guard let pages = facts.hugePages else {
      return HostCheck(
        "huge pages", .limited, "none of 2 MiB in this kernel", "CONFIG_HUGETLBFS",
        "use another kernel")
    }
    guard pages.free >= need else {
      return HostCheck(
        "huge pages", .limited, "\(pages.free) free of \(pages.total), 2 MiB each",
        "\(need) for a machine's usual memory", fix)
    }
    return HostCheck("huge pages", ok: "\(pages.free) free of \(pages.total), 2 MiB each")
  }

  var kernelOptions: HostCheck {
    guard let options = facts.kernelOptions else {
      return HostCheck(
        "kernel options", .unknown, "no readable /boot/config-\(facts.kernelRelease ?? "?")",
        "to look into it", "zcat /proc/config.gz | grep VFIO")
    }
    let wanted = ["CONFIG_VFIO_PCI", "CONFIG_VFIO_IOMMU_TYPE1", "CONFIG_VFIO_GROUP"]
    // Kernels before 6.6 have groups without an option for them.
    let missing = wanted.filter {
      options[$0] == nil && ($0 != "CONFIG_VFIO_GROUP" || options["CONFIG_VFIO_DEVICE_CDEV"] != nil)
    }
    guard missing.isEmpty else {
      return HostCheck(
        "kernel options", .blocked, "no " + missing.joined(separator: ", "),
        wanted.joined(separator: ", "), "use a kernel that has them, such as Debian's")
    }
    return HostCheck(
      "kernel options", ok: wanted.filter { options[$0] != nil }.joined(separator: ", "))
  }

  var traceEvents: HostCheck {
    if let mode = facts.lockdown {
      return HostCheck(
        "trace events", mode == "confidentiality" ? .blocked : .limited, "lockdown=\(mode)",
        "tracing for `dmatool record`", "boot without lockdown=\(mode)")
    }
    switch facts.hasDMAEvents {
    case true: return HostCheck("trace events", ok: "dma:* for `dmatool record`")
    case false:
      return HostCheck(
        "trace events", .blocked, "kernel \(facts.kernelRelease ?? "?") without dma:* events",
        "6.12 or newer for `dmatool record`", "use a newer kernel")
    default:
      return HostCheck(
        "trace events", .unknown,
        facts.hasTracing ? "/sys/kernel/tracing cannot be looked into" : "no tracefs",
        "root for `dmatool record`",
        facts.isRoot ? "mount -t tracefs nodev /sys/kernel/tracing" : "sudo dmatool doctor")
    }
  }
}
