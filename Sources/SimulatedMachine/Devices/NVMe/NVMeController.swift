/// A simulated NVMe controller with one namespace (NVM Express 1.4).
///
/// Registers, identities and limits are like those of QEMU's `nvme` device. Commands run
/// concurrently: each takes its own time, so they complete in an order that the machine's seed
/// decides. Unlike QEMU's, it says so when memory did not answer: Data Transfer Error.
@safe
public final class NVMeController: SimulatedDevice {
  /// How a controller differs from the default one.
  public struct Configuration: Sendable {
    /// How many I/O queue pairs it gives out, 1 to 64.
    public var queuePairCount = 64
    /// How many entries a queue may have, 2 to 65536.
    public var entryCountMax = 2048
    /// The longest transfer: 4096 times a power of two.
    public var transferByteCountMax = 512 << 10
    /// Bytes of a logical block: a power of two from 512 to 4096.
    public var blockByteCount = 512
    /// Doorbells lie 4 << this apart, 0 to 4.
    public var doorbellStride = 0
    /// The highest address it drives; of higher ones the upper bits are dropped, silently for the
    /// driver.
    public var mask = UInt64.max
    /// How long a command takes, in nanoseconds of the machine's time.
    public var latency: UInt64 = 10_000
    /// How long it takes to become ready.
    public var readyLatency: UInt64 = 500_000
    /// Never becomes ready.
    public var neverReady = false

    public init() {}
  }

  let options: Configuration
  let storage: NVMeStorage
  let state: UnsafeMutablePointer<NVMeState>

  private var interruptMask: UInt32 = 0
  private var configurationRegister: UInt32 = 0
  private(set) var status: UInt32 = 0
  private var adminAttributes: UInt32 = 0
  private var adminSubmission: UInt64 = 0
  private var adminCompletion: UInt64 = 0
  /// Tells events of this enabling from earlier ones.
  private var epoch: UInt16 = 0
  /// Page size in bytes, from the configuration.
  private(set) var pageByteCount = 4096

  var hasWriteCache = true
  var eventConfiguration: UInt32 = 0
  var heldEventRequests: [Int] = []
  var waitingEvents: [UInt32] = []
  var faults: [NVMeFault] = []
  var violations: [NVMeViolation] = []
  var counters = NVMeCounters()

  enum Work {
    static var ready: UInt64 { 1 }
    static var shutDown: UInt64 { 2 }
    static var fetch: UInt64 { 3 }
    static var finish: UInt64 { 4 }
  }

  enum Status {
    static var ready: UInt32 { 1 << 0 }
    static var fatal: UInt32 { 1 << 1 }
    static var shutdownMask: UInt32 { 3 << 2 }
    static var shutdownComplete: UInt32 { 2 << 2 }
  }

  private enum Enable {
    static var enable: UInt32 { 1 << 0 }
    static var shutdownMask: UInt32 { 3 << 14 }
  }

  /// - Parameter storage: the contents of the namespace; one controller at a time uses it.
  public init(_ storage: NVMeStorage, _ options: Configuration = Configuration()) {
    precondition((1...64).contains(options.queuePairCount), "1 to 64 queue pairs")
    precondition((2...65536).contains(options.entryCountMax), "2 to 65536 entries a queue")
    precondition((0...4).contains(options.doorbellStride), "a doorbell stride of 0 to 4")
    precondition(
      Self.isPowerOfTwo(options.transferByteCountMax)
        && (4096...64 << 20).contains(options.transferByteCountMax),
      "transfers of 4096 bytes times a power of two, at most 64 MiB")
    precondition(
      Self.isPowerOfTwo(options.blockByteCount) && (512...4096).contains(options.blockByteCount),
      "blocks of 512, 1024, 2048 or 4096 bytes")
    self.options = options
    self.storage = storage
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one state.
    unsafe state.initialize(
      to: NVMeState(
        queueCount: options.queuePairCount + 1,
        transferByteCountMax: options.transferByteCountMax))
    let registers = UInt64(Self.registerByteCount(options))
    super.init(
      identity: PCIIdentity(
        vendorID: 0x1b36, deviceID: 0x0010, classCode: 0x01_0802, revision: 2),
      bars: [SimulatedBAR(index: 0, byteCount: registers, is64Bit: true)],
      msix: MSIXLayout(
        bar: 0, vectorCount: options.queuePairCount + 1,
        tableOffset: NVMeRegister.interruptTable + Self.doorbellByteCount(options) - 0x1000,
        pendingOffset: NVMeRegister.pendingInterrupts + Self.doorbellByteCount(options) - 0x1000))
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  private static func isPowerOfTwo(_ value: Int) -> Bool { value > 0 && value & (value - 1) == 0 }

  /// Whole pages for all doorbells.
  private static func doorbellByteCount(_ options: Configuration) -> Int {
    let byteCount = (options.queuePairCount + 1) * 2 * (4 << options.doorbellStride)
    return (byteCount + 4095) & ~4095
  }

  private static func registerByteCount(_ options: Configuration) -> Int {
    let needed = NVMeRegister.pendingInterrupts + doorbellByteCount(options)
    return 1 << (Int.bitWidth - (needed - 1).leadingZeroBitCount)
  }

  public override func reset() {
    leaveEnabled()
    (interruptMask, configurationRegister, status) = (0, 0, 0)
    (adminAttributes, adminSubmission, adminCompletion) = (0, 0, 0)
  }

  // MARK: For tests

  /// Has the controller misbehave.
  public func inject(_ fault: NVMeFault) { withLock { faults.append(fault) } }

  /// What its driver did wrong, oldest first; forgets it.
  public func takeViolations() -> [NVMeViolation] {
    withLock {
      defer { violations = [] }
      return violations
    }
  }

  /// What it has done since it was made.
  public var statistics: NVMeCounters { withLock { counters } }

  func violate(_ violation: NVMeViolation) {
    if violations.count < 1024 { violations.append(violation) }
  }

  // MARK: Registers

  private var capabilities: UInt64 {
    // Queues must be contiguous (bit 16), 1 s to become ready (in units of 500 ms), the NVM
    // command set (bit 37), pages from 4 to 64 KiB.
    UInt64(options.entryCountMax - 1) | 1 << 16 | 2 << 24 | UInt64(options.doorbellStride) << 32
      | 1 << 37 | 4 << 52
  }

  private func register(_ offset: Int) -> UInt32 {
    switch offset {
    case NVMeRegister.capabilities: UInt32(truncatingIfNeeded: capabilities)
    case NVMeRegister.capabilities + 4: UInt32(truncatingIfNeeded: capabilities >> 32)
    case NVMeRegister.version: 0x0001_0400
    case NVMeRegister.interruptMaskSet, NVMeRegister.interruptMaskClear: interruptMask
    case NVMeRegister.configuration: configurationRegister
    case NVMeRegister.status: status
    case NVMeRegister.adminQueueAttributes: adminAttributes
    case NVMeRegister.adminSubmissionQueue: UInt32(truncatingIfNeeded: adminSubmission)
    case NVMeRegister.adminSubmissionQueue + 4: UInt32(truncatingIfNeeded: adminSubmission >> 32)
    case NVMeRegister.adminCompletionQueue: UInt32(truncatingIfNeeded: adminCompletion)
    case NVMeRegister.adminCompletionQueue + 4: UInt32(truncatingIfNeeded: adminCompletion >> 32)
    default: 0
    }
  }

  public override func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    guard byteCount == 4 || byteCount == 8 else {
      violate(.registerWidth(offset: offset, byteCount: byteCount))
      return .max
    }
    guard byteCount == 8 else { return UInt64(register(offset)) }
    return UInt64(register(offset)) | UInt64(register(offset + 4)) << 32
  }

  public override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    if offset >= NVMeRegister.doorbells, byteCount == 4 {
      return ringDoorbell(offset, UInt32(truncatingIfNeeded: value))
    }
    guard byteCount == 4 || byteCount == 8, offset < NVMeRegister.doorbells else {
      return violate(.registerWidth(offset: offset, byteCount: byteCount))
    }
    set(offset, UInt32(truncatingIfNeeded: value))
    if byteCount == 8 { set(offset + 4, UInt32(truncatingIfNeeded: value >> 32)) }
  }

  private func set(_ offset: Int, _ value: UInt32) {
    switch offset {
    case NVMeRegister.interruptMaskSet:
      interruptMask |= value
      updateWire()
    case NVMeRegister.interruptMaskClear:
      interruptMask &= ~value
      updateWire()
    case NVMeRegister.configuration: configure(value)
    case NVMeRegister.adminQueueAttributes: adminAttributes = value & 0x0fff_0fff
    case NVMeRegister.adminSubmissionQueue:
      adminSubmission = adminSubmission & ~0xffff_ffff | UInt64(value & ~0xfff)
    case NVMeRegister.adminSubmissionQueue + 4:
      adminSubmission = UInt64(value) << 32 | adminSubmission & 0xffff_ffff
    case NVMeRegister.adminCompletionQueue:
      adminCompletion = adminCompletion & ~0xffff_ffff | UInt64(value & ~0xfff)
    case NVMeRegister.adminCompletionQueue + 4:
      adminCompletion = UInt64(value) << 32 | adminCompletion & 0xffff_ffff
    default: break
    }
  }

  private func configure(_ value: UInt32) {
    let old = configurationRegister
    configurationRegister = value
    if value & Enable.enable != 0, old & Enable.enable == 0 { return enable(value) }
    if value & Enable.enable == 0, old & Enable.enable != 0 {
      leaveEnabled()
      status = 0
    }
    if value & Enable.shutdownMask != 0, old & Enable.shutdownMask == 0 {
      status = status & ~Status.shutdownMask | 1 << 2
      schedule(after: options.readyLatency, tag: tag(Work.shutDown, epoch, 0))
    }
  }

  private func enable(_ value: UInt32) {
    let pageShift = 12 + Int(value >> 7 & 0xf)
    // Pages up to 64 KiB, round robin, the NVM command set.
    guard pageShift <= 16, value >> 4 & 7 == 0, value >> 11 & 7 == 0 else {
      violate(.configuration(value: value))
      status |= Status.fatal
      return
    }
    pageByteCount = 1 << pageShift
    if !options.neverReady {
      schedule(after: options.readyLatency, tag: tag(Work.ready, epoch, 0))
    }
  }

  private func becomeReady() {
    let submissionCount = (adminAttributes & 0xfff) + 1
    let completionCount = (adminAttributes >> 16 & 0xfff) + 1
    guard submissionCount >= 2, completionCount >= 2,
      adminSubmission % UInt64(pageByteCount) == 0, adminCompletion % UInt64(pageByteCount) == 0
    else {
      violate(.configuration(value: adminAttributes))
      return die()
    }
    // SAFETY: queue 0 is there; the state lives as long as this object.
    unsafe state.pointee.completion[0] = NVMeCompletionQueue(
      isLive: true, hasInterrupts: true, base: adminCompletion, entryCount: completionCount,
      userCount: 1)
    unsafe state.pointee.submission[0] = NVMeSubmissionQueue(
      isLive: true, base: adminSubmission, entryCount: submissionCount)
    status |= Status.ready
  }

  /// All queues and commands are gone; nothing of them is done any more.
  private func leaveEnabled() {
    epoch &+= 1
    unsafe state.pointee.reset()
    heldEventRequests = []
    waitingEvents = []
    eventConfiguration = 0
    setInterruptWire(false)
  }

  func die() {
    status |= Status.fatal
  }

  var isWorking: Bool { status & (Status.ready | Status.fatal) == Status.ready }

  // MARK: Work

  func tag(_ work: UInt64, _ generation: UInt16, _ index: Int) -> UInt64 {
    work << 56 | UInt64(generation) << 32 | UInt64(index)
  }

  public override func step(now: UInt64, tag: UInt64) {
    let index = Int(tag & 0xffff_ffff)
    let generation = UInt16(truncatingIfNeeded: tag >> 32)
    switch tag >> 56 {
    case Work.finish: finish(index, generation)
    case Work.fetch where generation == epoch: fetch(index)
    case Work.ready where generation == epoch: becomeReady()
    case Work.shutDown where generation == epoch:
      _ = storage.flush()
      status = status & ~Status.shutdownMask | Status.shutdownComplete
    default: break
    }
  }

  func scheduleFetch(_ queue: Int) {
    // SAFETY: callers name queues that exist.
    guard unsafe !state.pointee.submission[queue].isFetchScheduled else { return }
    unsafe state.pointee.submission[queue].isFetchScheduled = true
    schedule(after: 200, tag: tag(Work.fetch, epoch, queue))
  }

  /// The wire follows what waits, where no messages are used.
  func updateWire() {
    guard !hasMessageInterrupts else { return }
    var isAsserted = false
    for queue in 0..<(unsafe state.pointee.queueCount) {
      // SAFETY: the index is below the count.
      let completion = unsafe state.pointee.completion[queue]
      if completion.isLive, completion.hasInterrupts, !completion.isEmpty, interruptMask & 1 == 0 {
        isAsserted = true
      }
    }
    setInterruptWire(isAsserted)
  }
}

/// What a controller has done.
public struct NVMeCounters: Equatable, Sendable {
  /// Commands it fetched.
  public var fetched: UInt64 = 0
  /// Completions it wrote.
  public var completed: UInt64 = 0
  /// Doorbell writes.
  public var doorbells: UInt64 = 0
  public var blocksRead: UInt64 = 0
  public var blocksWritten: UInt64 = 0
  public var readCommands: UInt64 = 0
  public var writeCommands: UInt64 = 0
}
