internal import DMA
internal import DMASupport
internal import Synchronization

/// A page table in machine memory: three levels reach 2^39 bytes, four 2^48.
///
/// Hardware walks physical addresses; the CPU walks a shadow of the upper levels that holds CPU
/// addresses, because a machine need not see all its memory at one place. Entries are written with
/// single 64-bit stores and without a lock: whoever maps or unmaps a page owns its bus address.
/// Only making and removing tables takes the lock. A table is removed when one unmap clears all of
/// it, so nobody else can be using it.
@safe
struct IOPageTable: ~Copyable {
  /// The shadow of an upper table: 512 children, then the table's own CPU and physical address.
  ///
  /// A child is a shadow's address above level 2, and a leaf table's CPU address at level 2.
  typealias Shadow = UnsafeMutablePointer<UInt>

  let root: Shadow
  let levels: Int
  /// The shadows of level 2 for the first 4 GiB, which is where nearly all bus addresses lie: they
  /// come under the lock and stay.
  private let near: UnsafeMutablePointer<UInt>
  /// Whether the IOMMU sees the CPU's stores without cache maintenance.
  private let isCoherent: Bool
  let lock = RawSpinLock()
  /// Under the lock.
  ///
  /// Behind a pointer: threads use the table at once, so nothing of it is mutated.
  private let memory: UnsafeMutablePointer<TableMemory>

  private static var shadowWordCount: Int { 514 }
  private static var nearCount: Int { 4 }

  /// An empty table.
  ///
  /// - Throws: `DMAError.outOfMemory`.
  init(
    platform: UnsafeMutablePointer<PlatformCore>, levels: Int, isCoherent: Bool
  ) throws(DMAError) {
    var memory = unsafe TableMemory(platform)
    guard let page = memory.take() else {
      throw .outOfMemory(byteCount: TableEntry.byteCountOfTable, limit: .max)
    }
    unsafe root = Self.makeShadow(page)
    unsafe near = .allocate(capacity: Self.nearCount)
    unsafe near.initialize(repeating: 0, count: Self.nearCount)
    self.levels = levels
    self.isCoherent = isCoherent
    unsafe self.memory = .allocate(capacity: 1)
    unsafe self.memory.initialize(to: memory)
  }

  deinit {
    unsafe Self.release(root, level: levels, memory)
    unsafe near.deallocate()
    unsafe memory.deinitialize(count: 1)
    unsafe memory.deallocate()
  }

  private static func makeShadow(_ page: TableMemory.Page) -> Shadow {
    let shadow = Shadow.allocate(capacity: shadowWordCount)
    unsafe shadow.initialize(repeating: 0, count: shadowWordCount)
    unsafe shadow[512] = page.cpuAddress
    unsafe shadow[513] = UInt(truncatingIfNeeded: page.physicalAddress)
    return unsafe shadow
  }

  private static func release(
    _ shadow: Shadow, level: Int, _ memory: UnsafeMutablePointer<TableMemory>
  ) {
    // SAFETY: called at the end, when no translation uses the table.
    let words = unsafe TableMemory.words(shadow[512])
    for index in 0..<512 {
      guard let child = unsafe Shadow(bitPattern: shadow[index]) else { continue }
      if level > 2 {
        unsafe release(child, level: level - 1, memory)
      } else {
        unsafe memory.pointee.give(
          TableMemory.Page(
            cpuAddress: shadow[index], physicalAddress: words[index] & TableEntry.addressMask))
      }
    }
    unsafe memory.pointee.give(
      TableMemory.Page(cpuAddress: shadow[512], physicalAddress: UInt64(shadow[513])))
    unsafe shadow.deallocate()
  }

  /// What the IOMMU is told.
  var rootPhysicalAddress: UInt64 { unsafe UInt64(root[513]) }

  /// Pages of memory that the tables take, spare ones included.
  var tablePageCount: Int { lock.withLock { unsafe memory.pointee.pageCount } }

  // MARK: Walking

  @inline(__always)
  static func child(_ shadow: Shadow, _ index: UInt64) -> UInt {
    // SAFETY: an index below 512 of a live shadow. Acquiring: a table is filled before it is linked.
    unsafe UnsafeMutableRawPointer(shadow + Int(truncatingIfNeeded: index & 511))
      .assumingMemoryBound(to: Atomic<UInt>.self).pointee.load(ordering: .acquiring)
  }

  private static func setChild(_ shadow: Shadow, _ index: UInt64, _ value: UInt) {
    unsafe UnsafeMutableRawPointer(shadow + Int(truncatingIfNeeded: index & 511))
      .assumingMemoryBound(to: Atomic<UInt>.self).pointee.store(value, ordering: .releasing)
  }

  /// The CPU address of the leaf table that holds a page's entry, or 0.
  @inline(__always)
  private func leaf(_ page: UInt64) -> UInt {
    var shadow = unsafe root
    var shift = UInt64(truncatingIfNeeded: 9 &* (levels &- 1))
    while shift > 9 {
      guard let next = unsafe Shadow(bitPattern: Self.child(shadow, page &>> shift)) else {
        return 0
      }
      unsafe shadow = next
      shift &-= 9
    }
    return unsafe Self.child(shadow, page &>> 9)
  }

  /// The same for a page below 4 GiB.
  @inline(__always)
  private func nearLeaf(_ page: UInt64) -> UInt {
    // SAFETY: the caller's page is below 2^20. Acquiring, as in `child`.
    guard let shadow = unsafe Shadow(bitPattern: Self.child(near, page &>> 18 & 3)) else {
      return 0
    }
    return unsafe Self.child(shadow, page &>> 9)
  }

  @inline(__always)
  private static func entryAddress(_ leaf: UInt, _ page: UInt64) -> UInt {
    leaf &+ UInt(truncatingIfNeeded: page & 511) &* 8
  }

  /// The entry of a page; 0 when it has none.
  @inline(__always)
  func entry(_ page: UInt64) -> UInt64 {
    let leaf = leaf(page)
    return leaf == 0 ? 0 : dma_volatile_load64(Self.entryAddress(leaf, page))
  }

  /// The leaf table of a page, made when it is missing; 0 when the machine has no memory.
  @inline(never)
  private func makeLeaf(_ page: UInt64) -> UInt {
    lock.lock()
    defer { lock.unlock() }
    var shadow = unsafe root
    var shift = UInt64(9 * (levels - 1))
    while true {
      let present = unsafe Self.child(shadow, page >> shift)
      if present == 0 {
        guard let table = unsafe memory.pointee.take() else { return 0 }
        let child = unsafe shift > 9 ? UInt(bitPattern: Self.makeShadow(table)) : table.cpuAddress
        // The IOMMU's entry first: whoever sees the shadow may rely on it.
        write(
          table.physicalAddress | TableEntry.read | TableEntry.write,
          at: unsafe shadow[512] + UInt(page >> shift & 511) * 8, count: 1)
        unsafe Self.setChild(shadow, page >> shift, child)
      }
      let child = unsafe Self.child(shadow, page >> shift)
      if shift == 9 { return child }
      guard let next = unsafe Shadow(bitPattern: child) else { return 0 }
      unsafe shadow = next
      shift -= 9
      if shift == 9 && page < IOVATree.end32 {
        unsafe Self.setChild(near, page >> 18, UInt(bitPattern: shadow))
      }
    }
  }

  /// Writes entries of consecutive pages of memory, or the same entry when `step` is 0.
  @inline(__always)
  private func write(_ first: UInt64, at address: UInt, count: Int, step: UInt64 = 0) {
    var entry = first
    var next = address
    var left = count
    if left >= 16 {
      if next & 15 != 0 {
        dma_volatile_store64(next, entry)
        entry &+= step
        next &+= 8
        left &-= 1
      }
      Self.writeEights(&entry, &next, &left, step: step)
    }
    for _ in 0..<left {
      dma_volatile_store64(next, entry)
      entry &+= step
      next &+= 8
    }
    if !isCoherent { clean(address, count &* 8) }
  }

  /// Writes eight entries at a time, to an address that is a multiple of 16.
  ///
  /// Each aligned half of such a store is seen whole, as a store of one entry is.
  @inline(__always)
  private static func writeEights(
    _ entry: inout UInt64, _ next: inout UInt, _ left: inout Int, step: UInt64
  ) {
    guard var place = unsafe UnsafeMutableRawPointer(bitPattern: next) else { return }
    let rounds = left &>> 3
    let two = SIMD2<UInt64>(repeating: step &* 2)
    var first = SIMD2<UInt64>(entry, entry &+ step)
    for _ in 0..<rounds {
      let second = first &+ two
      let third = second &+ two
      let fourth = third &+ two
      // SAFETY: the entries are the caller's.
      unsafe place.storeBytes(of: first, as: SIMD2<UInt64>.self)
      unsafe (place + 16).storeBytes(of: second, as: SIMD2<UInt64>.self)
      unsafe (place + 32).storeBytes(of: third, as: SIMD2<UInt64>.self)
      unsafe (place + 48).storeBytes(of: fourth, as: SIMD2<UInt64>.self)
      first = fourth &+ two
      unsafe place += 64
    }
    entry &+= step &* UInt64(truncatingIfNeeded: rounds &* 8)
    next &+= UInt(truncatingIfNeeded: rounds &* 64)
    left &-= rounds &* 8
  }

  @inline(never)
  private func clean(_ address: UInt, _ byteCount: Int) {
    let platform = unsafe memory.pointee.platform
    unsafe platform.pointee.operations.maintainCache(
      platform.pointee.context, address, byteCount, CacheOperation.clean.rawValue)
  }

  // MARK: Mapping

  /// Maps consecutive pages to consecutive memory; false when the machine has no memory for a
  /// table, with nothing mapped.
  ///
  /// - Parameters:
  ///   - entry: physical address and permissions of the first page.
  ///   - firstMark: added to the first entry.
  ///   - lastMark: added to the last entry.
  @inline(__always)
  func map(
    _ first: UInt64, _ count: UInt64, entry: UInt64, firstMark: UInt64, lastMark: UInt64
  ) -> Bool {
    if count == 1 {
      var leaf = leaf(first)
      if leaf == 0 {
        leaf = makeLeaf(first)
        guard leaf != 0 else { return false }
      }
      write(entry | firstMark | lastMark, at: Self.entryAddress(leaf, first), count: 1)
      return true
    }
    return mapMany(first, count, entry: entry, firstMark: firstMark, lastMark: lastMark)
  }

  @inline(never)
  private func mapMany(
    _ first: UInt64, _ count: UInt64, entry: UInt64, firstMark: UInt64, lastMark: UInt64
  ) -> Bool {
    var page = first
    let end = first &+ count
    var entry = entry
    while page < end {
      var leaf = leaf(page)
      if leaf == 0 {
        leaf = makeLeaf(page)
        guard leaf != 0 else {
          _ = clear(first, page &- first)
          return false
        }
      }
      let part = min(512 &- page & 511, end &- page)
      let address = Self.entryAddress(leaf, page)
      write(entry, at: address, count: Int(truncatingIfNeeded: part), step: 4096)
      if page == first { write(entry | firstMark, at: address, count: 1) }
      entry &+= part &* 4096
      page &+= part
    }
    if lastMark != 0 {
      let address = Self.entryAddress(leaf(end &- 1), end &- 1)
      write(dma_volatile_load64(address) | lastMark, at: address, count: 1)
    }
    return true
  }

  /// Maps one page below 4 GiB as a mapping of its own, in memory that the IOMMU sees as the CPU
  /// does; false when there is no table for it yet.
  @inline(__always)
  func setNear(_ page: UInt64, entry: UInt64) -> Bool {
    let leaf = nearLeaf(page)
    guard leaf != 0 else { return false }
    dma_volatile_store64(Self.entryAddress(leaf, page), entry | TableEntry.firstMark(pageCount: 1))
    return true
  }

  /// Clears the entry of a mapping of one page below 4 GiB, in memory that the IOMMU sees as the CPU
  /// does; false when there is no such mapping.
  @inline(__always)
  func clearNear(_ page: UInt64) -> Bool {
    let leaf = nearLeaf(page)
    guard leaf != 0 else { return false }
    let address = Self.entryAddress(leaf, page)
    guard TableEntry.markedCount(dma_volatile_load64(address)) == 1 else { return false }
    dma_volatile_store64(address, 0)
    return true
  }

  /// How many pages the mapping has that begins with a page; 0 when none begins there.
  ///
  /// For 1023 pages and more it says 1023, unless `count` is right.
  @inline(__always)
  func mappedCount(_ first: UInt64, expecting count: UInt64) -> UInt64 {
    let marked = TableEntry.markedCount(entry(first))
    guard TableEntry.isOpenEnded(marked), count >= marked else { return marked }
    return entry(first &+ count &- 1) & TableEntry.lastMark != 0 ? count : marked
  }

  /// Clears entries, and returns the tables that are wholly clear now: a list for `recycle`.
  ///
  /// The IOMMU may still use entries and tables until it is told to forget them.
  @inline(__always)
  func clear(_ first: UInt64, _ count: UInt64) -> UInt {
    if count == 1 {
      let leaf = leaf(first)
      if leaf != 0 { write(0, at: Self.entryAddress(leaf, first), count: 1) }
      return 0
    }
    return clearMany(first, count)
  }

  @inline(never)
  private func clearMany(_ first: UInt64, _ count: UInt64) -> UInt {
    var retired: UInt = 0
    var page = first
    let end = first &+ count
    while page < end {
      let part = min(512 &- page & 511, end &- page)
      let leaf = leaf(page)
      if leaf != 0 {
        write(
          0, at: Self.entryAddress(leaf, page), count: Int(truncatingIfNeeded: part))
        if part == 512 { retire(page, leaf, &retired) }
      }
      page &+= part
    }
    return retired
  }

  /// Unlinks a leaf table.
  ///
  /// Its first two words then hold the next retired one's CPU address and its own physical
  /// address: both end in twelve zero bits, so an IOMMU that still walks there sees nothing.
  private func retire(_ page: UInt64, _ leaf: UInt, _ retired: inout UInt) {
    lock.lock()
    defer { lock.unlock() }
    var shadow = unsafe root
    var shift = UInt64(9 * (levels - 1))
    while shift > 9 {
      guard let next = unsafe Shadow(bitPattern: Self.child(shadow, page >> shift)) else { return }
      unsafe shadow = next
      shift -= 9
    }
    let address = unsafe shadow[512] + UInt(page >> 9 & 511) * 8
    let physicalAddress = dma_volatile_load64(address) & TableEntry.addressMask
    unsafe Self.setChild(shadow, page >> 9, 0)
    write(0, at: address, count: 1)
    write(physicalAddress, at: leaf + 8, count: 1)
    write(UInt64(retired), at: leaf, count: 1)
    retired = leaf
  }

  /// Takes back tables that `clear` returned, after the IOMMU forgot them.
  func recycle(_ retired: UInt) {
    lock.lock()
    defer { lock.unlock() }
    var next = retired
    while next != 0 {
      let words = unsafe TableMemory.words(next)
      let page = unsafe TableMemory.Page(cpuAddress: next, physicalAddress: words[1])
      next = unsafe UInt(truncatingIfNeeded: words[0])
      unsafe words[0] = 0
      unsafe words[1] = 0
      unsafe memory.pointee.give(page)
    }
  }
}
