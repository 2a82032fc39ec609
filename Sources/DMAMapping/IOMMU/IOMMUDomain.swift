public import DMA
internal import Synchronization

/// An address space behind an IOMMU, for one device or for all devices of a bus (R95).
///
/// Each mapping gets bus addresses and table entries of its own for as long as it lives (R3, R4):
/// what is not mapped, a device cannot reach. Entries carry the permission that the direction
/// allows (R77). Attach the devices, then give `mapping` to their `DMADevice`s.
@safe
public final class IOMMUDomain {
  /// When the IOMMU is told to forget what was unmapped.
  public enum Invalidation: Sendable {
    /// At each unmap: after it the device reaches nothing.
    case strict
    /// For many unmaps at once: up to 256 ranges for each thread, or `nanoseconds` after the
    /// first.
    ///
    /// Until then a device can still reach memory that is the CPU's again, and its bus addresses
    /// are not given out again. Time passes on the platform's clock. It is looked at when something
    /// is unmapped and while anybody waits on the machine (`Platform.relax()`, `wait`); a program
    /// that does neither for long calls `flushIfDue()`. A device's `remove()` and `declareQuiet()`
    /// flush at once.
    case deferred(nanoseconds: UInt64 = 10_000_000)
  }

  /// How a domain is set up.
  public struct Options {
    /// Strict unless said otherwise.
    public var invalidation = Invalidation.strict
    /// The highest bus address to use, where the domain's window ends before what the unit
    /// translates.
    public var lastAddress = UInt64.max
    /// Whether devices that reach beyond 4 GiB get addresses below as long as there are any:
    /// some hardware fails with wide ones.
    public var prefersAddressesBelow4GiB = true
    /// Whether threads keep freed addresses at hand.
    public var cachesAddresses = true
    /// Who hears of notices.
    public var notices: MappingNoticeReceiver? = nil

    public init() {}
  }

  let state: UnsafeMutablePointer<DomainState>
  private let unitOwner: AnyObject
  private let noticeOwner: AnyObject?

  /// An empty address space.
  ///
  /// - Throws: `DMAError.outOfMemory` (a retry can help); `DMAError.machine` when the unit has no
  ///   domain left or does not answer.
  public init(
    platform: Platform, unit: IOMMUUnit, options: Options = Options()
  ) throws(DMAError) {
    let fresh = try unsafe DomainState(platform.unsafeCore, unit, options)
    unsafe PlatformCore.hold(platform.unsafeCore)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: fresh)
    unitOwner = unit.owner
    noticeOwner = options.notices?.owner
    guard case .deferred(let nanoseconds) = options.invalidation else { return }
    unsafe PlatformCore.addPoller(
      platform.unsafeCore, every: min(nanoseconds, 1_000_000),
      context: UnsafeMutableRawPointer(state)
    ) { context in
      let state = unsafe context.assumingMemoryBound(to: DomainState.self)
      unsafe state.pointee.queue.flushIfDue(state)
    }
  }

  deinit {
    let platform = unsafe state.pointee.platform
    unsafe PlatformCore.removePoller(platform, context: UnsafeMutableRawPointer(state))
    // The unit forgets the domain before its tables become ordinary memory again. One that does
    // not may still walk them: they stay.
    let status = unsafe state.pointee.unitOperations.pointee.endDomain(
      state.pointee.unitContext, state.pointee.id)
    if status == DMAStatus.success.rawValue { unsafe state.deinitialize(count: 1) }
    unsafe state.deallocate()
    unsafe PlatformCore.drop(platform)
  }

  /// What devices are made with.
  public var mapping: DMAMapping {
    unsafe DMAMapping(
      name: "iommu", operations: iommuOperations, context: UnsafeMutableRawPointer(state),
      owner: self)
  }

  /// Lets a device's accesses go through this domain from now on.
  ///
  /// - Parameter requester: as the bus names it: bus, device and function in 8, 5 and 3 bits.
  /// - Throws: `DMAError.outOfMemory`; `DMAError.machine` when the unit does not answer.
  public func attach(requester: UInt16) throws(DMAError) {
    var numbers = DMAStatusNumbers()
    // SAFETY: the unit outlives the domain; room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe state.pointee.unitOperations.pointee.attach(
        state.pointee.unitContext, state.pointee.id, requester, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
  }

  /// Refuses a device's accesses from now on.
  ///
  /// - Throws: `DMAError.machine` when the unit does not answer.
  public func detach(requester: UInt16) throws(DMAError) {
    var numbers = DMAStatusNumbers()
    // SAFETY: as in attach.
    let status = unsafe numbers.withWords { pointer in
      unsafe state.pointee.unitOperations.pointee.detach(
        state.pointee.unitContext, state.pointee.id, requester, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
  }

  /// Takes bus addresses out of use for good: windows of other devices on the bus, for one.
  ///
  /// Reserve before the first mapping.
  public func reserve(_ addresses: ClosedRange<UInt64>) {
    unsafe state.pointee.space.reserve(addresses)
  }

  /// Makes everything unreachable that was unmapped, and its addresses free.
  ///
  /// From ordinary code.
  public func flush() { unsafe state.pointee.queue.flush(state) }

  /// The same, when the oldest unmapped range has waited for its time.
  public func flushIfDue() { unsafe state.pointee.queue.flushIfDue(state) }
}

extension IOMMUDomain {
  /// Its number, as it stands in fault records.
  public var id: UInt32 { unsafe state.pointee.id }

  /// Table levels: 3 or 4, for those who walk the table.
  public var tableLevels: Int { unsafe state.pointee.table.levels }

  /// Where the root table lies, for those who walk the table.
  public var rootTable: PhysicalAddress {
    PhysicalAddress(rawValue: unsafe state.pointee.table.rootPhysicalAddress)
  }

  /// Entries a device can use now (R3), without those of `mapIdentity`; counted by walking the
  /// table.
  public var validEntryCount: Int {
    unsafe state.pointee.table.countEntries()
      - state.pointee.identityPages.load(ordering: .relaxed)
  }

  /// Pages of memory that the tables take, a few spare ones included.
  public var tablePageCount: Int { unsafe state.pointee.table.tablePageCount }

  /// Bus pages that are mapped, waiting for a flush, kept by threads, or reserved.
  public var takenPageCount: Int { unsafe state.pointee.space.takenPageCount }

  /// Ranges that were unmapped and wait for a flush.
  public var waitingRangeCount: Int { unsafe state.pointee.queue.rangeCount }

  /// Whether addresses below 4 GiB ran out, and devices that can get wider ones.
  public var usesWideAddresses: Bool { unsafe state.pointee.isWide.load(ordering: .relaxed) }

  /// How often the unit was told to forget a range, and the whole domain.
  public var invalidationCounts: (ranges: Int, domains: Int) {
    unsafe (
      state.pointee.space.countedEvents,
      state.pointee.domainInvalidations.load(ordering: .relaxed)
    )
  }

  /// Pages that are never used again because the unit did not forget them.
  public var abandonedPageCount: Int {
    unsafe state.pointee.abandonedPages.load(ordering: .relaxed)
  }
}

// SAFETY: the state is made for use from any thread.
extension IOMMUDomain: @unchecked Sendable {}
