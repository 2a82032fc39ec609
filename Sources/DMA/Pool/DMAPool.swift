internal import Synchronization

/// Small blocks of coherent memory, all of one size, cut from pages (R55-R71).
///
/// For queue heads, descriptors, command tables: what a device reads and writes in place, and what
/// is too small for a page of its own. Blocks are aligned and kept off boundaries on the bus as
/// asked. Long-lived; any thread may allocate and free, in interrupts and with spin locks held.
///
/// Threads keep some free blocks for themselves, so that two threads on one pool do not disturb
/// each other. Empty pages stay until the pool ends (T14); `statistics` counts them.
@safe
public final class DMAPool {
  /// What reports and `DMADevice.poolInfo` call it; need not be unique (R59).
  public let name: String
  /// Whose memory the blocks are.
  public let device: DMADevice
  @usableFromInline
  let core: UnsafeMutablePointer<PoolCore>
  let onCorruption: (@Sendable (DMAPoolCorruption) -> Void)?

  /// A pool without memory: the first block brings the first page.
  ///
  /// Any context; never waits (R64).
  ///
  /// - Parameters:
  ///   - blockSize: bytes of a block.
  ///   - alignment: a power of two; both addresses of a block are multiples of it (R57).
  ///   - boundary: a power of two whose multiples no block crosses on the bus, or 0 for none (R66).
  ///   - options: what else is done to blocks.
  ///   - onCorruption: called by `allocate` when a poisoned pool finds that a free block was
  ///     written, in the context of that call.
  /// - Throws: `DMAError.emptyRequest`, `.tooLarge`, `.invalidAlignment`, `.invalidBoundary`,
  ///   `.deviceRemoved`; a retry cannot help.
  public convenience init(
    name: String, blockSize: Int, alignment: Int = 1, boundary: Int = 0, for device: DMADevice,
    options: DMAPoolOptions = [],
    onCorruption: (@Sendable (DMAPoolCorruption) -> Void)? = nil,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    try self.init(
      name: name, blockSize: blockSize, alignment: alignment, boundary: boundary, for: device,
      options: options, onCorruption: onCorruption, site: CallSite(file, line))
  }

  /// The same, for the C interface.
  package init(
    name: String, blockSize: Int, alignment: Int, boundary: Int, for device: DMADevice,
    options: DMAPoolOptions, onCorruption: (@Sendable (DMAPoolCorruption) -> Void)? = nil,
    site: CallSite
  ) throws(DMAError) {
    let geometry = try PoolGeometry(
      byteCount: blockSize, alignment: alignment, boundary: boundary)
    guard !device.isRemoved else { throw .deviceRemoved }
    self.name = name
    self.device = device
    self.onCorruption = onCorruption
    unsafe core = PoolCore.make(name, geometry, options, for: device.core)
    unsafe PoolCore.reportCreate(core, site)
  }

  /// Ends the pool.
  ///
  /// Memory of blocks that are still alive stays until the last of them goes, or for blocks that
  /// have no value until `DMADevice.declareQuiet()`; observers hear how many there were (R71).
  deinit { unsafe PoolCore.abandon(core, CallSite.none) }

  /// The pool's number in events; unique on its device.
  public var id: UInt32 { unsafe core.pointee.id }

  /// Bytes of a block, as asked for.
  public var blockSize: Int { unsafe core.pointee.byteCount }

  /// How blocks lie in pages.
  package var geometry: PoolGeometry { unsafe core.pointee.geometry }

  /// Gives all memory back; the pool must not be used afterwards (R70).
  ///
  /// Optional: a pool whose object goes does the same. Idempotent.
  ///
  /// - Throws: `DMAError.poolBusy` while blocks are in use (R71), `.forbiddenInInterrupt` (T10).
  ///   The pool is as it was; a retry can help.
  public func destroy(file: StaticString = #fileID, line: UInt32 = #line) throws(DMAError) {
    try unsafe PoolCore.destroy(core, CallSite(file, line))
  }

  /// The same, for the C interface.
  package func destroy(site: CallSite) throws(DMAError) {
    try unsafe PoolCore.destroy(core, site)
  }

  /// What the C interface keeps for its fast paths; nil where each block is zeroed first.
  package var raw: RawPool? {
    unsafe core.pointee.isZeroing ? nil : unsafe RawPool(core: core)
  }
}

// SAFETY: what the core's threads share is atomic or behind its lock (see PoolMagazine).
extension DMAPool: @unchecked Sendable {}

extension DMAPool {
  /// A block, whose bytes are whatever its last owner left unless the pool zeroes them.
  ///
  /// Any context; never waits (R67). A destroyed pool traps.
  ///
  /// - Throws: `DMAError.outOfMemory`, `.outOfAddressSpace`: a retry can help.
  ///   `.deviceRemoved`: it cannot.
  @inlinable
  @inline(__always)
  public func allocate(
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) -> DMAPoolBlock {
    // SAFETY: the core lives as long as this object.
    guard let record = unsafe PoolCore.takeCached(core) else {
      return try unsafe DMAPoolBlock(core, take(CallSite(file, line)))
    }
    let block = unsafe DMAPoolBlock(core, record)
    if unsafe core.pointee.isZeroing { block.zero() }
    return block
  }

  /// A block full of zeroes.
  ///
  /// Otherwise as `allocate(file:line:)`.
  @inlinable
  public func allocateZeroed(
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) -> DMAPoolBlock {
    let block = try allocate(file: file, line: line)
    block.zero()
    return block
  }

  /// A block with contents, complete before the device can know its address.
  ///
  /// Otherwise as `allocate(file:line:)`.
  ///
  /// - Parameter initialize: fills the zeroed bytes.
  public func allocate(
    file: StaticString = #fileID, line: UInt32 = #line,
    initializingWith initialize: (inout MutableRawSpan) -> Void
  ) throws(DMAError) -> DMAPoolBlock {
    var block = try allocateZeroed(file: file, line: line)
    var bytes = block.mutableBytes
    initialize(&bytes)
    return block
  }

  /// The paths of `allocate` other than the calling thread's own free blocks.
  @usableFromInline
  @inline(never)
  func take(_ site: CallSite) throws(DMAError) -> UnsafeMutablePointer<PoolRecord> {
    let record: UnsafeMutablePointer<PoolRecord>
    do throws(DMAError) {
      unsafe record = try unsafe PoolCore.takeSlowly(core, site)
    } catch {
      unsafe PoolCore.reportAllocate(core, nil, error, site)
      throw error
    }
    // SAFETY: the block is nobody else's yet.
    if let corruption = unsafe PoolCore.unpoison(core, record, name, site) {
      onCorruption?(corruption)
    }
    if unsafe core.pointee.isZeroing {
      unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress)?
        .initializeMemory(as: UInt8.self, repeating: 0, count: core.pointee.byteCount)
    }
    unsafe PoolCore.reportAllocate(core, record, nil, site)
    return unsafe record
  }
}

extension DMAPool {
  /// A block by its two addresses, which must come back by `freeRaw`.
  package func allocateRaw(_ site: CallSite) throws(DMAError) -> CoherentMemory {
    if let record = unsafe PoolCore.takeCached(core) { return unsafe rawBlock(record) }
    return try unsafe rawBlock(take(site))
  }

  /// As `allocateRaw`, waiting like `allocate(deadlineNanoseconds:file:line:)`.
  package func allocateRaw(
    deadlineNanoseconds deadline: UInt64, _ site: CallSite
  ) throws(DMAError) -> CoherentMemory {
    let record = try unsafe takeWaiting(until: deadline, site)
    return unsafe rawBlock(record)
  }

  private func rawBlock(_ record: UnsafeMutablePointer<PoolRecord>) -> CoherentMemory {
    // SAFETY: the record was taken and is nobody else's; blocks have real addresses.
    unsafe record.pointee.isRaw.store(1, ordering: .relaxed)
    guard
      let cpuAddress = unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress)
    else { preconditionFailure("a block has an address") }
    if unsafe core.pointee.isZeroing {
      unsafe cpuAddress.initializeMemory(
        as: UInt8.self, repeating: 0, count: core.pointee.byteCount)
    }
    return unsafe CoherentMemory(
      cpuAddress: cpuAddress, address: DMAAddress(rawValue: record.pointee.address))
  }

  /// Frees a block by the two addresses it was returned with.
  ///
  /// Any context. Checked in every build; a refused call changes nothing.
  ///
  /// - Throws: `DMAError.notInPool`, `.wrongCPUAddress`, `.blockNotAllocated` (R69).
  package func freeRaw(
    cpuAddress: UnsafeMutableRawPointer?, address: DMAAddress, _ site: CallSite
  ) throws(DMAError) {
    let record: UnsafeMutablePointer<PoolRecord>
    do throws(DMAError) {
      unsafe record = try unsafe PoolCore.claimRaw(
        core, cpuAddress: UInt(bitPattern: cpuAddress), address: address)
    } catch {
      unsafe PoolCore.reportRefusedFree(
        core, cpuAddress: UInt(bitPattern: cpuAddress), address: address, site)
      throw error
    }
    if unsafe !PoolCore.putCached(core, record) { unsafe PoolCore.putSlowly(core, record, site) }
  }
}
