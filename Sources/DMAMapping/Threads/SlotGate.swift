internal import DMA
internal import DMASupport
internal import Synchronization

/// Guards what one thread slot owns, at the price of two plain stores and a load.
///
/// The owner enters and leaves without an atomic read-modify-write. Somebody else who needs the
/// state, rarely, stops all gates of a set first: raises the flags, makes every thread fence
/// (`dma_fence_heavy`), and waits until nobody is inside. Slot 0 is shared and takes a lock.
///
/// The inside must not wait, and must not enter a gate of the same set again.
struct SlotGate: ~Copyable {
  private let isInside = Atomic<Bool>(false)
  private let isStopped = Atomic<Bool>(false)
  private let shared = RawSpinLock()

  /// How many slots there are.
  static var count: Int { Int(DMA_THREAD_SLOT_COUNT) }

  /// The calling thread's slot.
  @inline(__always)
  static var currentSlot: Int { Int(dma_thread_slot()) }

  /// Takes the state for the calling thread, whose slot this is.
  @inline(__always)
  func enter(slot: Int) {
    if slot == 0 { shared.lock() }
    // Relaxed, then a fence: whoever stops the gate either sees this store or is seen below.
    isInside.store(true, ordering: .relaxed)
    dma_fence_light()
    // Acquiring: what was done while the gate was stopped is seen.
    if isStopped.load(ordering: .acquiring) { enterAgain() }
  }

  @inline(never)
  private func enterAgain() {
    repeat {
      isInside.store(false, ordering: .releasing)
      while isStopped.load(ordering: .relaxed) { dma_cpu_relax() }
      isInside.store(true, ordering: .relaxed)
      dma_fence_light()
    } while isStopped.load(ordering: .acquiring)
  }

  /// Gives the state back.
  @inline(__always)
  func leave(slot: Int) {
    // Releasing: what was done inside is seen by whoever stops the gate.
    isInside.store(false, ordering: .releasing)
    if slot == 0 { shared.unlock() }
  }

  /// First step of stopping a set: no owner gets in any more once the heavy fence is done.
  ///
  /// One at a time, and not from inside of a gate of the set.
  func raise() { isStopped.store(true, ordering: .relaxed) }

  /// Second step, after `dma_fence_heavy`: waits until nobody is inside.
  func waitUntilLeft() {
    while isInside.load(ordering: .acquiring) { dma_cpu_relax() }
  }

  /// Lets the owner in again.
  func lower() { isStopped.store(false, ordering: .releasing) }
}
