// What is taken, of the pages of a space.

extension IOVATree {
  /// The lowest taken page at or above `first`; all ones when there is none.
  func nextTaken(_ first: UInt64) -> UInt64 {
    if let leaf = leaves.find(first) {
      let inside = nextTaken(leaf, 1, first & 4095)
      if inside != .max { return first & ~4095 &+ inside }
    }
    return nextTaken(root, rootLevel, first)
  }

  fileprivate func nextTaken(_ node: IOVANode, _ level: Int, _ first: UInt64) -> UInt64 {
    let shift = UInt64(truncatingIfNeeded: 6 &* level)
    guard first &>> shift < 64 else { return .max }
    var slot = Int(truncatingIfNeeded: first &>> shift)
    var rest = first & (1 &<< shift &- 1)
    while slot < 64 {
      let found: UInt64
      if level == 1 {
        let bits = node[slot] & ~PageBits.low(Int(truncatingIfNeeded: rest))
        found = bits == 0 ? .max : UInt64(truncatingIfNeeded: bits.trailingZeroBitCount)
      } else if let child = node.child(slot) {
        found = nextTaken(child, level &- 1, rest)
      } else {
        found = node.code(slot) == 0 ? rest : .max
      }
      if found != .max { return found &+ UInt64(truncatingIfNeeded: slot) &<< shift }
      rest = 0
      let next = ~node.freeSlots & ~PageBits.low(slot &+ 1)
      slot = next == 0 ? 64 : next.trailingZeroBitCount
    }
    return .max
  }

  /// How many of some pages, counted from the node's first, are taken.
  func taken(
    _ node: IOVANode, _ level: Int, _ first: UInt64, _ count: UInt64
  ) -> UInt64 {
    let shift = UInt64(truncatingIfNeeded: 6 &* level)
    let end = first &+ count
    var position = first
    var sum: UInt64 = 0
    while position < end {
      let slot = Int(truncatingIfNeeded: position &>> shift)
      let slotStart = (position &>> shift) &<< shift
      let part = min(end, slotStart &+ 1 &<< shift) &- position
      if level == 1 {
        let mask = PageBits.low(Int(truncatingIfNeeded: part)) &<< (position &- slotStart)
        sum &+= UInt64((node[slot] & mask).nonzeroBitCount)
      } else if let child = node.child(slot) {
        sum &+= taken(child, level &- 1, position &- slotStart, part)
      } else if node.code(slot) == 0 {
        sum &+= part
      }
      position &+= part
    }
    return sum
  }
}
