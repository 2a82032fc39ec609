internal import DMA

/// Where a command's data is, as the controller is told (NVM Express 1.4, 4.3): two entries in the
/// command, the second of which names a list when two pages are not enough.
struct NVMePRP {
  var first: UInt64 = 0
  var second: UInt64 = 0
}

/// The lists of one queue's commands, from pools; a fixed number of places each command.
@safe
struct NVMeListStore: ~Copyable {
  /// Up to this many entries a list is a small block.
  private static var smallEntryCount: Int { 32 }

  private let pools: NVMePools
  private let blocks: UnsafeMutablePointer<DMAPoolBlock?>
  private let capacity: Int
  private let blocksPerCommand: Int

  init(_ pools: NVMePools, capacity: Int, transferByteCountMax: Int) {
    self.pools = pools
    self.capacity = capacity
    // A transfer may begin inside of a page; each page of a list but the last holds one entry less.
    let pages = transferByteCountMax / NVMePage.byteCount + 1
    blocksPerCommand = (pages + NVMePage.entryCount - 2) / (NVMePage.entryCount - 1)
    unsafe blocks = .allocate(capacity: capacity * blocksPerCommand)
    for index in 0..<capacity * blocksPerCommand {
      // SAFETY: the index is below what was allocated.
      unsafe (blocks + index).initialize(to: nil)
    }
  }

  deinit {
    // SAFETY: all are initialized; blocks that are still there go back to their pool.
    unsafe blocks.deinitialize(count: capacity * blocksPerCommand)
    unsafe blocks.deallocate()
  }

  /// Describes a run of bus addresses for the command in `slot`.
  ///
  /// - Returns: the entries and how many blocks they use; `release` gives those back.
  mutating func describe(
    _ address: DMAAddress, _ byteCount: Int, slot: Int
  ) throws(NVMeError) -> (NVMePRP, Int) {
    guard address.rawValue & 3 == 0 else { throw .misaligned(address) }
    let offset = Int(address.rawValue & NVMePage.mask)
    let pageCount = (offset + byteCount + NVMePage.byteCount - 1) / NVMePage.byteCount
    let page = address.rawValue & ~NVMePage.mask
    if pageCount == 1 { return (NVMePRP(first: address.rawValue), 0) }
    if pageCount == 2 {
      return (NVMePRP(first: address.rawValue, second: page + UInt64(NVMePage.byteCount)), 0)
    }
    var writer = NVMeListWriter(entryCount: pageCount - 1)
    do throws(NVMeError) {
      for index in 1..<pageCount {
        try put(page + UInt64(index * NVMePage.byteCount), slot, &writer)
      }
    } catch {
      release(slot: slot, count: writer.blockCount)
      throw error
    }
    return (NVMePRP(first: address.rawValue, second: writer.start), writer.blockCount)
  }

  /// Describes a list's segments, which must meet at page ends.
  mutating func describe<Direction: TransferDirection>(
    _ list: borrowing ScatterMapping<Direction>, slot: Int
  ) throws(NVMeError) -> (NVMePRP, Int) {
    let pageCount = try Self.pageCount(list)
    guard pageCount > 0 else { throw .dma(.emptyRequest) }
    var result = NVMePRP(first: list.segment(at: 0).address.rawValue)
    var writer = NVMeListWriter(entryCount: pageCount - 1)
    var isFirst = true
    do throws(NVMeError) {
      for index in 0..<list.segmentCount {
        let segment = list.segment(at: index)
        var page = segment.address.rawValue & ~NVMePage.mask
        let end = segment.address.rawValue + UInt64(segment.byteCount)
        while page < end {
          if isFirst {
            isFirst = false
          } else if pageCount == 2 {
            result.second = page
          } else {
            try put(page, slot, &writer)
          }
          page += UInt64(NVMePage.byteCount)
        }
      }
    } catch {
      release(slot: slot, count: writer.blockCount)
      throw error
    }
    if pageCount > 2 { result.second = writer.start }
    return (result, writer.blockCount)
  }

  /// How many pages segments touch; refuses those with gaps between pages.
  private static func pageCount<Direction: TransferDirection>(
    _ list: borrowing ScatterMapping<Direction>
  ) throws(NVMeError) -> Int {
    var count = 0
    for index in 0..<list.segmentCount {
      let segment = list.segment(at: index)
      let end = segment.address.rawValue + UInt64(segment.byteCount)
      guard segment.address.rawValue & 3 == 0,
        index == 0 || segment.address.rawValue & NVMePage.mask == 0
      else { throw .misaligned(segment.address) }
      guard index == list.segmentCount - 1 || end & NVMePage.mask == 0 else {
        throw .misaligned(DMAAddress(rawValue: end))
      }
      let first = segment.address.rawValue & ~NVMePage.mask
      count += Int((end - first + NVMePage.mask) / UInt64(NVMePage.byteCount))
    }
    return count
  }

  private mutating func put(
    _ entry: UInt64, _ slot: Int, _ writer: inout NVMeListWriter
  ) throws(NVMeError) {
    let isNewBlock = writer.position == 0 || writer.needsNextBlock
    if isNewBlock {
      let isSmall = writer.left <= Self.smallEntryCount
      guard writer.blockCount < blocksPerCommand else {
        throw .tooLong(
          byteCount: writer.left * NVMePage.byteCount,
          limit: blocksPerCommand * NVMePage.entryCount * NVMePage.byteCount)
      }
      let block: DMAPoolBlock
      do throws(DMAError) {
        block = try (isSmall ? pools.small : pools.pages).allocate()
      } catch { throw .dma(error) }
      let address = block.address.rawValue
      if writer.blockCount == 0 {
        writer.start = address
      } else {
        // The last entry of a full page names the next one.
        set(slot, writer.blockCount - 1, NVMePage.entryCount - 1, address)
      }
      // SAFETY: the place is this command's, and empty.
      unsafe blocks[slot * blocksPerCommand + writer.blockCount] = consume block
      writer.blockCount += 1
      writer.position = 0
    }
    set(slot, writer.blockCount - 1, writer.position, entry)
    writer.position += 1
    writer.left -= 1
  }

  private func set(_ slot: Int, _ block: Int, _ index: Int, _ value: UInt64) {
    // SAFETY: the place is this command's; put filled it.
    unsafe blocks[slot * blocksPerCommand + block]?[index * 8, as: UInt64.self] = value
  }

  /// Gives a command's blocks back.
  mutating func release(slot: Int, count: Int) {
    for index in 0..<count {
      // SAFETY: the places are this command's.
      unsafe blocks[slot * blocksPerCommand + index] = nil
    }
  }
}

/// How far the entries of a list are written.
struct NVMeListWriter {
  /// Entries still to write.
  var left: Int
  /// Entries in the current block.
  var position = 0
  var blockCount = 0
  /// The first block's address.
  var start: UInt64 = 0

  init(entryCount: Int) { left = entryCount }

  /// Whether the current block only has room for the address of another.
  var needsNextBlock: Bool { position == NVMePage.entryCount - 1 && left > 1 }
}

/// The pools that all queues of a controller take lists from.
struct NVMePools {
  /// Lists of up to 32 entries.
  let small: DMAPool
  /// Lists of up to a page.
  let pages: DMAPool

  init(_ device: DMADevice) throws(DMAError) {
    small = try DMAPool(name: "nvme prp list 256", blockSize: 256, alignment: 256, for: device)
    pages = try DMAPool(
      name: "nvme prp list page", blockSize: NVMePage.byteCount, alignment: NVMePage.byteCount,
      for: device)
  }
}
