public import DMA
public import Drivers
public import PCI

/// An NVMe namespace for tasks: calls that suspend where the driver's own would wait.
///
/// What may cross between tasks:
/// - This actor is `Sendable`: any number of tasks may call it, and their commands run at once.
///   Commands of several tasks have no order among each other; one task's calls follow each other.
/// - A `StreamingBuffer` is `Sendable` and cannot be copied: a call takes it and gives it back, so
///   that no two tasks, and never a task and the controller, have the same memory.
/// - `NVMeDevice`, its queues and `PCIDevice` are not `Sendable`. The actor takes the function over
///   (`sending`), makes the driver, and hands none of it out.
///
/// The actor has a thread of its own, which polls while commands run and sleeps otherwise: no
/// thread of the concurrency pool ever waits for the controller.
///
/// A cancelled task still gets its answer: memory that the controller has cannot be taken back. A
/// call ends with an error within a second of the controller's last sign of life.
public actor NVMeDisk {
  /// What the calls read and write.
  public nonisolated let namespace: NVMeNamespace
  /// What the controller says it is.
  public nonisolated let identity: NVMeIdentity
  /// The most bytes of one call.
  public nonisolated let byteCountMax: Int

  private nonisolated let thread: DriverThread
  private let nvme: NVMeDevice
  private let queue: NVMeQueue
  /// Who waits for the command with this number.
  private var waiters: [CheckedContinuation<UInt16, Never>?]
  /// Numbers that no command has.
  private var freeNumbers: [Int]
  /// What came and was not collected by its task yet; as many as commands at most.
  private var finished: InFlightTable<NVMeCompletion>
  /// Tasks that wait for a place in the queue or in the mapping, the longest waiting first.
  private var waitingForRoom: [CheckedContinuation<Void, Never>] = []
  private var isPumping = false
  /// Why the controller was stopped, once it was.
  private var whyStopped: NVMeError?

  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe thread.asUnownedSerialExecutor()
  }

  /// Takes a controller over, with one I/O queue.
  ///
  /// Waits for the controller: half a second at most on real ones.
  ///
  /// - Parameters:
  ///   - options: as for `NVMeDevice`; how many commands run at once is `queueCapacity`.
  ///   - namespaceID: which namespace the calls are for.
  /// - Throws: as `NVMeDevice.init(_:options:)` and `namespace(_:)`; `.dma(.machine)` when the host
  ///   has no thread left.
  public init(
    _ device: sending PCIDevice, options: NVMeDevice.Options = NVMeDevice.Options(),
    namespaceID: UInt32 = 1
  ) throws(NVMeError) {
    do throws(ThreadFailure) { thread = try DriverThread() } catch {
      throw .dma(.machine(code: error.code))
    }
    let nvme = try NVMeDevice(device, options: options)
    namespace = try nvme.namespace(namespaceID)
    identity = nvme.identity
    let queue = nvme.queues[0]
    // A call is one command, and one mapping.
    byteCountMax = min(queue.commandByteCountMax, queue.device.maxMappingSize)
    waiters = Array(repeating: nil, count: queue.capacity)
    freeNumbers = Array((0..<queue.capacity).reversed())
    finished = InFlightTable(capacity: queue.capacity)
    self.nvme = nvme
    self.queue = queue
  }

  /// How many commands run now.
  public var runningCount: Int { queue.runningCount }

  /// Reads blocks into a buffer, which comes back with them.
  ///
  /// - Parameters:
  ///   - buffer: memory of the controller's machine.
  ///   - bytes: the part of it to fill: whole blocks, at most `byteCountMax` bytes; all when nil.
  /// - Returns: `failed` with `NVMeError.partialBlock`, `.outOfRange`, `.tooLong`, `.misaligned`,
  ///   `.dma`, `.stopped`: nothing was read, and a retry cannot help. `.failed` when the controller
  ///   failed the command; `.timedOut`, `.died`, `.gone`, `.unknownCompletion` and
  ///   `.duplicateCompletion` when it was stopped because of this or another command.
  public func read(
    into buffer: consuming StreamingBuffer, bytes: Range<Int>? = nil, fromBlock first: UInt64
  ) async -> NVMeReply {
    let number = await takeNumber()
    var buffer = buffer
    while true {
      switch buffer.map(FromDevice.self, bytes: bytes ?? 0..<buffer.byteCount, for: queue.device) {
      case .mapped(let mapping):
        let given = queue.read(
          mapping, fromBlock: first, of: namespace, tag: UInt64(number))
        return await answer(number, given)
      case .failed(let back, let error):
        guard error.isTransient, willMakeRoom else {
          giveBack(number)
          return .failed(back, .dma(error))
        }
        buffer = back
        await room()
      }
    }
  }

  /// Writes a buffer to blocks; the buffer comes back.
  ///
  /// As `read(into:bytes:fromBlock:)`; also `NVMeError.readOnly`. What was written survives a loss
  /// of power only after `flush()`.
  public func write(
    from buffer: consuming StreamingBuffer, bytes: Range<Int>? = nil, toBlock first: UInt64
  ) async -> NVMeReply {
    let number = await takeNumber()
    var buffer = buffer
    while true {
      switch buffer.map(ToDevice.self, bytes: bytes ?? 0..<buffer.byteCount, for: queue.device) {
      case .mapped(let mapping):
        let given = queue.write(mapping, toBlock: first, of: namespace, tag: UInt64(number))
        return await answer(number, given)
      case .failed(let back, let error):
        guard error.isTransient, willMakeRoom else {
          giveBack(number)
          return .failed(back, .dma(error))
        }
        buffer = back
        await room()
      }
    }
  }

  /// Makes what was written before the call survive a loss of power.
  ///
  /// Writes that still run are not covered: await them first.
  ///
  /// - Throws: `NVMeError.failed`, `.stopped`, and what stops the controller (see
  ///   `read(into:bytes:fromBlock:)`).
  public func flush() async throws(NVMeError) {
    let number = await takeNumber()
    if case .refused(_, let error) = queue.flush(namespace, tag: UInt64(number)) {
      giveBack(number)
      throw error
    }
    if let error = reason(await completion(number).error) { throw error }
  }

  /// Ends work in order: the controller writes its caches back, then it is stopped.
  ///
  /// - Throws: as `NVMeDevice.shutDown()`; `.queueBusy` while commands run.
  public func shutDown() throws(NVMeError) { try nvme.shutDown() }

  // MARK: Commands

  /// Waits for a command that was given, or takes the buffer of one that was refused.
  private func answer(_ number: Int, _ given: consuming NVMeSubmission) async -> NVMeReply {
    switch consume given {
    case .refused(let transfer, let error):
      giveBack(number)
      return Self.reply(transfer, error)
    case .accepted:
      let done = await completion(number)
      let error = reason(done.error)
      return Self.reply(done.takeTransfer(), error)
    }
  }

  /// What a task is told of a command that was running when the controller was stopped.
  private func reason(_ error: NVMeError?) -> NVMeError? {
    error == .stopped ? whyStopped ?? .stopped : error
  }

  private static func reply(
    _ transfer: consuming NVMeTransfer, _ error: NVMeError?
  ) -> NVMeReply {
    guard case .single(let buffer) = transfer.unmap() else {
      preconditionFailure("a command with a buffer came back without one")
    }
    if let error { return .failed(buffer, error) }
    return .done(buffer)
  }

  /// Suspends until the command with this number is done; the number is free then.
  private func completion(_ number: Int) async -> NVMeCompletion {
    pump()
    let id = await withCheckedContinuation { waiters[number] = $0 }
    guard let done = finished.complete(id) else {
      preconditionFailure("a completion was collected twice")
    }
    giveBack(number)
    return done
  }

  private func takeNumber() async -> Int {
    while true {
      if let number = freeNumbers.popLast() { return number }
      await room()
    }
  }

  private func giveBack(_ number: Int) {
    freeNumbers.append(number)
    wakeOne()
  }

  /// Whether memory is mapped that some task will unmap.
  private var willMakeRoom: Bool { queue.runningCount > 0 || finished.count > 0 }

  /// Suspends until some command is done with its number and its memory.
  private func room() async {
    await withCheckedContinuation { waitingForRoom.append($0) }
  }

  private func wakeOne() {
    guard !waitingForRoom.isEmpty else { return }
    waitingForRoom.removeFirst().resume()
  }

  // MARK: Waiting for the controller

  /// Has the thread look for completions until no command runs.
  private func pump() {
    guard !isPumping else { return }
    isPumping = true
    Task { await self.pumpAll() }
  }

  private func pumpAll() async {
    while queue.runningCount > 0 {
      var completion: NVMeCompletion?
      do throws(NVMeError) {
        completion = try queue.tryNext()
      } catch {
        // The controller is stopped: the next calls hand out what it left.
        whyStopped = error
        continue
      }
      if let done = completion.take() { deliver(done) }
      // Other tasks' calls come in between.
      if thread.hasWaitingJobs { await Task.yield() }
    }
    isPumping = false
  }

  /// Hands a completion to the task that waits for it.
  private func deliver(_ done: consuming NVMeCompletion) {
    let number = Int(done.tag)
    let id = finished.start(done)
    waiters[number].take()?.resume(returning: id)
  }
}
