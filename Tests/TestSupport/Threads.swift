import Glibc

/// Runs `body` on several threads at once and waits for all.
public func runThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
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
