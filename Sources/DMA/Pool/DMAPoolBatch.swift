/// Many blocks of one pool, taken and given back together: for drivers that fill or empty a ring.
///
/// A stack. What is left in it goes back to the pool when the batch goes. One thread at a time.
@safe
public struct DMAPoolBatch: ~Copyable {
  /// Whose blocks these are.
  public let pool: DMAPool
  /// How many blocks there is room for.
  public let capacity: Int
  /// How many blocks there are.
  public private(set) var count = 0
  private let core: UnsafeMutablePointer<PoolCore>
  private let records: UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>

  /// An empty batch; allocates its room, one word a block.
  public init(of pool: DMAPool, capacity: Int) {
    precondition(capacity >= 0, "a batch has room for 0 blocks or more")
    self.pool = pool
    self.capacity = capacity
    unsafe core = pool.core
    unsafe records = .allocate(capacity: max(1, capacity))
  }

  deinit {
    for index in 0..<count { unsafe PoolCore.put(core, records[index]) }
    unsafe records.deallocate()
  }

  /// Takes `count` more blocks, or none.
  ///
  /// While the calling thread has enough free blocks of its own, one word is copied for each. Any
  /// context; never waits. Room for fewer traps.
  ///
  /// - Throws: as `DMAPool.allocate(file:line:)`; the blocks that there were have gone back.
  public mutating func allocate(
    count more: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    precondition(more >= 0 && more <= capacity - count, "room for the blocks")
    // SAFETY: the pool keeps the core; there is room behind `count`.
    if unsafe !core.pointee.isZeroing && PoolCore.takeCached(core, more, records + count) {
      count &+= more
      return
    }
    let before = count
    for _ in 0..<more {
      do throws(DMAError) {
        append(try pool.allocate(file: file, line: line))
      } catch {
        free(count: count - before, file: file, line: line)
        throw error
      }
    }
  }

  /// Gives the last `count` blocks back.
  ///
  /// The device must be done with them. Any context; never waits. Fewer than that traps.
  public mutating func free(
    count fewer: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) {
    precondition(fewer >= 0 && fewer <= count, "as many blocks as there are")
    // SAFETY: as above; entries below `count` are blocks of this batch alone.
    if unsafe PoolCore.putCached(core, records + (count - fewer), fewer) {
      count &-= fewer
      return
    }
    for _ in 0..<fewer { removeLast().free(file: file, line: line) }
  }

  /// Takes the last block out; an empty batch traps.
  public mutating func removeLast() -> DMAPoolBlock {
    precondition(count > 0, "a block to take out")
    count -= 1
    return unsafe DMAPoolBlock(core, records[count])
  }

  /// Puts a block in, at the end; a full batch, and a block of another pool, trap.
  public mutating func append(_ block: consuming DMAPoolBlock) {
    precondition(count < capacity, "room for the block")
    precondition(unsafe block.core == core, "a block of this pool")
    unsafe records[count] = block.keepAllocated()
    count += 1
  }

  /// What the device is told of a block's first byte; an index beyond the blocks traps.
  public func address(of index: Int) -> DMAAddress {
    precondition(index >= 0 && index < count, "a block of the batch")
    return DMAAddress(rawValue: unsafe records[index].pointee.address)
  }

  /// Lends a block; an index beyond the blocks traps.
  public func withBlock<Result>(
    _ index: Int, _ body: (borrowing DMAPoolBlock) -> Result
  ) -> Result {
    precondition(index >= 0 && index < count, "a block of the batch")
    // SAFETY: the block stays the batch's, which is borrowed meanwhile.
    let block = unsafe DMAPoolBlock(core, records[index])
    let result = body(block)
    _ = unsafe block.keepAllocated()
    return result
  }
}

// SAFETY: the blocks are the batch's alone; the pool may be used from any thread.
extension DMAPoolBatch: @unchecked Sendable {}

extension PoolCore {
  /// Takes all of `count` blocks from the calling thread's magazine, or nothing.
  static func takeCached(
    _ core: UnsafeMutablePointer<PoolCore>, _ count: Int,
    _ records: UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>
  ) -> Bool {
    guard let magazine = unsafe enterMagazine(core, DMADeviceCore.Flags.notPlain) else {
      return false
    }
    // SAFETY: inside, the magazine is this thread's; entries below its count are set, and the
    // caller has room for `count`.
    let left = unsafe magazine.pointee.count &- count
    if left >= 0 {
      unsafe records.update(from: PoolMagazine.blocks(magazine) + left, count: count)
      unsafe magazine.pointee.count = left
    }
    unsafe leaveMagazine(magazine)
    return left >= 0
  }

  /// Puts `count` blocks of this pool into the calling thread's magazine, or none when there is no
  /// room for all.
  static func putCached(
    _ core: UnsafeMutablePointer<PoolCore>,
    _ records: UnsafeMutablePointer<UnsafeMutablePointer<PoolRecord>>, _ count: Int
  ) -> Bool {
    guard let magazine = unsafe enterMagazine(core, DMADeviceCore.Flags.observed) else {
      return false
    }
    // SAFETY: inside, the magazine is this thread's and has room for its capacity.
    let before = unsafe magazine.pointee.count
    let hasRoom = unsafe before &+ count <= core.pointee.magazineCapacity
    if hasRoom {
      unsafe (PoolMagazine.blocks(magazine) + before).update(from: records, count: count)
      unsafe magazine.pointee.count = before &+ count
    }
    unsafe leaveMagazine(magazine)
    return hasRoom
  }
}
