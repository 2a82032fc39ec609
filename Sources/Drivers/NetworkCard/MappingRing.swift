internal import DMA

/// The buffers that belong to a ring's descriptors, at the same places.
@safe
struct MappingRing<Direction: TransferDirection>: ~Copyable {
  private let slots: UnsafeMutablePointer<StreamingMapping<Direction>?>
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

  /// Keeps a mapping at an empty place.
  func put(_ mapping: consuming StreamingMapping<Direction>, at index: Int) {
    precondition(index >= 0 && index < count, "a ring has \(count) places")
    // SAFETY: the index was checked.
    unsafe slots[index] = consume mapping
  }

  /// Takes the mapping out of a place.
  func take(at index: Int) -> StreamingMapping<Direction>? {
    precondition(index >= 0 && index < count, "a ring has \(count) places")
    // SAFETY: the index was checked; take() leaves nil behind.
    return unsafe slots[index].take()
  }

  /// After the card is quiet: gives all memory back.
  func drain() {
    for index in 0..<count {
      if let mapping = take(at: index) { _ = mapping.unmap() }
    }
  }
}
