internal import CGuardPages
public import DMA
public import DMAChecker

/// Finds the CPU touching memory that a device owns, at the instruction that does it.
///
/// It wraps a device's mapping: while a mapping is live, its pages are out of the CPU's reach, or
/// read-only where the device only reads; between a sync for the CPU and the end or a sync for the
/// device they are open. A touch in between becomes a finding (`CheckRule.cpuTouchedMapped`) and
/// the program goes on, with the page open until it is handed over again. Whoever shares a page
/// with a mapping is let through without a finding, but only the first time without a look.
///
/// The machine must show devices their memory by another mapping of the same object
/// (`SimulatedMachine.Configuration.isGuarded`; QEMU has one of its own). Hosted systems only.
/// Mapping and unmapping cost a system call for each page. Any thread may use it.
@safe
public final class GuardPages {
  private let checker: DMAChecker
  private let state: UnsafeMutablePointer<State>
  private let start: UInt

  struct State: ~Copyable {
    let lock = RawSpinLock()
    var pages = PageTable()
  }

  /// A table of functions with what they need behind it: a device's core leads here.
  @safe
  struct Table {
    var operations: MappingOperations
    let inner: UnsafePointer<MappingOperations>
    let state: UnsafeMutablePointer<State>
    let owner: Unmanaged<GuardPages>
  }

  /// Keeps a table and all it needs.
  @safe
  private final class TableOwner {
    let table: UnsafeMutablePointer<Table>
    private let mapping: DMAMapping
    private let guardPages: GuardPages

    init(_ mapping: DMAMapping, _ guardPages: GuardPages) {
      self.mapping = mapping
      self.guardPages = guardPages
      unsafe table = .allocate(capacity: 1)
      // SAFETY: freshly allocated for one table; mapping and guard live as long as this object.
      unsafe table.initialize(
        to: Table(
          operations: GuardPages.operations(around: mapping.operations.pointee),
          inner: mapping.operations, state: guardPages.state,
          owner: Unmanaged.passUnretained(guardPages)))
    }

    deinit {
      unsafe table.deinitialize(count: 1)
      unsafe table.deallocate()
    }
  }

  /// Guards memory that the CPU sees at these addresses: a machine's linear map.
  ///
  /// - Throws: `DMAError.machine` with the host's errno when it cannot handle faults.
  public init(addresses: Range<UInt>, checker: DMAChecker) throws(DMAError) {
    self.checker = checker
    start = addresses.lowerBound
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
    let result = guard_add_range(
      addresses.lowerBound, Int(addresses.upperBound - addresses.lowerBound))
    guard result == 0 else { throw .machine(code: Int(-result)) }
  }

  deinit {
    unsafe state.pointee.pages.openAll()
    guard_remove_range(start)
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// The same mapping, guarded: for `DMADevice` or `PCIDevice`.
  ///
  /// Every map then goes through the mapping's table, the direct one's too.
  public func guarding(_ mapping: DMAMapping) -> DMAMapping {
    let owner = TableOwner(mapping, self)
    // SAFETY: the table's first field is the operations table; the owner keeps it.
    return unsafe DMAMapping(
      name: "guarded",
      operations: UnsafeRawPointer(owner.table).assumingMemoryBound(to: MappingOperations.self),
      context: mapping.context, owner: owner)
  }

  /// Gives the checker what was touched since the last call; mapping and unmapping do so too.
  public func report() {
    while guard_is_pending() != 0 {
      var touch = guard_touch()
      guard unsafe guard_take(&touch) != 0 else { return }
      // Whoever shares a page with a mapping did nothing wrong, nor who reads what the device only
      // reads as well: its page may be closed for a neighbour's sake.
      let piece = unsafe state.pointee.lock.withLock {
        unsafe state.pointee.pages.piece(at: touch.address)
      }
      guard let piece, let core = unsafe UnsafeMutablePointer<DMADeviceCore>(bitPattern: piece.core)
      else { continue }
      guard piece.isWritten || touch.is_write != 0 else { continue }
      unsafe checker.reportCPUAccess(
        core, mappedAt: DMAAddress(rawValue: piece.dmaAddress), cpuAddress: touch.address,
        isWrite: touch.is_write != 0, place: Self.describe(touch.instruction))
    }
  }

  /// Touches that were not reported because too many came at once.
  public static var lostCount: UInt64 { guard_lost_count() }

  /// The program or library an instruction lies in, where there, and in which function.
  private static func describe(_ instruction: UInt) -> String {
    var text = [CChar](repeating: 0, count: 512)
    let length = unsafe text.withUnsafeMutableBufferPointer {
      unsafe guard_describe(instruction, $0.baseAddress, $0.count)
    }
    return String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

// SAFETY: the state is behind its lock; the checker takes calls from any thread.
extension GuardPages: @unchecked Sendable {}
