/// What an IOMMU's hardware does for domains: one table a kind of unit.
///
/// The page tables themselves are written by the domain. `numbers` is a `DMAStatusNumbers`; what
/// is returned is a `DMAStatus`. All may be called from any thread and in interrupts, with locks
/// held, except the first four, which are called from ordinary code.
@safe
public struct IOMMUUnitOperations {
  /// (context, physical address of the root table, levels, numbers): a new address space; first
  /// number: its domain number.
  public typealias BeginDomain =
    @convention(c) (UnsafeMutableRawPointer, UInt64, UInt32, UnsafeMutablePointer<UInt64>) -> Int32
  /// (context, domain): no device uses it any more, and nothing of it may stay cached.
  ///
  /// Its tables are freed on success only.
  public typealias EndDomain = @convention(c) (UnsafeMutableRawPointer, UInt32) -> Int32
  /// (context, domain, requester, numbers): from now on the device's accesses go through the
  /// domain, wherever they went before.
  public typealias Attach =
    @convention(c) (UnsafeMutableRawPointer, UInt32, UInt16, UnsafeMutablePointer<UInt64>) -> Int32
  /// (context, domain, requester, numbers): from now on the device's accesses are refused.
  public typealias Detach =
    @convention(c) (UnsafeMutableRawPointer, UInt32, UInt16, UnsafeMutablePointer<UInt64>) -> Int32
  /// (context, domain, first bus address, bytes, 1 when tables were removed): returns when no
  /// device can use a translation of the range any more that was cleared before.
  public typealias InvalidateRange =
    @convention(c) (UnsafeMutableRawPointer, UInt32, UInt64, UInt64, UInt32) -> Int32
  /// (context, domain): the same for all of the domain.
  public typealias InvalidateDomain = @convention(c) (UnsafeMutableRawPointer, UInt32) -> Int32

  public var beginDomain: BeginDomain
  public var endDomain: EndDomain
  public var attach: Attach
  public var detach: Detach
  public var invalidateRange: InvalidateRange
  public var invalidateDomain: InvalidateDomain

  public init(
    beginDomain: @escaping BeginDomain, endDomain: @escaping EndDomain,
    attach: @escaping Attach, detach: @escaping Detach,
    invalidateRange: @escaping InvalidateRange, invalidateDomain: @escaping InvalidateDomain
  ) {
    unsafe self.beginDomain = beginDomain
    unsafe self.endDomain = endDomain
    unsafe self.attach = attach
    unsafe self.detach = detach
    unsafe self.invalidateRange = invalidateRange
    unsafe self.invalidateDomain = invalidateDomain
  }
}

/// An IOMMU ready to serve domains: its functions, and what domains must know of it.
@safe
public struct IOMMUUnit {
  let operations: UnsafePointer<IOMMUUnitOperations>
  let context: UnsafeMutableRawPointer
  let owner: AnyObject
  /// Table levels: 3 reach 2^39 bytes, 4 reach 2^48.
  public let levels: Int
  /// The highest bus address it translates.
  public let lastAddress: UInt64
  /// Whether it sees the CPU's stores to tables without cache maintenance.
  public let walksCoherently: Bool
  /// Whether it may remember that a page was not mapped: then a map must be followed by an
  /// invalidation too.
  public let cachesAbsentEntries: Bool
  /// Bus addresses that never reach memory, interrupt messages for one.
  public let reserved: ClosedRange<UInt64>?

  /// For those who write a unit.
  ///
  /// - Parameters:
  ///   - operations: must stay valid for the life of the program or of `owner`.
  ///   - context: passed to each of them.
  ///   - owner: keeps `context` valid; held by the domains. It must not hold the `Platform` object.
  ///   - levels: 3 to 5.
  public init(
    operations: UnsafePointer<IOMMUUnitOperations>, context: UnsafeMutableRawPointer,
    owner: AnyObject, levels: Int, lastAddress: UInt64, walksCoherently: Bool,
    cachesAbsentEntries: Bool, reserved: ClosedRange<UInt64>? = nil
  ) {
    precondition(levels >= 3 && levels <= 5, "tables have three to five levels")
    unsafe self.operations = operations
    unsafe self.context = context
    self.owner = owner
    self.levels = levels
    self.lastAddress = min(lastAddress, 1 << UInt64(12 + 9 * levels) - 1)
    self.walksCoherently = walksCoherently
    self.cachesAbsentEntries = cachesAbsentEntries
    self.reserved = reserved
  }
}
