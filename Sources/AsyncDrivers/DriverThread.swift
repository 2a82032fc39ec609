internal import Glibc

/// One thread on which an actor lives: a driver that polls must not take a thread of the
/// concurrency pool.
///
/// The thread ends when the last reference to this object goes and its jobs are done.
final class DriverThread: SerialExecutor {
  private let work: Work

  /// - Throws: the host's errno when it has no thread left.
  init() throws(ThreadFailure) {
    let work = Work()
    self.work = work
    var thread = pthread_t()
    // The thread keeps the work for as long as it runs.
    let context = unsafe Unmanaged.passRetained(work).toOpaque()
    // SAFETY: the context is the work that was retained for the thread, taken back once.
    let code = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context)
    guard code == 0 else {
      unsafe Unmanaged<Work>.fromOpaque(context).release()
      throw ThreadFailure(code: Int(code))
    }
    pthread_detach(thread)
  }

  deinit { work.end() }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // The job may drop the actor and with it the last other reference to this object.
    work.add { [self] in unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// Whether a job waits for the one that runs now.
  var hasWaitingJobs: Bool { !work.isEmpty }
}

/// The host had no thread left.
struct ThreadFailure: Error {
  var code: Int
}

/// What a thread has to do, and where it sleeps while that is nothing.
@safe
private final class Work {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  private var jobs: [() -> Void] = []
  private var isEnding = false

  // SAFETY of every access: both are initialized in init and live as long as the object; jobs and
  // isEnding are only touched with the lock held.

  init() {
    unsafe lock = .allocate(capacity: 1)
    unsafe changed = .allocate(capacity: 1)
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe changed.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(lock, nil)
    unsafe pthread_cond_init(changed, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe pthread_cond_destroy(changed)
    unsafe lock.deallocate()
    unsafe changed.deallocate()
  }

  func add(_ job: @escaping () -> Void) {
    unsafe pthread_mutex_lock(lock)
    jobs.append(job)
    unsafe pthread_cond_signal(changed)
    unsafe pthread_mutex_unlock(lock)
  }

  func end() {
    unsafe pthread_mutex_lock(lock)
    isEnding = true
    unsafe pthread_cond_signal(changed)
    unsafe pthread_mutex_unlock(lock)
  }

  var isEmpty: Bool {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return jobs.isEmpty
  }

  /// The thread's life.
  func run() {
    var batch: [() -> Void] = []
    while true {
      unsafe pthread_mutex_lock(lock)
      while jobs.isEmpty && !isEnding { unsafe pthread_cond_wait(changed, lock) }
      swap(&batch, &jobs)
      unsafe pthread_mutex_unlock(lock)
      guard !batch.isEmpty else { return }
      for job in batch { job() }
      batch.removeAll(keepingCapacity: true)
    }
  }
}

// SAFETY: everything that changes is touched with the lock held.
extension Work: @unchecked Sendable {}
