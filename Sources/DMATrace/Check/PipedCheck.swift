import Glibc

/// Checks events on a thread of its own, while the reader goes on reading.
///
/// Events and their lists go over in batches. The checker asks for no name before the end, so the
/// tables of names stay the reader's; lists are copied into a context of the checker's.
@safe
final class PipedCheck: TraceSink, @unchecked Sendable {
  private let checker: CheckSink
  private let lists = TraceContext()
  private let context: TraceContext
  // SAFETY: owned; a batch is touched by the thread whose semaphore let it in, and by no other.
  private let batches: UnsafeMutablePointer<Batch>
  private let free: UnsafeMutablePointer<sem_t>
  private let filled: UnsafeMutablePointer<sem_t>
  private var current = 0
  private var thread = pthread_t()
  private static let batchCount = 4

  @safe
  private struct Batch {
    static let capacity = 2048
    var events: UnsafeMutablePointer<TraceEvent>
    var count = 0
    var numbers: UnsafeMutablePointer<UInt64>
    var numberCount = 0
    var numberCapacity = 1024
    var isLast = false

    init() {
      unsafe events = .allocate(capacity: Self.capacity)
      unsafe numbers = .allocate(capacity: 1024)
    }

    func deallocate() {
      unsafe events.deallocate()
      unsafe numbers.deallocate()
    }

    mutating func append(_ list: UnsafePointer<UInt64>, _ count: Int) {
      if numberCount + count > numberCapacity {
        numberCapacity = max(numberCapacity * 2, numberCount + count)
        let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: numberCapacity)
        unsafe larger.update(from: numbers, count: numberCount)
        unsafe numbers.deallocate()
        unsafe numbers = larger
      }
      unsafe (numbers + numberCount).update(from: list, count: count)
      numberCount += count
    }
  }

  /// - Returns: nil when there is no thread to be had.
  init?(context: TraceContext, options: CheckOptions) {
    self.context = context
    checker = CheckSink(context: lists, options: options)
    unsafe batches = .allocate(capacity: Self.batchCount)
    for index in 0..<Self.batchCount { unsafe (batches + index).initialize(to: Batch()) }
    unsafe free = .allocate(capacity: 1)
    unsafe filled = .allocate(capacity: 1)
    unsafe sem_init(free, 0, UInt32(Self.batchCount - 1))
    unsafe sem_init(filled, 0, 0)
    let created = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<PipedCheck>.fromOpaque(argument).takeUnretainedValue().run()
        return nil
      }, unsafe Unmanaged.passUnretained(self).toOpaque())
    guard created == 0 else { return nil }
  }

  deinit {
    for index in 0..<Self.batchCount { unsafe batches[index].deallocate() }
    unsafe sem_destroy(free)
    unsafe sem_destroy(filled)
    unsafe batches.deallocate()
    unsafe free.deallocate()
    unsafe filled.deallocate()
  }

  // MARK: The reader's side

  @inline(__always)
  func accept(_ event: inout TraceEvent) {
    // A full batch goes over only now: a stack may still have come for its last event.
    if unsafe batches[current].count == Batch.capacity { handOver() }
    let batch = unsafe batches + current
    let place = unsafe batch.pointee.events + batch.pointee.count
    unsafe place.initialize(to: event)
    unsafe batch.pointee.count &+= 1
    let count = Int(event.busCount) &+ Int(event.lengthCount) &+ Int(event.physicalCount)
    if count > 0 {
      unsafe place.pointee.listStart = UInt32(truncatingIfNeeded: batch.pointee.numberCount)
      unsafe batch.pointee.append(context.lists + Int(event.listStart), count)
    }
  }

  func attachStack(_ stack: UInt32) {
    let batch = unsafe batches + current
    if unsafe batch.pointee.count > 0 {
      unsafe batch.pointee.events[batch.pointee.count - 1].stack = stack
    }
  }

  private func handOver() {
    unsafe sem_post(filled)
    current = (current + 1) % Self.batchCount
    while unsafe sem_wait(free) != 0 {}
  }

  /// Waits until everything was judged.
  func finish() {
    unsafe batches[current].isLast = true
    unsafe sem_post(filled)
    pthread_join(thread, nil)
    checker.adopt(context)
    checker.finish()
  }

  func report(path: String) -> CheckReport { checker.report(path: path) }

  // MARK: The checker's side

  private func run() {
    var index = 0
    while true {
      while unsafe sem_wait(filled) != 0 {}
      let batch = unsafe batches + index
      for number in unsafe 0..<batch.pointee.count {
        unsafe pass(&batch.pointee.events[number], batch.pointee.numbers)
      }
      if unsafe batch.pointee.isLast { return }
      unsafe batch.pointee.count = 0
      unsafe batch.pointee.numberCount = 0
      unsafe sem_post(free)
      index = (index + 1) % Self.batchCount
    }
  }

  @inline(__always)
  private func pass(_ event: inout TraceEvent, _ numbers: UnsafeMutablePointer<UInt64>) {
    if event.flags.contains(.timed) { lists.isTimed = true }
    let start = lists.listCount
    let count = Int(event.busCount) &+ Int(event.lengthCount) &+ Int(event.physicalCount)
    for index in 0..<count {
      unsafe lists.appendToList(numbers[Int(event.listStart) &+ index])
    }
    event.listStart = UInt32(truncatingIfNeeded: start)
    checker.accept(&event)
  }
}
