internal import DMA

/// Blocks of a pool that are kept at numbered places.
@safe
struct BlockSlots: ~Copyable {
  private let slots: UnsafeMutablePointer<DMAPoolBlock?>
  let count: Int

  init(count: Int) {
    self.count = count
    unsafe slots = .allocate(capacity: count)
    // SAFETY: freshly allocated for that many.
    for index in 0..<count { unsafe (slots + index).initialize(to: nil) }
  }

  deinit {
    // SAFETY: all are initialized.
    unsafe slots.deinitialize(count: count)
    unsafe slots.deallocate()
  }

  /// Keeps a block at an empty place.
  func put(_ block: consuming DMAPoolBlock, at index: Int) {
    precondition(index >= 0 && index < count, "there are \(count) places")
    // SAFETY: the index was checked.
    unsafe slots[index] = consume block
  }

  /// Takes the block out of a place.
  func take(at index: Int) -> DMAPoolBlock? {
    precondition(index >= 0 && index < count, "there are \(count) places")
    // SAFETY: the index was checked; take() leaves nil behind.
    return unsafe slots[index].take()
  }

  /// Lends the block at a place; nothing happens when there is none.
  func with(_ index: Int, _ body: (borrowing DMAPoolBlock) -> Void) {
    guard let block = take(at: index) else { return }
    body(block)
    put(block, at: index)
  }

  /// Gives all blocks back to their pools.
  func drain() {
    for index in 0..<count { _ = take(at: index) }
  }
}
