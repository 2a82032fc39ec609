/// One block of a pool, for CPU and device at the same time.
///
/// It goes back to its pool when the value goes; the device must be done with it by then. Blocks
/// hold coherent memory: a device may change it at any time, so it is read and written word by
/// word, each access volatile, unless the device leaves it alone.
@frozen
@safe
public struct DMAPoolBlock: ~Copyable {
  @usableFromInline let core: UnsafeMutablePointer<PoolCore>
  @usableFromInline let record: UnsafeMutablePointer<PoolRecord>

  @inlinable
  init(_ core: UnsafeMutablePointer<PoolCore>, _ record: UnsafeMutablePointer<PoolRecord>) {
    unsafe self.core = core
    unsafe self.record = record
  }

  @inlinable
  deinit { unsafe PoolCore.put(core, record) }

  /// Gives the block back; the same as its end, but observers hear of the place.
  ///
  /// Any context; never waits.
  @inlinable
  @inline(__always)
  public consuming func free(file: StaticString = #fileID, line: UInt32 = #line) {
    // SAFETY: the block is this value's, which ends here without its deinit.
    if unsafe !PoolCore.putCached(core, record) {
      unsafe PoolCore.putSlowly(core, record, CallSite(file, line))
    }
    discard self
  }

  /// Ends the value, but not the block, which is the caller's now.
  consuming func keepAllocated() -> UnsafeMutablePointer<PoolRecord> {
    let record = unsafe record
    discard self
    return unsafe record
  }

  /// What the device is told of the block's first byte.
  @inlinable
  public var address: DMAAddress { DMAAddress(rawValue: unsafe record.pointee.address) }

  /// How many bytes there are: the pool's `blockSize`.
  @inlinable
  public var byteCount: Int { unsafe core.pointee.byteCount }

  /// A field of a descriptor at the block's start: one volatile access each time.
  ///
  /// A field that does not lie inside of the block traps.
  @inlinable
  public subscript<Descriptor, Word: DMAWord>(field: DMAField<Descriptor, Word>) -> Word {
    get { self[field.offset, as: Word.self] }
    nonmutating set { self[field.offset, as: Word.self] = newValue }
  }

  /// A word by its offset in bytes: one volatile access each time.
  ///
  /// A word that is not aligned in the block or does not lie inside of it traps.
  @inlinable
  public subscript<Word: DMAWord>(offset: Int, as type: Word.Type) -> Word {
    get { Word.volatileLoad(at: cpuAddress(of: offset, MemoryLayout<Word>.size)) }
    nonmutating set {
      Word.volatileStore(newValue, at: cpuAddress(of: offset, MemoryLayout<Word>.size))
    }
  }

  @inlinable
  func cpuAddress(of offset: Int, _ size: Int) -> UInt {
    precondition(
      offset >= 0 && offset <= byteCount - size && offset % size == 0,
      "a word lies whole and aligned inside of its block")
    return unsafe record.pointee.cpuAddress + UInt(offset)
  }

  @usableFromInline
  func zero() {
    // SAFETY: the block is this value's alone and holds that many bytes.
    unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  private var start: UnsafeMutableRawPointer {
    guard let start = unsafe UnsafeMutableRawPointer(bitPattern: record.pointee.cpuAddress) else {
      preconditionFailure("a block has an address")
    }
    return unsafe start
  }
}

extension DMAPoolBlock {
  /// The bytes, to read while the device does not write them.
  public var bytes: RawSpan {
    @_lifetime(borrow self) get {
      // SAFETY: the block lives as long as self, which is borrowed while the span lives.
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes, to change while the device does not use them.
  public var mutableBytes: MutableRawSpan {
    @_lifetime(&self) mutating get {
      // SAFETY: as above; self is borrowed exclusively while the span lives.
      let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: byteCount)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }
}

// SAFETY: the block is the value's alone; each word access is one volatile load or store.
extension DMAPoolBlock: @unchecked Sendable {}
