/// Memory in several pieces for one transfer, owned by the CPU (R83).
///
/// A list of buffers, each contributing all of its bytes or some. Mapping consumes it like a
/// `StreamingBuffer`; the mapping may join pieces into fewer segments. The pieces and their order
/// are the list's own: they come back from a mapping as they were (R91).
@frozen
@safe
public struct ScatterBuffer: ~Copyable {
  @usableFromInline let storage: UnsafeMutablePointer<ScatterStorage>

  init(_ storage: UnsafeMutablePointer<ScatterStorage>) { unsafe self.storage = storage }

  /// An empty list; mapping it is refused until it has an entry (T23).
  ///
  /// - Parameter capacity: entries there is room for without allocating again.
  public init(capacity: Int = 8) { unsafe storage = ScatterStorage.make(capacity: capacity) }

  @inlinable
  deinit { unsafe ScatterStorage.destroy(storage) }
}

extension ScatterBuffer {
  /// New zeroed memory in pieces, wherever the machine has them.
  ///
  /// Never waits.
  ///
  /// - Parameters:
  ///   - byteCount: of all pieces together; the last one may be shorter.
  ///   - pieceByteCount: of each piece, which is contiguous in itself.
  /// - Throws: as `StreamingBuffer.init(byteCount:in:placement:alignment:)`; nothing is kept.
  public init(
    byteCount: Int, in platform: Platform, pieceByteCount: Int = 4096,
    placement: StreamingBuffer.Placement = .anywhere
  ) throws(DMAError) {
    guard byteCount > 0, pieceByteCount > 0 else { throw .emptyRequest }
    var list = ScatterBuffer(capacity: min((byteCount - 1) / pieceByteCount + 1, 4096))
    var left = byteCount
    while left > 0 {
      let count = min(left, pieceByteCount)
      list.append(try StreamingBuffer(byteCount: count, in: platform, placement: placement))
      left -= count
    }
    self = list
  }

  /// Adds a whole buffer at the end.
  public mutating func append(_ buffer: consuming StreamingBuffer) {
    let count = buffer.byteCount
    append(buffer, bytes: 0..<count)
  }

  /// Adds some bytes of a buffer at the end; a range that is empty or not inside of it traps.
  ///
  /// Any alignment and any length of at least one byte (R42).
  public mutating func append(_ buffer: consuming StreamingBuffer, bytes: Range<Int>) {
    precondition(
      bytes.lowerBound >= 0 && bytes.upperBound <= buffer.byteCount && !bytes.isEmpty,
      "an entry is at least one byte inside of its buffer")
    let memory = buffer.takeMemory()
    // SAFETY: the list is this value's alone.
    unsafe storage.pointee.append(memory, bytes: bytes)
  }

  /// Takes the last entry's buffer out, whole; nil when the list is empty.
  public mutating func removeLast() -> StreamingBuffer? {
    // SAFETY: as above; the memory has one owner again.
    guard let memory = unsafe storage.pointee.removeLast() else { return nil }
    return StreamingBuffer(memory)
  }

  /// How many entries there are (nents).
  public var entryCount: Int { unsafe storage.pointee.count }

  /// How many bytes all entries have.
  public var byteCount: Int { unsafe storage.pointee.byteCount }

  /// The bytes of an entry, to read.
  @_lifetime(borrow self)
  public func bytes(of index: Int) -> RawSpan {
    precondition(index >= 0 && index < entryCount, "the list has fewer entries")
    // SAFETY: the entry's memory lives as long as self, which is borrowed while the span lives.
    let span = unsafe storage.pointee.list[index].bytes
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The bytes of an entry, to change.
  @_lifetime(&self)
  public mutating func mutableBytes(of index: Int) -> MutableRawSpan {
    precondition(index >= 0 && index < entryCount, "the list has fewer entries")
    // SAFETY: as above; self is borrowed exclusively while the span lives.
    let span = unsafe storage.pointee.list[index].mutableBytes
    return unsafe _overrideLifetime(span, mutating: &self)
  }

  /// Copies bytes from elsewhere into the list, from its start; more than it holds traps.
  public mutating func copyBytes(from source: RawSpan) {
    precondition(source.byteCount <= byteCount, "the list has fewer bytes")
    // SAFETY: each piece lies inside of the source and of its entry; the list's memory is its own.
    unsafe source.withUnsafeBytes { bytes in
      unsafe forEachPiece(upTo: source.byteCount) { piece, position in
        unsafe piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position]))
      }
    }
  }

  /// Copies the list's bytes elsewhere, from its start, as many as fit.
  public func copyBytes(to target: inout MutableRawSpan) {
    let byteCount = min(target.byteCount, self.byteCount)
    // SAFETY: as above.
    unsafe target.withUnsafeMutableBytes { bytes in
      unsafe forEachPiece(upTo: byteCount) { piece, position in
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[position])
          .copyMemory(from: UnsafeRawBufferPointer(piece))
      }
    }
  }

  /// Calls `body` with the first bytes, entry by entry, and where in all of them these lie.
  private func forEachPiece(
    upTo byteCount: Int, _ body: (UnsafeMutableRawBufferPointer, Range<Int>) -> Void
  ) {
    var position = 0
    for index in 0..<entryCount where position < byteCount {
      // SAFETY: the index is below the count.
      let entry = unsafe storage.pointee.entries[index]
      let count = min(entry.byteCount, byteCount - position)
      unsafe body(
        UnsafeMutableRawBufferPointer(start: entry.pointer, count: count),
        position..<position + count)
      position += count
    }
  }
}

// SAFETY: the value owns its list and memory alone.
extension ScatterBuffer: @unchecked Sendable {}

extension ScatterEntry {
  var pointer: UnsafeMutableRawPointer {
    guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: cpuAddress) else {
      preconditionFailure("an entry has an address")
    }
    return unsafe pointer
  }

  /// The entry's bytes; the caller says how long they may be used.
  var bytes: RawSpan {
    @_lifetime(immortal) get {
      // SAFETY: the caller owns the entry's memory.
      unsafe _overrideLifetime(
        RawSpan(_unsafeStart: pointer, byteCount: byteCount), copying: ())
    }
  }

  /// The entry's bytes to change; the caller has them alone.
  var mutableBytes: MutableRawSpan {
    @_lifetime(immortal) get {
      // SAFETY: as above.
      unsafe _overrideLifetime(
        MutableRawSpan(_unsafeStart: pointer, byteCount: byteCount), copying: ())
    }
  }
}
