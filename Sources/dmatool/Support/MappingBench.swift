#if CLI
  internal import DMA
  internal import DMAMapping
  internal import PCI
  internal import VFIOMachine

  /// A mapping for one device of a machine, and what it can tell afterwards.
  struct MappingBench {
    let mapping: DMAMapping
    private let bounce: BounceMapping?
    private let domain: IOMMUDomain?
    private let unit: VTDUnit?
    private let vfio: VFIOMachine?

    /// The mapping that a VFIO machine was opened with.
    init(_ machine: VFIOMachine) {
      mapping = machine.mapping
      vfio = machine
      (bounce, domain, unit) = (nil, nil, nil)
    }

    /// - Parameters:
    ///   - limit: the device's mask: a bounce pool lies within it, and below 4 GiB.
    ///   - iommu: the registers of the machine's unit, for `kind` iommu.
    ///   - interruptPage: memory where the device's interrupts arrive; nil where none does.
    init(
      _ kind: MappingKind, _ invalidation: InvalidationKind, _ platform: Platform,
      address: PCIAddress, limit: DMAMask, iommu: RegisterWindow?,
      interruptPage: ClosedRange<UInt64>?
    ) throws(DMAError) {
      vfio = nil
      switch kind {
      // The last two are refused where options are read.
      case .direct, .percall, .arena:
        mapping = DirectMapping.make(for: platform)
        (bounce, domain, unit) = (nil, nil, nil)
      case .bounce:
        var options = BounceMapping.Options()
        options.limit = limit.rawValue < DMAMask.bits32.rawValue ? limit : .bits32
        let bounce = try BounceMapping(platform: platform, options: options)
        mapping = bounce.mapping
        self.bounce = bounce
        (domain, unit) = (nil, nil)
      case .iommu:
        // ENODEV.
        guard let iommu else { throw .machine(code: 19) }
        let unit = try VTDUnit(registers: iommu, platform: platform)
        var options = IOMMUDomain.Options()
        if invalidation == .deferred { options.invalidation = .deferred() }
        let domain = try IOMMUDomain(platform: platform, unit: unit.unit, options: options)
        if let interruptPage { try domain.mapIdentity(interruptPage, .fromDevice) }
        try domain.attach(requester: UInt16(truncatingIfNeeded: address.packed))
        mapping = domain.mapping
        self.unit = unit
        self.domain = domain
        bounce = nil
      }
    }

    /// Bytes that were copied into and out of bounce buffers.
    var bouncedByteCount: UInt64 {
      guard let bounce else { return 0 }
      return bounce.statistics.bytesIn + bounce.statistics.bytesOut
    }

    /// Commands given to the IOMMU.
    var invalidationCount: Int { unit?.invalidationCount ?? 0 }

    /// Table entries of mappings that are live.
    var liveEntryCount: Int { domain?.validEntryCount ?? vfio?.entryCount ?? 0 }

    /// A line of its own about what was copied or translated; empty for direct.
    func summary(of kind: MappingKind) -> String {
      switch kind {
      case .direct: ""
      case .percall, .arena:
        vfio.map { "\n" + $0.exposure.lines.joined(separator: "\n") } ?? ""
      case .bounce: "\n\(bouncedByteCount) bytes copied through bounce buffers"
      case .iommu:
        "\n\(invalidationCount) commands to the IOMMU, \(liveEntryCount) translation entries left"
      }
    }
  }
#endif
