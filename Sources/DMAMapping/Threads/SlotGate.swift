internal import DMA
public import DMASupport
public import Synchronization

/// Guards what one thread slot owns, at the price of two plain stores and a load.
///
/// The owner enters and leaves without an atomic read-modify-write. Somebody else who needs the
/// state, rarely, stops all gates of a set first: raises the flags, makes every thread fence
/// (`dma_fence_heavy`), and waits until nobody is inside. Slot 0 is shared and takes a lock.
///
/// `enterPlainly` and `leavePlainly` are all that a hot path holds: they leave everything unusual to
/// `enter` and `leave`.
///
/// The inside must not wait, and must not enter a gate of the same set again.
@usableFromInline
struct SlotGate: ~Copyable {
  @usableFromInline let isInside = Atomic<Bool>(false)
  /// Why the plain way in is closed; 0 while it is open.
  @usableFromInline let closed: Atomic<UInt8>
  private let shared = RawSpinLock()

  /// Somebody looks into all of the set.
  private static var stopped: UInt8 { 1 }
  /// The slot is shared, or a light fence is not free, or its user wants it so.
  private static var plainNever: UInt8 { 2 }

  /// - Parameter isPlain: whether the plain way in may ever be open.
  init(slot: Int, isPlain: Bool = true) {
    // The first claim of a slot decides what fences cost.
    _ = dma_thread_slot()
    let isOpen = isPlain && slot != 0 && dma_fence_light_is_free() != 0
    closed = Atomic(isOpen ? 0 : Self.plainNever)
  }

  /// How many slots there are.
  static var count: Int { Int(DMA_THREAD_SLOT_COUNT) }

  /// The calling thread's slot, which it claims if it has none yet.
  @inline(__always)
  static var currentSlot: Int { Int(dma_thread_slot()) }

  /// The calling thread's slot, or 0 while it has none.
  @inlinable
  @inline(__always)
  static var claimedSlot: Int { Int(dma_thread_slot_claimed()) }

  /// Takes the state for the calling thread, whose slot this is, if that takes nothing special.
  @inlinable
  @inline(__always)
  func enterPlainly() -> Bool {
    // Relaxed, then a fence that costs nothing: whoever stops the gate pays for both.
    isInside.store(true, ordering: .relaxed)
    dma_fence_light_free()
    // Acquiring: what was done while the gate was stopped is seen.
    if closed.load(ordering: .acquiring) == 0 { return true }
    isInside.store(false, ordering: .releasing)
    return false
  }

  /// Gives back what was entered plainly.
  @inlinable
  @inline(__always)
  func leavePlainly() {
    // Releasing: what was done inside is seen by whoever stops the gate.
    isInside.store(false, ordering: .releasing)
  }

  /// Takes the state for the calling thread, whose slot this is.
  func enter(slot: Int) {
    if slot == 0 { shared.lock() }
    while true {
      // Relaxed, then a fence: whoever stops the gate either sees this store or is seen below.
      isInside.store(true, ordering: .relaxed)
      dma_fence_light()
      if closed.load(ordering: .acquiring) & Self.stopped == 0 { return }
      isInside.store(false, ordering: .releasing)
      while closed.load(ordering: .relaxed) & Self.stopped != 0 { dma_cpu_relax() }
    }
  }

  /// Gives the state back.
  func leave(slot: Int) {
    isInside.store(false, ordering: .releasing)
    if slot == 0 { shared.unlock() }
  }

  /// First step of stopping a set: no owner gets in any more once the heavy fence is done.
  ///
  /// One at a time, and not from inside of a gate of the set.
  func raise() { closed.store(closed.load(ordering: .relaxed) | Self.stopped, ordering: .relaxed) }

  /// Second step, after `dma_fence_heavy`: waits until nobody is inside.
  func waitUntilLeft() {
    while isInside.load(ordering: .acquiring) { dma_cpu_relax() }
  }

  /// Lets the owner in again.
  func lower() {
    closed.store(closed.load(ordering: .relaxed) & ~Self.stopped, ordering: .releasing)
  }
}
