internal import MachineMemory
internal import DMA

/// A DMA-remapping unit as Intel's VT-d specification has it, and QEMU's `intel-iommu`: legacy
/// mode, second-level tables, invalidation by registers and by queue, fault records.
///
/// It walks the tables in RAM and caches what it finds. What is cached stays in force until the
/// driver invalidates it: a device can use memory that was unmapped a moment ago, as on hardware.
@safe
final class VTDUnit {
  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<VTDState>

  /// What a request for memory comes to.
  enum Answer {
    /// The physical address, how many bytes are there up to the page's end, and whether the
    /// tables do not say so any more.
    case physical(UInt64, byteCount: Int, isStale: Bool)
    case fault(VTDFault)
  }

  init(
    memory: PhysicalMemory, interrupts: InterruptController, addressWidth: Int, isCoherent: Bool
  ) throws(SimulatedMachineError) {
    guard
      let fresh = VTDState(
        memory: memory, interrupts: interrupts, addressWidth: addressWidth,
        isCoherent: isCoherent)
    else { throw .host(code: 12) }
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one state.
    unsafe state.initialize(to: fresh)
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  // SAFETY of every access to `state`: it lives as long as this object, and the lock is held.

  func readRegister(_ offset: Int, _ byteCount: Int) -> UInt64 {
    lock.withLock { unsafe state.pointee.read(offset, byteCount) }
  }

  func writeRegister(_ offset: Int, _ byteCount: Int, _ value: UInt64) {
    lock.withLock { unsafe state.pointee.write(offset, byteCount, value) }
  }

  /// Translates the first bytes of a request; nil while translation is off.
  func translate(_ requester: UInt16, _ address: UInt64, isWrite: Bool) -> Answer? {
    lock.withLock { unsafe state.pointee.translate(requester, address, isWrite: isWrite) }
  }
}

// SAFETY: the state is only touched with the lock held.
extension VTDUnit: @unchecked Sendable {}

/// Everything a remapping unit remembers.
struct VTDState: ~Copyable {
  let walk: TableWalk
  let interrupts: InterruptController
  /// The register file, in words of 32 bits.
  var words = [UInt32](repeating: 0, count: VTDRegister.windowByteCount / 4)
  var isEnabled = false
  var isQueueEnabled = false
  /// The root table in use, which is not the register until the driver says so.
  var root: UInt64 = 0
  /// What was found of each function of bus 0; stays until invalidated.
  var contexts = [TableWalk.Context?](repeating: nil, count: DeviceSlots.count)
  var translations: TranslationCache
  var nextFault = 0

  init?(
    memory: PhysicalMemory, interrupts: InterruptController, addressWidth: Int, isCoherent: Bool
  ) {
    guard let translations = TranslationCache() else { return nil }
    walk = TableWalk(memory: memory, addressWidth: addressWidth)
    self.interrupts = interrupts
    self.translations = translations
    self[VTDRegister.version] = 0x10
    // 65536 domains; 3-level tables, 4-level ones too at 48 bits; pages of 2 MiB and 1 GiB;
    // page-selective invalidation of up to 2^18 pages; reads and writes are drained.
    var capability: UInt64 = 6 | 1 << 9 | UInt64(addressWidth - 1) << 16
    if addressWidth == 48 { capability |= 1 << 10 }
    capability |= UInt64(VTDRegister.faultRecords / 16) << 24
    capability |= UInt64(VTDRegister.faultRecordCount - 1) << 40
    capability |= 3 << 34 | 1 << 39 | 18 << 48 | 3 << 54
    set64(VTDRegister.capability, capability)
    // Queued invalidation, pass-through, and whether table walks see the CPU's caches.
    let extended: UInt64 =
      1 << 1 | 1 << 6 | UInt64(VTDRegister.invalidateAddress / 16) << 8 | (isCoherent ? 1 : 0)
    set64(VTDRegister.extendedCapability, extended)
    self[VTDRegister.faultEventControl] = VTDBit.eventMasked
    self[VTDRegister.invalidationEventControl] = VTDBit.eventMasked
  }

  subscript(_ offset: Int) -> UInt32 {
    get { words[offset / 4] }
    set { words[offset / 4] = newValue }
  }

  func get64(_ offset: Int) -> UInt64 {
    UInt64(self[offset + 4]) << 32 | UInt64(self[offset])
  }

  mutating func set64(_ offset: Int, _ value: UInt64) {
    self[offset] = UInt32(truncatingIfNeeded: value)
    self[offset + 4] = UInt32(truncatingIfNeeded: value >> 32)
  }

  mutating func translate(
    _ requester: UInt16, _ address: UInt64, isWrite: Bool
  ) -> VTDUnit.Answer? {
    guard isEnabled else { return nil }
    switch find(requester, address, isWrite: isWrite) {
    case .success(let answer): return answer
    case .failure(let fault):
      if !fault.isSilent { recordFault(fault.reason, requester, address, isWrite: isWrite) }
      return .fault(fault.reason)
    }
  }

  private mutating func find(
    _ requester: UInt16, _ address: UInt64, isWrite: Bool
  ) -> Result<VTDUnit.Answer, TableWalk.Fault> {
    // Only bus 0 is there; what others would cache is looked up each time.
    let slot = Int(requester)
    let context: TableWalk.Context
    if slot < contexts.count, let cached = contexts[slot] {
      context = cached
    } else {
      switch walk.context(root: root, requester: requester) {
      case .success(let found): context = found
      case .failure(let fault): return .failure(fault)
      }
      if slot < contexts.count { contexts[slot] = context }
    }
    if context.isPassThrough {
      let left = 4096 - Int(address & 4095)
      return .success(.physical(address, byteCount: left, isStale: false))
    }
    if let hit = translations.find(address, domain: context.domain) {
      let needed = isWrite ? TableWalk.write : TableWalk.read
      guard hit.value & needed != 0 else {
        let reason: VTDFault = isWrite ? .writeNotPermitted : .readNotPermitted
        return .failure(TableWalk.Fault(reason, context.isFaultSilent))
      }
      let isStale = !isCurrent(requester, address, isWrite, hit)
      return .success(Self.answer(address, hit.level, hit.value, isStale))
    }
    switch walk.leaf(address, context, isWrite: isWrite) {
    case .success(let leaf):
      translations.insert(
        address, level: leaf.level, value: leaf.value, domain: context.domain)
      return .success(Self.answer(address, leaf.level, leaf.value, false))
    case .failure(let fault): return .failure(fault)
    }
  }

  /// Whether the tables in RAM still say what the cache says.
  private func isCurrent(
    _ requester: UInt16, _ address: UInt64, _ isWrite: Bool, _ hit: (level: Int, value: UInt64)
  ) -> Bool {
    guard case .success(let context) = walk.context(root: root, requester: requester),
      case .success(let leaf) = walk.leaf(address, context, isWrite: isWrite)
    else { return false }
    // The page may have become part of a larger one: what counts is where the address goes.
    return Self.physical(address, leaf.level, leaf.value)
      == Self.physical(address, hit.level, hit.value)
  }

  private static func physical(_ address: UInt64, _ level: Int, _ value: UInt64) -> UInt64 {
    let offsetBits: UInt64 = 1 << TranslationCache.pageShift(level) - 1
    return value & ~offsetBits | address & offsetBits
  }

  private static func answer(
    _ address: UInt64, _ level: Int, _ value: UInt64, _ isStale: Bool
  ) -> VTDUnit.Answer {
    let pageByteCount = Int(1) << Int(TranslationCache.pageShift(level))
    let offset = Int(address) & (pageByteCount - 1)
    return .physical(
      physical(address, level, value), byteCount: pageByteCount - offset, isStale: isStale)
  }
}
