internal import CSimulatedHost

/// Which pages are free: a binary tree over all of them, one byte a node, outside of the pages.
///
/// A node of order k covers 2^k pages. Its byte says how far the largest free block below it falls
/// short of the whole node, so that zero means "all free" and fresh memory is a valid tree: what
/// was never used costs nothing. Finding the lowest or highest free block in a range, taking it
/// and giving it back are O(log n), for any limit, not only at zone ends.
///
/// Invariant: all nodes below an all-free node or below a block taken whole are all-free.
@safe
struct BuddyTree: ~Copyable {
  /// The block was taken in one piece.
  private static var taken: UInt8 { 0x80 }

  private let nodes: UnsafeMutablePointer<UInt8>
  /// The root's order.
  let order: Int

  /// A tree over at least `pageCount` pages, all free; nil when the host has no memory for it.
  init?(pageCount: Int) {
    precondition(pageCount > 0, "a tree has pages")
    let order = pageCount == 1 ? 0 : Int.bitWidth - (pageCount - 1).leadingZeroBitCount
    let address = simulated_host_private(2 << UInt64(order))
    guard let nodes = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address) else { return nil }
    unsafe self.nodes = nodes
    self.order = order
  }

  deinit { unsafe simulated_host_release(UInt(bitPattern: nodes), 2 << UInt64(order)) }

  /// The smallest order that holds this many pages.
  static func order(for pageCount: Int) -> Int {
    pageCount <= 1 ? 0 : Int.bitWidth - (pageCount - 1).leadingZeroBitCount
  }

  // SAFETY of every access below: node numbers run from 1 to 2^(order + 1) - 1, which is what was
  // allocated; they are made only by starting at the root and going down at most `order` levels.

  private func largest(_ node: Int, _ order: Int) -> Int {
    let value = unsafe nodes[node]
    return value & Self.taken != 0 ? -1 : order - Int(value)
  }

  private func update(_ node: Int, _ order: Int) {
    let left = unsafe nodes[2 * node]
    let right = unsafe nodes[2 * node + 1]
    if left == 0 && right == 0 {
      unsafe nodes[node] = 0
    } else {
      let best = max(largest(2 * node, order - 1), largest(2 * node + 1, order - 1))
      unsafe nodes[node] = UInt8(order - best)
    }
  }

  private func updateAncestors(of node: Int, _ order: Int) {
    var node = node
    var order = order
    while node > 1 {
      node /= 2
      order += 1
      update(node, order)
    }
  }

  private func node(_ page: Int, _ order: Int) -> Int {
    1 << (self.order - order) + page >> order
  }

  // MARK: Finding

  /// The first page of a free block of `order`, starting at a page of `starts`.
  func find(order: Int, starts: ClosedRange<Int>, highest: Bool) -> Int? {
    guard order <= self.order else { return nil }
    return find(order, starts, highest, node: 1, nodeOrder: self.order, nodeStart: 0)
  }

  /// Nodes wholly inside of the range never fail once entered, so only its two ends branch.
  private func find(
    _ order: Int, _ starts: ClosedRange<Int>, _ highest: Bool, node: Int, nodeOrder: Int,
    nodeStart: Int
  ) -> Int? {
    guard largest(node, nodeOrder) >= order, nodeStart <= starts.upperBound,
      nodeStart + 1 << nodeOrder > starts.lowerBound
    else { return nil }
    if nodeOrder == order { return starts.contains(nodeStart) ? nodeStart : nil }
    let half = nodeOrder - 1
    let first = highest ? 1 : 0
    return find(
      order, starts, highest, node: 2 * node + first, nodeOrder: half,
      nodeStart: nodeStart + first << half)
      ?? find(
        order, starts, highest, node: 2 * node + 1 - first, nodeOrder: half,
        nodeStart: nodeStart + (1 - first) << half)
  }

  // MARK: Taking and giving back

  /// Takes pages from the start of a free, naturally aligned block that holds them.
  mutating func take(page: Int, count: Int) {
    let order = Self.order(for: count)
    let top = node(page, order)
    takePrefix(top, order, count)
    updateAncestors(of: top, order)
  }

  private func takePrefix(_ node: Int, _ order: Int, _ count: Int) {
    if count == 1 << order {
      unsafe nodes[node] = Self.taken
      return
    }
    let half = 1 << (order - 1)
    takePrefix(2 * node, order - 1, min(count, half))
    if count > half { takePrefix(2 * node + 1, order - 1, count - half) }
    update(node, order)
  }

  /// Gives back exactly what was taken at once; anything else traps.
  mutating func giveBack(page: Int, count: Int) {
    let order = Self.order(for: count)
    precondition(
      count > 0 && page >= 0 && page & (1 << order - 1) == 0 && page + count <= 1 << self.order,
      "freed pages are what was allocated")
    let top = node(page, order)
    var above = top / 2
    while above > 0 {
      let value = unsafe nodes[above]
      precondition(value != 0, "pages freed twice, or never allocated")
      precondition(value != Self.taken, "pages freed that are part of a larger allocation")
      above /= 2
    }
    giveBackPrefix(top, order, count)
    updateAncestors(of: top, order)
  }

  private func giveBackPrefix(_ node: Int, _ order: Int, _ count: Int) {
    let value = unsafe nodes[node]
    precondition(value != 0, "pages freed twice, or never allocated")
    if count == 1 << order {
      precondition(value == Self.taken, "pages freed with another size than allocated")
      unsafe nodes[node] = 0
      return
    }
    precondition(value != Self.taken, "pages freed with another size than allocated")
    let half = 1 << (order - 1)
    giveBackPrefix(2 * node, order - 1, min(count, half))
    if count > half { giveBackPrefix(2 * node + 1, order - 1, count - half) }
    update(node, order)
  }

  /// Takes any free pages for good: holes, and what is not there.
  mutating func withdraw(_ pages: Range<Int>) {
    withdraw(pages, node: 1, order: order, start: 0)
  }

  private func withdraw(_ pages: Range<Int>, node: Int, order: Int, start: Int) {
    let end = start + 1 << order
    if pages.upperBound <= start || pages.lowerBound >= end { return }
    if pages.lowerBound <= start && pages.upperBound >= end {
      unsafe nodes[node] = Self.taken
      return
    }
    withdraw(pages, node: 2 * node, order: order - 1, start: start)
    withdraw(pages, node: 2 * node + 1, order: order - 1, start: start + 1 << (order - 1))
    update(node, order)
  }

  // MARK: Asking

  /// The end of the taken block that a page lies in, or nil when the page is free.
  func endOfTakenBlock(at page: Int) -> Int? {
    guard page >= 0, page < 1 << order else { return nil }
    var node = 1
    var order = order
    while true {
      let value = unsafe nodes[node]
      if value == 0 { return nil }
      if value == Self.taken { return (page >> order + 1) << order }
      order -= 1
      node = 2 * node + page >> order & 1
    }
  }
}
