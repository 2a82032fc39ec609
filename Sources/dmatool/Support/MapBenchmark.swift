internal import DMA
internal import Glibc

/// Maps and unmaps on several threads for a while, and times each call: what Linux's
/// dma_map_benchmark does for a kernel's mappings.
struct MapBenchmark {
  /// What is mapped, and how.
  struct Plan {
    var threadCount: Int
    var nanoseconds: UInt64
    var byteCount: Int
    /// Between map and unmap: what a transfer would take.
    var delayNanoseconds: UInt64
    var placement: StreamingBuffer.Placement
  }

  /// What one thread, or all of them, saw.
  struct Times: Sendable {
    var map = LatencyHistogram()
    var unmap = LatencyHistogram()
  }

  let device: DMADevice
  let plan: Plan

  /// Nanoseconds of reading the clock once: part of every time.
  static var clockNanoseconds: Double {
    let begun = HostClock.nanoseconds
    for _ in 0..<9999 { _ = HostClock.nanoseconds }
    return Double(HostClock.nanoseconds - begun) / 10000
  }

  /// Runs it for one direction.
  ///
  /// - Throws: the first error of any thread.
  func run<D: TransferDirection>(_ direction: D.Type) throws(DMAError) -> Times {
    var workers: [Worker<D>] = []
    for _ in 0..<plan.threadCount {
      let buffer = try StreamingBuffer(
        byteCount: plan.byteCount, in: device.platform, placement: plan.placement)
      workers.append(Worker(device, plan, buffer))
    }
    for worker in workers { worker.start() }
    var times = Times()
    var failure: DMAError?
    for worker in workers {
      worker.join()
      times.map.add(worker.times.map)
      times.unmap.add(worker.times.unmap)
      failure = failure ?? worker.failure
    }
    if let failure { throw failure }
    return times
  }
}

/// One thread of a benchmark.
///
/// It alone uses what is in here between `start` and `join`, its maker before and after.
private final class Worker<D: TransferDirection>: @unchecked Sendable {
  private let device: DMADevice
  private let plan: MapBenchmark.Plan
  private var buffer: StreamingBuffer?
  private var thread = pthread_t()
  private(set) var times = MapBenchmark.Times()
  private(set) var failure: DMAError?

  init(_ device: DMADevice, _ plan: MapBenchmark.Plan, _ buffer: consuming StreamingBuffer) {
    self.device = device
    self.plan = plan
    self.buffer = consume buffer
  }

  func start() {
    let context = unsafe Unmanaged.passRetained(ThreadBody { self.measure() }).toOpaque()
    // SAFETY: the thread takes the reference that was made for it.
    let status = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context)
    precondition(status == 0, "the host has room for a thread")
  }

  func join() { pthread_join(thread, nil) }

  private func measure() {
    let end = HostClock.nanoseconds + plan.nanoseconds
    var now = HostClock.nanoseconds
    while now < end {
      guard let taken = buffer.take() else { return }
      let begun = HostClock.nanoseconds
      switch taken.map(D.self, for: device) {
      case .mapped(let mapping):
        let mapped = HostClock.nanoseconds
        if plan.delayNanoseconds > 0 {
          while HostClock.nanoseconds - mapped < plan.delayNanoseconds {}
        }
        let transferred = HostClock.nanoseconds
        buffer = mapping.unmap()
        now = HostClock.nanoseconds
        times.map.add(mapped - begun)
        times.unmap.add(now - transferred)
      case .failed(let back, let error):
        buffer = consume back
        failure = error
        return
      }
    }
  }
}

/// What a thread runs: a C function cannot capture.
private final class ThreadBody {
  let run: () -> Void

  init(_ run: @escaping () -> Void) { self.run = run }
}
