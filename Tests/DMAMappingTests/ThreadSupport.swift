import DMAMapping
import Synchronization

/// A space, and who has which of its pages.
@safe
final class SharedSpace: @unchecked Sendable {
  let space: IOVASpace
  private let owned: UnsafeMutablePointer<Atomic<Bool>>
  private let clashCount = Atomic<Int>(0)

  init(last: UInt64) {
    space = IOVASpace(last: last)
    let count = Int(last >> 12) + 1
    unsafe owned = .allocate(capacity: count)
    for page in 0..<count { unsafe (owned + page).initialize(to: Atomic(false)) }
  }

  deinit { unsafe owned.deallocate() }

  var clashes: Int { clashCount.load(ordering: .relaxed) }

  func claim(_ page: UInt64) {
    if unsafe owned[Int(page)].exchange(true, ordering: .relaxed) {
      clashCount.add(1, ordering: .relaxed)
    }
  }

  func drop(_ page: UInt64) {
    if unsafe !owned[Int(page)].exchange(false, ordering: .relaxed) {
      clashCount.add(1, ordering: .relaxed)
    }
  }
}
