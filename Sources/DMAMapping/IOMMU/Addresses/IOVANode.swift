/// One node of the tree of free pages, in plain memory.
///
/// 64 slots. At level 1 a slot is a word of 64 pages, a set bit is a taken page. At level n > 1 it
/// covers `1 << 6n` pages: the address of a node of level n - 1, or 0 when its pages are all free
/// (its bit in `freeSlots` is set) or all taken. Beside each slot stands its order code: one more
/// than the order of the longest naturally aligned free run in it, 0 when it is full.
@safe
struct IOVANode: BitwiseCopyable {
  let words: UnsafeMutablePointer<UInt64>

  private static var wordCount: Int { 80 }
  private static var codesAt: Int { 64 }
  private static var freeSlotsAt: Int { 72 }
  private static var ownCodeAt: Int { 73 }

  /// A node of all free or all taken pages.
  static func make(level: Int, isFree: Bool) -> IOVANode {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: wordCount * 8, alignment: 64)
    let node = unsafe IOVANode(words: memory.bindMemory(to: UInt64.self, capacity: wordCount))
    node.fill(level: level, isFree: isFree)
    return node
  }

  func free() { unsafe UnsafeMutableRawPointer(words).deallocate() }

  func fill(level: Int, isFree: Bool) {
    let slotValue: UInt64 = !isFree && level == 1 ? .max : 0
    let code = isFree ? UInt64(6 * level + 1) &* 0x0101_0101_0101_0101 : 0
    // SAFETY: all indices are below wordCount.
    for slot in 0..<64 { unsafe words[slot] = slotValue }
    for index in 0..<8 { unsafe words[Self.codesAt + index] = code }
    unsafe words[Self.freeSlotsAt] = isFree ? .max : 0
    unsafe words[Self.ownCodeAt] = isFree ? UInt64(6 * level + 7) : 0
  }

  /// The order code of the whole node, kept at level 1 only: what its parent has in its slot.
  @inline(__always)
  var ownCode: UInt8 {
    get { UInt8(truncatingIfNeeded: unsafe words[Self.ownCodeAt]) }
    nonmutating set { unsafe words[Self.ownCodeAt] = UInt64(newValue) }
  }

  @inline(__always)
  subscript(slot: Int) -> UInt64 {
    // SAFETY: callers give slots 0 to 63.
    get { unsafe words[slot] }
    nonmutating set { unsafe words[slot] = newValue }
  }

  /// Which slots are wholly free.
  @inline(__always)
  var freeSlots: UInt64 {
    get { unsafe words[Self.freeSlotsAt] }
    nonmutating set { unsafe words[Self.freeSlotsAt] = newValue }
  }

  private var codes: UnsafeMutablePointer<UInt8> {
    // SAFETY: eight words hold the 64 bytes; trivial types may share memory.
    unsafe UnsafeMutableRawPointer(words + Self.codesAt).assumingMemoryBound(to: UInt8.self)
  }

  @inline(__always)
  func code(_ slot: Int) -> UInt8 { unsafe codes[slot] }

  @inline(__always)
  func setCode(_ slot: Int, _ code: UInt8) { unsafe codes[slot] = code }

  /// The child in a slot of a node above level 1, if it has one.
  @inline(__always)
  func child(_ slot: Int) -> IOVANode? {
    // SAFETY: such a slot holds 0 or the address of a node made by `make`.
    guard
      let words = unsafe UnsafeMutablePointer<UInt64>(
        bitPattern: UInt(truncatingIfNeeded: self[slot]))
    else { return nil }
    return unsafe IOVANode(words: words)
  }

  @inline(__always)
  var rawValue: UInt64 { unsafe UInt64(UInt(bitPattern: words)) }

  /// The order code of the whole node.
  func summary(level: Int) -> UInt8 {
    let free = freeSlots
    if free != 0 { return UInt8(truncatingIfNeeded: 6 &* level) &+ PageBits.orderCode(free) }
    // SAFETY: 64 bytes, aligned to 64.
    let all = unsafe UnsafeMutableRawPointer(codes).load(as: SIMD64<UInt8>.self)
    return all.max()
  }

  /// The highest slot below `bound` whose order code is above `order`; -1 when none is.
  @inline(__always)
  func highestSlot(below bound: Int, order: Int) -> Int {
    guard bound > 0 else { return -1 }
    var index = (bound &- 1) &>> 3
    // Codes are below 64: adding 127 - order carries into bit 7 exactly when code > order.
    let add = UInt64(127 &- order) &* 0x0101_0101_0101_0101
    var keep = PageBits.low(((bound &- 1) & 7 &+ 1) &* 8)
    while true {
      // SAFETY: index goes from at most 7 down to 0. Bytes stand in order on little-endian CPUs,
      // the only ones this is built for.
      let hits = ((unsafe words[Self.codesAt + index]) &+ add) & 0x8080_8080_8080_8080 & keep
      if hits != 0 { return index &* 8 &+ PageBits.highest(hits) &>> 3 }
      if index == 0 { return -1 }
      index &-= 1
      keep = .max
    }
  }
}
