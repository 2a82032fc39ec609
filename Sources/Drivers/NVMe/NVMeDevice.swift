public import DMA
public import PCI

/// A driver for NVMe controllers (NVM Express 1.4 and compatible).
///
/// One source for the simulated machine, QEMU, VFIO and bare metal. It sets the controller up and
/// hands out queues; commands go through those. The queues' memory is safe from the controller
/// when this object goes: it stops the controller first. Calls that wait must not be made in an
/// interrupt or with a spin lock held. Not for several threads at once, except that each queue may
/// have a thread of its own.
public final class NVMeDevice {
  /// How the driver learns that commands are done.
  public enum Completion: UInt8, Sendable {
    /// It looks at the queue in memory.
    case polling
    /// Each queue has an MSI-X vector.
    case interrupt
  }

  /// How a driver is set up.
  public struct Options: Sendable {
    /// The address bits the controller drives: 64, unless a machine says otherwise.
    public var mask = DMAMask.bits64
    /// How many I/O queues; the controller may give fewer.
    public var queueCount = 1
    /// How many commands each of them runs at once, at most 4095.
    public var queueCapacity = 64
    public var completion = Completion.polling
    /// How long the controller may complete nothing; less than a second, so that a call that fails
    /// has done so within one.
    public var timeoutMilliseconds = 900
    /// How many commands are collected for one write of the doorbell, as long as the controller
    /// has others to work on.
    public var doorbellBatch = 1
    /// The longest command in bytes, also where the controller would take longer ones.
    public var transferByteCountMax = 1 << 20

    public init() {}
  }

  /// The function it drives.
  public let device: PCIDevice
  /// What the controller says it is.
  public let identity: NVMeIdentity
  /// The I/O queues; at least one.
  public let queues: [NVMeQueue]
  /// The longest command in bytes.
  public let transferByteCountMax: Int
  let shared: NVMeShared
  private let admin: NVMeQueue

  /// Takes the controller over: resets it, gives it queues, lets it master the bus.
  ///
  /// - Throws: `NVMeError.notNVMe`, `.unsupported`, `.notReady`, `.died`, `.gone`, `.timedOut`,
  ///   `.failed`, `.pci`; `.dma(.unsupportedMask)` when no memory of the platform is within the
  ///   mask. The controller is stopped then, and nothing is left allocated.
  public init(_ device: PCIDevice, options: Options = Options()) throws(NVMeError) {
    let shared = try NVMeShared(device, options)
    // Its end stops the controller, also when something below throws.
    let admin = try NVMeQueue(0, shared, capacity: 31, transferByteCountMax: 4096, batch: 1)
    try Self.enable(shared, admin)
    let identity = NVMeIdentity(try Self.identify(shared, admin, 0x01))
    let most = min(
      identity.transferByteCountMax ?? options.transferByteCountMax, options.transferByteCountMax)
    var queues: [NVMeQueue] = []
    let count = try Self.requestQueues(admin, max(1, min(options.queueCount, 65535)))
    for index in 1...count {
      let queue = try NVMeQueue(
        UInt16(index), shared, capacity: options.queueCapacity, transferByteCountMax: most,
        batch: max(1, options.doorbellBatch))
      try Self.create(queue, admin, options.completion)
      queues.append(queue)
    }
    self.device = device
    self.shared = shared
    self.admin = admin
    self.identity = identity
    self.queues = queues
    transferByteCountMax = most
  }

  deinit { shared.stop() }

  /// Whether the controller was stopped, by a failure or a shutdown.
  public var isStopped: Bool { shared.isStopped }

  /// The namespace with this number.
  ///
  /// - Throws: `NVMeError.noNamespace`; `.failed`, `.stopped` and what `NVMeQueue.next()` throws.
  public func namespace(_ id: UInt32 = 1) throws(NVMeError) -> NVMeNamespace {
    let bytes: NVMeBytes
    do throws(NVMeError) {
      bytes = try Self.identify(shared, admin, 0x00, namespace: id)
    } catch {
      // Generic 0x0b: no namespace with this number.
      guard case .failed(let status) = error, status.type == 0, status.code == 0x0b else {
        throw error
      }
      throw .noNamespace(id)
    }
    guard let namespace = NVMeNamespace(id, bytes) else { throw .noNamespace(id) }
    return namespace
  }

  /// The numbers of the active namespaces, in order; the first 1024.
  ///
  /// - Throws: `NVMeError.failed`, `.stopped` and what `NVMeQueue.next()` throws.
  public func activeNamespaces() throws(NVMeError) -> [UInt32] {
    let bytes = try Self.identify(shared, admin, 0x02)
    var found: [UInt32] = []
    for index in 0..<1024 {
      let id = UInt32(truncatingIfNeeded: bytes.integer(at: index * 4, 4))
      guard id != 0 else { break }
      found.append(id)
    }
    return found
  }

  /// Ends work in order: the controller writes its caches back, then it is stopped.
  ///
  /// - Throws: `NVMeError.queueBusy` while commands run: nothing has changed then. `.notReady`,
  ///   `.died`, `.gone` when the controller does not say that it is done; it is stopped all the
  ///   same. `.dma(.wouldBlock)` where waiting is forbidden.
  public func shutDown() throws(NVMeError) {
    guard !ExecutionContext.current.isAtomic else { throw .dma(.wouldBlock) }
    guard !shared.isStopped else { return }
    for queue in queues { try queue.requireIdle() }
    defer { shared.stop() }
    let configuration: UInt32 = shared.registers.read(at: NVMeRegister.configuration)
    shared.registers.write(
      configuration | NVMeConfiguration.normalShutdown, at: NVMeRegister.configuration)
    try shared.waitForStatus(
      NVMeControllerStatus.shutdownMask, NVMeControllerStatus.shutdownComplete)
  }
}

// Setting a controller up (NVM Express 1.4, 7.6.1).

extension NVMeDevice {
  private static func enable(_ shared: NVMeShared, _ admin: NVMeQueue) throws(NVMeError) {
    let registers = shared.registers
    let configuration: UInt32 = registers.read(at: NVMeRegister.configuration)
    if configuration & NVMeConfiguration.isEnabled != 0 {
      registers.write(
        configuration & ~NVMeConfiguration.isEnabled, at: NVMeRegister.configuration)
    }
    try shared.waitForStatus(NVMeControllerStatus.ready, 0)
    let counts = admin.entryCounts
    registers.write(
      UInt32(counts.completion - 1) << 16 | UInt32(counts.submission - 1),
      at: NVMeRegister.adminQueueAttributes)
    registers.write(
      admin.addresses.submission.rawValue, at: NVMeRegister.adminSubmissionQueue)
    registers.write(
      admin.addresses.completion.rawValue, at: NVMeRegister.adminCompletionQueue)
    shared.device.enableBusMastering()
    registers.write(NVMeConfiguration.enabled, at: NVMeRegister.configuration)
    try shared.waitForStatus(NVMeControllerStatus.ready, NVMeControllerStatus.ready)
  }

  /// One of the structures of Identify.
  private static func identify(
    _ shared: NVMeShared, _ admin: NVMeQueue, _ structure: UInt32, namespace: UInt32 = 0
  ) throws(NVMeError) -> NVMeBytes {
    let device = shared.device.dma
    var buffer: StreamingBuffer
    do throws(DMAError) {
      buffer = try StreamingBuffer(byteCount: 4096, for: device)
    } catch { throw .dma(error) }
    try read(
      NVMeCommand(opcode: NVMeOpcode.identify, namespace: namespace, word10: structure),
      &buffer, device, admin)
    let bytes = buffer.bytes
    var copy: [UInt8] = []
    copy.reserveCapacity(4096)
    for offset in 0..<4096 {
      // SAFETY: the offset is below the buffer's byte count.
      copy.append(unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
    }
    return NVMeBytes(copy)
  }

  private static func read(
    _ command: NVMeCommand, _ buffer: inout StreamingBuffer, _ device: DMADevice,
    _ admin: NVMeQueue
  ) throws(NVMeError) {
    let mapped: MappedBytes<FromDevice>
    do throws(DMAError) {
      mapped = try MappedBytes(&buffer, FromDevice.self, for: device)
    } catch { throw .dma(error) }
    _ = try admin.run(command, address: mapped.address, byteCount: mapped.byteCount)
  }

  /// Asks for I/O queues; returns how many pairs there are.
  private static func requestQueues(_ admin: NVMeQueue, _ count: Int) throws(NVMeError) -> Int {
    let wanted = UInt32(count - 1)
    // Feature 7: number of queues, counted from zero.
    let result = try admin.run(
      NVMeCommand(
        opcode: NVMeOpcode.setFeatures, word10: 0x07, word11: wanted << 16 | wanted))
    return min(count, Int(result & 0xffff) + 1, Int(result >> 16) + 1)
  }

  private static func create(
    _ queue: NVMeQueue, _ admin: NVMeQueue, _ completion: Completion
  ) throws(NVMeError) {
    let vector = UInt32(queue.id)
    let hasInterrupts = completion == .interrupt
    if hasInterrupts {
      do throws(PCIError) {
        queue.setInterrupt(try queue.shared.device.enableMSIX(vector: Int(vector)))
      } catch { throw .pci(error) }
    }
    let counts = queue.entryCounts
    // Physically contiguous (bit 0), interrupts (bit 1).
    try create(
      NVMeOpcode.createCompletionQueue, queue.id, counts.completion,
      word11: hasInterrupts ? vector << 16 | 3 : 1, queue.addresses.completion, admin)
    try create(
      NVMeOpcode.createSubmissionQueue, queue.id, counts.submission,
      word11: UInt32(queue.id) << 16 | 1, queue.addresses.submission, admin)
  }

  private static func create(
    _ opcode: UInt8, _ id: UInt16, _ entryCount: Int, word11: UInt32, _ address: DMAAddress,
    _ admin: NVMeQueue
  ) throws(NVMeError) {
    // The queue's memory is a page or more that is aligned to itself: one PRP entry names it.
    _ = try admin.run(
      NVMeCommand(
        opcode: opcode, word10: UInt32(entryCount - 1) << 16 | UInt32(id), word11: word11),
      address: address, byteCount: 4)
  }
}
