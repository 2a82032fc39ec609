public import DMA
internal import Glibc
internal import Synchronization

/// What devices can reach although nobody mapped it for them.
public struct VFIOExposure: Equatable, Sendable {
  /// How memory is mapped.
  public let mode: VFIOMachine.Mode
  /// Bytes that stay reachable whether they are mapped or not.
  public let permanentByteCount: UInt64
  /// In how many pieces the kernel has them.
  public let pieceCount: Int
  /// Of these, bytes that no buffer has now: reachable without any reason.
  public let idleByteCount: UInt64
  /// Requirements that this mode does not hold, with what it means.
  public let requirementsNotHeld: [String]

  /// Lines for people.
  public var lines: [String] {
    switch mode {
    case .perCall:
      [
        "perCall: \(permanentByteCount) bytes stay reachable, the reserve for atomic context;"
          + " R3, R4 and R77 hold"
      ]
    case .arena:
      [
        "arena: \(permanentByteCount) bytes in \(pieceCount) pieces stay reachable for the"
          + " device, mapped or not; \(idleByteCount) of them are in no buffer now"
      ] + requirementsNotHeld.map { "  not held: " + $0 }
    }
  }
}

extension VFIOMachine {
  /// What devices can reach although nobody mapped it for them, counted now.
  public var exposure: VFIOExposure {
    switch host.configuration.mode {
    case .perCall:
      let reserve = UInt64(host.configuration.reserveByteCount)
      return VFIOExposure(
        mode: .perCall, permanentByteCount: reserve, pieceCount: reserve == 0 ? 0 : 1,
        idleByteCount: reserve, requirementsNotHeld: [])
    case .arena:
      return VFIOExposure(
        mode: .arena, permanentByteCount: UInt64(reachableByteCount), pieceCount: entryCount,
        idleByteCount: freeByteCount,
        requirementsNotHeld: [
          "R3: entries exist for all memory, not only for live mappings",
          "R4: a device reaches memory after its unmap",
          "R77: a device can write what is mapped for reading",
        ])
    }
  }

  /// What a refusal of this machine's memory or mapping really was: the kernel's limit, with what
  /// there is, what is needed and what helps.
  public func explain(_ error: DMAError) -> VFIOError {
    let state = unsafe host.state
    let code = Int32(unsafe state.pointee.refusalCode.load(ordering: .relaxed))
    let byteCount = UInt64(unsafe state.pointee.refusalByteCount.load(ordering: .relaxed))
    switch error {
    case .machine(let code) where code == Int(ECHILD): return .forked
    case .outOfMemory where code == ENOMEM:
      let refused = MemoryLock.error(code: ENOMEM, call: "VFIO_IOMMU_MAP_DMA", need: byteCount)
      return refused
    case .outOfAddressSpace where code == ENOSPC:
      return .mappingEntries(have: entriesAvailable ?? 0, need: 1)
    case .outOfAddressSpace(let byteCount, let limit):
      let plan = AddressPlan(ranges: addressRanges)
      let need = UInt64(byteCount)
      let last = unsafe state.pointee.lastAddress
      if limit < last { return .mask(have: limit, need: need) }
      return .aperture(have: plan.longest, need: need)
    case .outOfReach(_, let last, let mask): return .mask(have: mask.rawValue, need: last.rawValue)
    case .unsupportedMask(let mask, let required):
      return .mask(have: mask.rawValue, need: required.rawValue)
    default: return .dma(error)
    }
  }

  /// Memory that is not any more what devices were given: replaced by another mapping of the
  /// process while it was in use.
  ///
  /// A device goes on using the old pages: neither side notices.
  public struct ReplacedMemory: Equatable, Sendable {
    /// The first byte that is other memory now.
    public let cpuAddress: UInt
    /// Bytes of the whole range.
    public let byteCount: UInt64
    /// Memory from elsewhere that was pinned; otherwise the machine's own.
    public let isPinned: Bool
  }

  /// Looks whether any memory that devices use was replaced in this process, or is not there
  /// because the process is a fork.
  ///
  /// - Throws: `VFIOError.forked`.
  public func auditMemory() throws(VFIOError) -> [ReplacedMemory] {
    try host.auditMemory()
  }

  /// How much pinned memory turned out to be replaced when it was unpinned.
  public var replacedPinCount: Int { host.replacedCount.load(ordering: .relaxed) }
}
