internal import DMA
internal import DMASupport
internal import Synchronization

/// A lock for a few instructions that costs next to nothing while one thread alone maps.
///
/// A thread that maps often, and no other does, becomes its favourite and takes the lock by plain
/// stores: an exchange would make every look-up wait for all loads before it, which costs more than
/// all else here. Another thread ends that with a fence that all threads execute
/// (`dma_fence_heavy`); then all exchange, until one has been alone for long. Not recursive.
@safe
struct BiasedLock: ~Copyable {
  /// The favourite's mark; 0 for none.
  private let favourite = Atomic<UInt>(0)
  /// Whether the favourite is inside by its own way.
  private let isFavouriteInside = Atomic<Bool>(false)
  private let raw = RawSpinLock()
  /// Who came by the exchange last, and how often in a row; only under `raw`.
  private let last = Atomic<UInt>(0)
  private let streak = Atomic<Int>(0)

  /// By which way the lock was taken.
  enum Way: UInt8 {
    case favourite
    case exchange
  }

  /// Takes the lock on a thread that maps; it may become the favourite.
  @inline(__always)
  func lock() -> Way {
    let mark = dma_thread_mark()
    if favourite.load(ordering: .relaxed) == mark, enter(mark) { return .favourite }
    return lockByExchange(mark, mayClaim: true)
  }

  /// Takes the lock on any other occasion.
  func lockRarely() -> Way {
    let mark = dma_thread_mark()
    if favourite.load(ordering: .relaxed) == mark, enter(mark) { return .favourite }
    return lockByExchange(mark, mayClaim: false)
  }

  /// Gives the lock back.
  @inline(__always)
  func unlock(_ way: Way) {
    // Releasing: what was written under the lock is seen by the next holder.
    switch way {
    case .favourite: isFavouriteInside.store(false, ordering: .releasing)
    case .exchange: raw.unlock()
    }
  }

  /// Goes in as the favourite, unless that has just ended.
  @inline(__always)
  private func enter(_ mark: UInt) -> Bool {
    isFavouriteInside.store(true, ordering: .relaxed)
    // Against the heavy fence: either this thread sees that it is no favourite any more, or the
    // other sees that this one is inside.
    dma_fence_light()
    if favourite.load(ordering: .acquiring) == mark { return true }
    isFavouriteInside.store(false, ordering: .releasing)
    return false
  }

  @inline(never)
  private func lockByExchange(_ mark: UInt, mayClaim: Bool) -> Way {
    raw.lock()
    let old = favourite.load(ordering: .relaxed)
    if old != 0 {
      favourite.store(0, ordering: .relaxed)
      dma_fence_heavy()
      while isFavouriteInside.load(ordering: .acquiring) { dma_cpu_relax() }
      streak.store(0, ordering: .relaxed)
      last.store(mark, ordering: .relaxed)
      return .exchange
    }
    let isSame = last.load(ordering: .relaxed) == mark
    let count = isSame ? streak.load(ordering: .relaxed) &+ 1 : 0
    if mayClaim, count >= Self.streakMin {
      // The fences need the thread to be known.
      _ = dma_thread_slot()
      favourite.store(mark, ordering: .relaxed)
    }
    last.store(mark, ordering: .relaxed)
    streak.store(count, ordering: .relaxed)
    return .exchange
  }

  /// Exchanges in a row that make a thread the favourite again: what the heavy fence cost is earned
  /// by then.
  private static var streakMin: Int { 1024 }
}
