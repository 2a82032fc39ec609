import DMAMapping
import Glibc
import Synchronization

/// Runs `body` on several threads at once and waits for all.
func runThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  final class Start {
    let index: Int
    let body: @Sendable (Int) -> Void
    init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
      self.index = index
      self.body = body
    }
  }
  var threads: [pthread_t] = []
  for index in 0..<count {
    var thread = pthread_t()
    let start = unsafe Unmanaged.passRetained(Start(index, body)).toOpaque()
    // SAFETY: the thread takes over the reference.
    let status = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        start.body(start.index)
        return nil
      }, start)
    precondition(status == 0, "a thread can be made")
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}

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
