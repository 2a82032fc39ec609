public import DMA
internal import MachineMemory

extension SimulatedMachine {
  // MARK: Memory that may be used for DMA by its address

  /// Whole pages of the page allocator, zeroed (R8).
  ///
  /// - Throws: `DMAError.emptyRequest`, `.tooLarge`; `.outOfMemory`, where a retry can help.
  public func allocatePages(
    byteCount: Int, limit: UInt64 = .max
  ) throws(DMAError) -> SimulatedMemory {
    try allocatePages(headroom: 0, byteCount: byteCount, limit: limit)
  }

  /// A small object, zeroed, as kmalloc gives: with others on its page (R9).
  ///
  /// More than 2048 bytes are whole pages.
  ///
  /// - Throws: as `allocatePages(byteCount:limit:)`.
  public func allocateObject(
    byteCount: Int, limit: UInt64 = .max
  ) throws(DMAError) -> SimulatedMemory {
    try allocateObject(headroom: 0, byteCount: byteCount, limit: limit)
  }

  /// A buffer as the block subsystem hands to drivers: always fit for DMA (R14).
  ///
  /// Sectors are objects or pages, aligned to 512 bytes.
  ///
  /// - Throws: as `allocatePages(byteCount:limit:)`.
  public func allocateBlockBuffer(sectorCount: Int) throws(DMAError) -> SimulatedMemory {
    guard sectorCount > 0 else { throw .emptyRequest }
    let (byteCount, overflow) = sectorCount.multipliedReportingOverflow(by: 512)
    guard !overflow else { throw .sizeOverflow(count: sectorCount, stride: 512) }
    return try allocateObject(headroom: 0, byteCount: byteCount, limit: .max)
  }

  /// A buffer as the network subsystem hands to drivers: always fit for DMA (R14).
  ///
  /// The frame begins behind headroom and two bytes, so that the header behind the Ethernet one is
  /// aligned: its address is a multiple of nothing but two.
  ///
  /// - Throws: as `allocatePages(byteCount:limit:)`.
  public func allocateNetworkBuffer(frameByteCount: Int) throws(DMAError) -> SimulatedMemory {
    guard frameByteCount > 0 else { throw .emptyRequest }
    return try allocateObject(headroom: 66, byteCount: frameByteCount, limit: .max)
  }

  // MARK: Memory that may not

  /// Virtually contiguous memory whose pages lie scattered, as vmalloc gives (R10).
  ///
  /// Each of its pages is mapped a second time: `walk` finds them. A host has room for some 60,000
  /// pieces of such memory.
  ///
  /// - Throws: `DMAError.emptyRequest`, `.tooLarge`; `.outOfMemory` and `.machine`, where a retry
  ///   can help.
  public func allocateVirtual(byteCount: Int) throws(DMAError) -> SimulatedMemory {
    try area(byteCount, .vmalloc)
  }

  /// Code, constants and variables of a driver that is being loaded: outside of the linear map
  /// (R12).
  ///
  /// The program's own image counts as such, too.
  ///
  /// - Throws: as `allocateVirtual(byteCount:)`.
  public func loadImage(byteCount: Int) throws(DMAError) -> SimulatedMemory {
    try area(byteCount, .image)
  }

  /// A kernel stack: outside of the linear map (R13).
  ///
  /// The calling thread's own stack counts as such, too.
  ///
  /// - Throws: as `allocateVirtual(byteCount:)`.
  public func allocateStack(byteCount: Int = 16384) throws(DMAError) -> SimulatedMemory {
    try area(byteCount, .stack)
  }

  /// Memory of a user process.
  ///
  /// - Throws: as `allocateVirtual(byteCount:)`.
  public func allocateUser(byteCount: Int) throws(DMAError) -> SimulatedMemory {
    try area(byteCount, .user)
  }

  // MARK: Addresses

  /// What the bytes at an address belong to (R7); unknown when they are not all of one kind.
  public func classify(_ cpuAddress: UInt, byteCount: Int = 1) -> MemoryKind {
    core.classify(cpuAddress, byteCount)
  }

  /// The pages underneath a piece of vmalloc memory, each by its address in the linear map, which
  /// may be used for DMA (R11).
  ///
  /// Neighbours are joined. Memory that may be used as it is comes back as one entry.
  ///
  /// - Throws: `DMAError.notDMAable` for other kinds, `.emptyRequest`: a retry cannot help.
  public func walk(_ cpuAddress: UInt, byteCount: Int) throws(DMAError) -> [ScatterEntry] {
    try core.walk(cpuAddress, byteCount)
  }

  /// Where the linear map begins: it shows physical address 0.
  public var linearBase: UInt { core.memory.linearBase }

  /// Addresses of device registers (physical 3 to 4 GiB).
  ///
  /// For classification: registers are reached through `RegisterWindow`, and touching these ends
  /// the program.
  public var registerAddresses: Range<UInt> { core.registerAddresses }

  private func area(_ byteCount: Int, _ kind: MemoryKind) throws(DMAError) -> SimulatedMemory {
    let start = try core.areas.allocate(byteCount: byteCount, kind: kind)
    return SimulatedMemory(kind: kind, start: start, byteCount: byteCount, core: core)
  }

  private func allocateObject(
    headroom: Int, byteCount: Int, limit: UInt64
  ) throws(DMAError) -> SimulatedMemory {
    guard byteCount > 0 else { throw .emptyRequest }
    guard byteCount <= SlabAllocator.byteCountMax - headroom else {
      return try allocatePages(headroom: headroom, byteCount: byteCount, limit: limit)
    }
    guard let start = core.slabs.allocate(byteCount: headroom + byteCount, limit: limit) else {
      throw .outOfMemory(byteCount: byteCount, limit: limit)
    }
    return SimulatedMemory(
      kind: .slab, start: start, headroom: headroom, byteCount: byteCount, core: core)
  }

  private func allocatePages(
    headroom: Int, byteCount: Int, limit: UInt64
  ) throws(DMAError) -> SimulatedMemory {
    guard byteCount > 0 else { throw .emptyRequest }
    guard byteCount <= Int.max - headroom else {
      throw .tooLarge(byteCount: byteCount, limit: Int(memoryByteCount))
    }
    var numbers = DMAStatusNumbers()
    let status = core.allocator.allocate(
      byteCount: headroom + byteCount, alignment: 4096, limit: limit, options: [], &numbers)
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    return SimulatedMemory(
      kind: .pages, start: UInt(numbers.first), headroom: headroom, byteCount: byteCount,
      core: core)
  }
}
