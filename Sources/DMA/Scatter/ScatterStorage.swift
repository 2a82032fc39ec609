/// What a scatter list keeps: its entries, and beside each the memory it is a part of.
@usableFromInline
@safe
struct ScatterStorage: ~Copyable {
  @usableFromInline var entries: UnsafeMutableBufferPointer<ScatterEntry>
  var memories: UnsafeMutablePointer<BufferMemory>
  var count = 0
  var byteCount = 0

  init(capacity: Int) {
    let capacity = max(capacity, 1)
    unsafe entries = UnsafeMutableBufferPointer.allocate(capacity: capacity)
    unsafe memories = UnsafeMutablePointer.allocate(capacity: capacity)
  }

  /// Gives all memory back: nothing of it may be mapped.
  deinit {
    for index in 0..<count {
      // SAFETY: the first `count` memories are set and owned.
      let memory = unsafe memories[index]
      memory.free()
    }
    unsafe entries.deallocate()
    unsafe memories.deallocate()
  }

  /// The entries that are set.
  var list: UnsafeMutableBufferPointer<ScatterEntry> {
    unsafe UnsafeMutableBufferPointer(rebasing: entries[..<count])
  }

  mutating func append(_ memory: BufferMemory, bytes: Range<Int>) {
    if unsafe count == entries.count { grow() }
    // SAFETY: there is room; the range lies inside of the memory (the callers check).
    let entry = unsafe ScatterEntry(
      cpuAddress: UInt(bitPattern: memory.start + bytes.lowerBound),
      physicalAddress: memory.physicalAddress &+ UInt64(bytes.lowerBound), byteCount: bytes.count)
    unsafe entries.initializeElement(at: count, to: entry)
    unsafe (memories + count).initialize(to: memory)
    count += 1
    byteCount += bytes.count
  }

  mutating func removeLast() -> BufferMemory? {
    guard count > 0 else { return nil }
    count -= 1
    // SAFETY: the entry was set; nobody reads it again before `append`.
    unsafe byteCount -= entries[count].byteCount
    return unsafe memories[count]
  }

  private mutating func grow() {
    let capacity = unsafe entries.count * 2
    let entries = UnsafeMutableBufferPointer<ScatterEntry>.allocate(capacity: capacity)
    let memories = UnsafeMutablePointer<BufferMemory>.allocate(capacity: capacity)
    // SAFETY: both are larger than what is copied, and trivial.
    _ = unsafe entries.initialize(from: list)
    unsafe memories.initialize(from: self.memories, count: count)
    unsafe self.entries.deallocate()
    unsafe self.memories.deallocate()
    unsafe self.entries = entries
    unsafe self.memories = memories
  }

  static func make(capacity: Int) -> UnsafeMutablePointer<ScatterStorage> {
    let storage = UnsafeMutablePointer<ScatterStorage>.allocate(capacity: 1)
    unsafe storage.initialize(to: ScatterStorage(capacity: capacity))
    return unsafe storage
  }

  /// Ends a list that is not mapped, once.
  @usableFromInline
  @inline(never)
  static func destroy(_ storage: UnsafeMutablePointer<ScatterStorage>) {
    // SAFETY: the owner calls this once.
    unsafe storage.deinitialize(count: 1)
    unsafe storage.deallocate()
  }

  /// The bus address of a byte of an entry, of a list mapped into `segmentCount` segments.
  ///
  /// Segments hold the entries' bytes in order, and no entry is split. O(n).
  func address(of offset: Int, inEntry index: Int, segmentCount: Int) -> UInt64 {
    var position = offset
    for before in 0..<index { unsafe position += entries[before].byteCount }
    for segment in 0..<segmentCount {
      // SAFETY: segments are at most as many as entries.
      let byteCount = unsafe entries[segment].dmaByteCount
      if position < byteCount {
        return unsafe entries[segment].dmaAddress + UInt64(position)
      }
      position -= byteCount
    }
    preconditionFailure("a mapping has as many bytes as its list")
  }
}
