/// Where some leaves of the tree of free pages are, by their pages: a table of 64, each place for one
/// page number modulo 64 leaves.
///
/// A leaf is a node of level 1 and holds 4096 pages.
@safe
struct LeafCache: ~Copyable {
  /// Two words a place: the leaf's number, all ones when there is none, and its address.
  private let words: UnsafeMutablePointer<UInt64>

  private static var count: Int { 64 }

  init() {
    unsafe words = .allocate(capacity: 2 * Self.count)
    unsafe words.initialize(repeating: .max, count: 2 * Self.count)
  }

  deinit { unsafe words.deallocate() }

  /// The leaf that holds a page, if it is known.
  @inline(__always)
  func find(_ page: UInt64) -> IOVANode? {
    let number = page &>> 12
    // SAFETY: an index below twice the count; the address is a node's while its number stands there.
    let place = unsafe words + 2 &* Int(truncatingIfNeeded: number & 63)
    guard unsafe place[0] == number,
      let leaf = unsafe UnsafeMutablePointer<UInt64>(
        bitPattern: UInt(truncatingIfNeeded: place[1]))
    else { return nil }
    return unsafe IOVANode(words: leaf)
  }

  func add(_ page: UInt64, _ leaf: IOVANode) {
    let number = page &>> 12
    // SAFETY: as above.
    let place = unsafe words + 2 &* Int(truncatingIfNeeded: number & 63)
    unsafe place[0] = number
    unsafe place[1] = leaf.rawValue
  }

  /// Forgets all leaves, before one of them goes.
  func clear() {
    for index in 0..<Self.count { unsafe words[2 * index] = .max }
  }
}

extension IOVANode {
  /// Marks pages of one word of a leaf, when that changes nothing above the leaf; false, and nothing
  /// is changed, when it does.
  ///
  /// - Parameter page: any of the word.
  @inline(__always)
  func markWord(_ page: UInt64, _ mask: UInt64, _ isTaken: Bool, _ isExact: Bool) -> Bool {
    let slot = Int(truncatingIfNeeded: page &>> 6 & 63)
    let old = self[slot]
    precondition(!isExact || old & mask == mask, "pages are given back once, as they were taken")
    let new = isTaken ? old | mask : old & ~mask
    let oldCode = code(slot)
    let newCode = PageBits.orderCode(~new)
    if newCode != oldCode {
      let own = ownCode
      if newCode > own { return false }
      setCode(slot, newCode)
      if oldCode == 7 || newCode == 7 {
        let bit = 1 &<< UInt64(truncatingIfNeeded: slot)
        let before = freeSlots
        freeSlots = newCode == 7 ? before | bit : before & ~bit
        if summary(level: 1) != own {
          freeSlots = before
          setCode(slot, oldCode)
          return false
        }
      } else if oldCode == own && newCode < oldCode && summary(level: 1) != own {
        setCode(slot, oldCode)
        return false
      }
    }
    self[slot] = new
    return true
  }
}
