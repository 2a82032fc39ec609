/// Which pages of a bus address space are taken: a radix tree of bits that knows, for every part,
/// how long a free run it still has.
///
/// Sparse: a part that is all free or all taken has no node, so a space of 2^36 pages costs a few
/// hundred bytes. Every step is O(levels), at most eight. Not thread-safe. It places as Linux's
/// allocator does: from the last allocation downwards, then once more from the top.
struct IOVATree: ~Copyable {
  let root: IOVANode
  let rootLevel: Int
  /// One past the last page.
  let end: UInt64
  /// The search below 4 GiB starts below here: the start of a taken run, or the top.
  private var cursor32 = UInt64.max
  /// The same for the rest of the space.
  private var cursor = UInt64.max
  /// The smallest count that was last found not to fit below `failedEnd`, until something is
  /// freed there.
  private var failedCount = UInt64.max
  private var failedEnd: UInt64 = 0
  private var spares: UInt64 = 0
  private var spareCount = 0
  /// Pages taken, reserved ones and page 0 included.
  private(set) var takenCount: UInt64 = 0
  /// The way to the leaves that are used: most calls need no other node.
  let leaves = LeafCache()
  /// The level 1 node that `markWord` came to last; 0 when it is gone.
  private var lastLeaf: UInt64 = 0

  /// One past the last page below 4 GiB.
  static var end32: UInt64 { 1 << 20 }

  /// A space of pages 1 to `end` - 1.
  ///
  /// Page 0 is never given out: drivers take 0 for "none".
  init(end: UInt64) {
    precondition(end > 1 && end <= 1 << 52, "a space has pages 1 to at most 2^52 - 1")
    var level = 1
    while 6 * (level + 1) < PageBits.order(holding: end) { level += 1 }
    rootLevel = level
    root = IOVANode.make(level: level, isFree: true)
    self.end = end
    let capacity = 6 * (level + 1) >= 64 ? UInt64.max : 1 << UInt64(6 * (level + 1))
    if capacity > end { mark(end, capacity - end, isTaken: true) }
    mark(0, 1, isTaken: true)
    takenCount = 1
  }

  deinit {
    Self.release(root, rootLevel)
    var next = spares
    while next != 0 {
      let node = Self.node(next)
      next = node[0]
      node.free()
    }
  }

  private static func node(_ rawValue: UInt64) -> IOVANode {
    guard
      let words = unsafe UnsafeMutablePointer<UInt64>(
        bitPattern: UInt(truncatingIfNeeded: rawValue))
    else { preconditionFailure("a spare node has an address") }
    return unsafe IOVANode(words: words)
  }

  private static func release(_ node: IOVANode, _ level: Int) {
    if level > 1 {
      for slot in 0..<64 { if let child = node.child(slot) { release(child, level - 1) } }
    }
    node.free()
  }

  // MARK: Allocation

  /// Takes `count` pages below `limit`, aligned to the next power of two; 0 when there are none.
  mutating func allocate(_ count: UInt64, below limit: UInt64) -> UInt64 {
    let bound = min(limit, end)
    if count >= failedCount && bound <= failedEnd { return 0 }
    let start = bound <= Self.end32 ? cursor32 : cursor
    var found = search(count, below: min(bound, start))
    // Whatever is free below the cursor did not do: look above it, once, from the top.
    if found == .max && start < bound { found = search(count, below: bound) }
    guard found != .max else {
      if count < failedCount || bound >= failedEnd {
        failedCount = count
        failedEnd = bound
      }
      return 0
    }
    mark(found, count, isTaken: true)
    takenCount &+= count
    if found &+ count <= Self.end32 { cursor32 = found } else { cursor = found }
    return found
  }

  /// Gives pages back that `allocate` returned; traps when they are not taken.
  mutating func free(_ first: UInt64, _ count: UInt64) {
    precondition(first > 0 && first < end && count <= end - first, "pages of this space")
    mark(first, count, isTaken: false, isExact: true)
    takenCount &-= count
    let last = first &+ count
    if last <= Self.end32 && first >= cursor32 { cursor32 = nextTaken(last) }
    if first >= cursor { cursor = nextTaken(last) }
    if first < failedEnd { failedCount = .max }
  }

  /// Takes pages that must never be given out; some may be taken already.
  mutating func reserve(_ first: UInt64, _ count: UInt64) {
    guard first < end, count > 0 else { return }
    let count = min(count, end - first)
    takenCount &+= count &- taken(root, rootLevel, first, count)
    mark(first, count, isTaken: true)
  }

  /// Takes these pages; false when some are taken already.
  mutating func takeExactly(_ first: UInt64, _ count: UInt64) -> Bool {
    guard first < end, count <= end - first, taken(root, rootLevel, first, count) == 0 else {
      return false
    }
    reserve(first, count)
    return true
  }

  // MARK: Marking

  private mutating func mark(
    _ first: UInt64, _ count: UInt64, isTaken: Bool, isExact: Bool = false
  ) {
    let offset = first & 63
    if offset &+ count <= 64 {
      let mask = PageBits.low(Int(truncatingIfNeeded: count)) &<< offset
      if let leaf = leaves.find(first), leaf.markWord(first, mask, isTaken, isExact) { return }
      _ = markWord(root, rootLevel, first, mask, isTaken, isExact, code: .max)
      if lastLeaf != 0 { leaves.add(first, Self.node(lastLeaf)) }
    } else {
      _ = mark(root, rootLevel, first, count, isTaken, isExact)
    }
  }

  /// Marks pages of one word: the usual case, which looks again only at what can have changed.
  ///
  /// - Parameters:
  ///   - page: any of the word, counted from the node's first.
  ///   - code: the node's order code so far, or more where nobody asks for the new one.
  /// - Returns: the node's new order code.
  private mutating func markWord(
    _ node: IOVANode, _ level: Int, _ page: UInt64, _ mask: UInt64, _ isTaken: Bool,
    _ isExact: Bool, code: UInt8
  ) -> UInt8 {
    let shift = UInt64(truncatingIfNeeded: 6 &* level)
    let fullCode = UInt8(truncatingIfNeeded: 6 &* level &+ 1)
    let slot = Int(truncatingIfNeeded: page &>> shift)
    let oldCode = node.code(slot)
    let newCode: UInt8
    if level == 1 {
      let old = node[slot]
      precondition(!isExact || old & mask == mask, "pages are given back once, as they were taken")
      let new = isTaken ? old | mask : old & ~mask
      node[slot] = new
      newCode = PageBits.orderCode(~new)
      lastLeaf = node.rawValue
      defer { node.ownCode = node.summary(level: 1) }
      return settle(node, level, slot, from: oldCode, to: newCode, code: code)
    } else {
      let child: IOVANode
      if let present = node.child(slot) {
        child = present
      } else {
        child = takeNode(level: level &- 1, isFree: oldCode == fullCode)
        node[slot] = child.rawValue
      }
      newCode = markWord(
        child, level &- 1, page & (1 &<< shift &- 1), mask, isTaken, isExact, code: oldCode)
      if newCode == fullCode {
        node[slot] = 0
        drop(child, level &- 1)
      }
    }
    return settle(node, level, slot, from: oldCode, to: newCode, code: code)
  }

  /// Notes a slot's new order code, and returns the node's.
  private func settle(
    _ node: IOVANode, _ level: Int, _ slot: Int, from oldCode: UInt8, to newCode: UInt8,
    code: UInt8
  ) -> UInt8 {
    let fullCode = UInt8(truncatingIfNeeded: 6 &* level &+ 1)
    if newCode == oldCode { return code }
    node.setCode(slot, newCode)
    if oldCode == fullCode || newCode == fullCode {
      let bit = 1 &<< UInt64(truncatingIfNeeded: slot)
      let free = node.freeSlots
      node.freeSlots = newCode == fullCode ? free | bit : free & ~bit
    } else if newCode > oldCode {
      // No whole slot became free: the longest run is the new one or the one there was.
      return max(code, newCode)
    }
    // What shrank was not the longest run, nor part of a run of whole slots.
    if newCode < oldCode && oldCode < code && oldCode != fullCode { return code }
    return node.summary(level: level)
  }

  private mutating func takeNode(level: Int, isFree: Bool) -> IOVANode {
    guard spares != 0 else { return IOVANode.make(level: level, isFree: isFree) }
    let node = Self.node(spares)
    spares = node[0]
    spareCount &-= 1
    node.fill(level: level, isFree: isFree)
    return node
  }

  private mutating func drop(_ node: IOVANode, _ level: Int) {
    if level > 1 {
      for slot in 0..<64 { if let child = node.child(slot) { drop(child, level - 1) } }
    } else {
      leaves.clear()
      lastLeaf = 0
    }
    // A few stay at hand: a space that empties and fills would allocate again and again.
    if spareCount < 16 {
      node[0] = spares
      spares = node.rawValue
      spareCount &+= 1
    } else {
      node.free()
    }
  }

  /// Marks pages counted from the node's first.
  ///
  /// Returns the node's new order code.
  private mutating func mark(
    _ node: IOVANode, _ level: Int, _ first: UInt64, _ count: UInt64, _ isTaken: Bool,
    _ isExact: Bool
  ) -> UInt8 {
    let shift = UInt64(truncatingIfNeeded: 6 &* level)
    let fullCode = UInt8(truncatingIfNeeded: 6 &* level &+ 1)
    let end = first &+ count
    var position = first
    while position < end {
      let slot = Int(truncatingIfNeeded: position &>> shift)
      let slotStart = (position &>> shift) &<< shift
      let slotEnd = slotStart &+ 1 &<< shift
      let partEnd = min(end, slotEnd)
      let code: UInt8
      if level == 1 {
        let mask =
          PageBits.low(Int(truncatingIfNeeded: partEnd &- position)) &<< (position &- slotStart)
        let old = node[slot]
        precondition(
          !isExact || old & mask == mask, "pages are given back once, as they were taken")
        let new = isTaken ? old | mask : old & ~mask
        node[slot] = new
        code = PageBits.orderCode(~new)
      } else if position == slotStart && partEnd == slotEnd {
        precondition(
          !isExact || node.code(slot) == 0, "pages are given back once, as they were taken")
        if let child = node.child(slot) {
          node[slot] = 0
          drop(child, level - 1)
        }
        code = isTaken ? 0 : fullCode
      } else {
        let child: IOVANode
        if let present = node.child(slot) {
          child = present
        } else {
          child = takeNode(level: level - 1, isFree: node.code(slot) == fullCode)
          node[slot] = child.rawValue
        }
        code = mark(
          child, level &- 1, position &- slotStart, partEnd &- position, isTaken, isExact)
        if code == fullCode {
          node[slot] = 0
          drop(child, level - 1)
        }
      }
      node.setCode(slot, code)
      let bit = 1 &<< UInt64(truncatingIfNeeded: slot)
      let free = node.freeSlots
      node.freeSlots = code == fullCode ? free | bit : free & ~bit
      position = partEnd
    }
    let code = node.summary(level: level)
    if level == 1 { node.ownCode = code }
    return code
  }

  // MARK: Searching

  /// The highest place for `count` pages, aligned to the next power of two, that ends at or below
  /// `bound`; all ones when there is none.
  private func search(_ count: UInt64, below bound: UInt64) -> UInt64 {
    let order = PageBits.order(holding: count)
    if count == 1 &<< UInt64(truncatingIfNeeded: order) {
      // Nothing is higher than what the leaf has that `bound` lies in.
      let top = bound &- 1
      if order <= 12, bound > 0, let leaf = leaves.find(top) {
        let inside = highestRun(leaf, 1, order: order, below: top & 4095 &+ 1)
        if inside != .max { return top & ~4095 &+ inside }
      }
      return highestRun(root, rootLevel, order: order, below: bound)
    }
    // The last pages of the aligned block may be taken. Its first half must be free, which finds
    // the candidates; whether the rest of the request is free decides.
    let alignment: UInt64 = 1 &<< UInt64(truncatingIfNeeded: order)
    guard bound >= count else { return .max }
    var candidate = (bound &- count) & ~(alignment &- 1)
    while true {
      let half = highestRun(
        root, rootLevel, order: order - 1, below: candidate &+ alignment &>> 1)
      guard half != .max else { return .max }
      if half & (alignment &- 1) == 0 {
        if taken(root, rootLevel, half, count) == 0 { return half }
        guard half >= alignment else { return .max }
        candidate = half &- alignment
      } else {
        candidate = half & ~(alignment &- 1)
      }
    }
  }

  /// The highest naturally aligned free run of `1 << order` pages in a node that ends at or below
  /// `bound`, both counted from the node's first page; all ones when there is none.
  private func highestRun(
    _ node: IOVANode, _ level: Int, order: Int, below bound: UInt64
  ) -> UInt64 {
    let shift = 6 &* level
    let wideShift = UInt64(truncatingIfNeeded: shift)
    if order >= shift {
      let slots = order &- shift
      guard slots <= 6 else { return .max }
      let whole = Int(truncatingIfNeeded: min(64, bound &>> wideShift))
      let room = whole &- 1 &<< slots
      guard room >= 0 else { return .max }
      let runs =
        PageBits.alignedRuns(node.freeSlots, order: slots) & PageBits.low(room &+ 1)
      return runs == 0
        ? .max : UInt64(truncatingIfNeeded: PageBits.highest(runs)) &<< wideShift
    }
    let partial = Int(truncatingIfNeeded: min(64, bound &>> wideShift))
    let rest = bound & (1 &<< wideShift &- 1)
    if partial < 64 && rest != 0 && Int(node.code(partial)) > order {
      let inside = highestRun(inSlot: partial, of: node, level, order: order, below: rest)
      if inside != .max {
        return inside &+ UInt64(truncatingIfNeeded: partial) &<< wideShift
      }
    }
    let slot = node.highestSlot(below: partial, order: order)
    guard slot >= 0 else { return .max }
    let inside = highestRun(inSlot: slot, of: node, level, order: order, below: 1 &<< wideShift)
    return inside &+ UInt64(truncatingIfNeeded: slot) &<< wideShift
  }

  @inline(__always)
  private func highestRun(
    inSlot slot: Int, of node: IOVANode, _ level: Int, order: Int, below bound: UInt64
  ) -> UInt64 {
    let length: UInt64 = 1 &<< UInt64(truncatingIfNeeded: order)
    if level > 1 {
      if let child = node.child(slot) {
        return highestRun(child, level &- 1, order: order, below: bound)
      }
      // Wholly free: full slots have an order code of 0, which nobody asks for.
      return bound < length ? .max : (bound &- length) & ~(length &- 1)
    }
    guard bound >= length else { return .max }
    let runs =
      PageBits.alignedRuns(~node[slot], order: order)
      & PageBits.low(Int(truncatingIfNeeded: bound &- length &+ 1))
    return runs == 0 ? .max : UInt64(truncatingIfNeeded: PageBits.highest(runs))
  }
}
