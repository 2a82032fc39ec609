/// What a faulty controller does with a command: for tests of drivers.
public struct NVMeFault: Equatable, Sendable {
  /// How it misbehaves.
  public enum Effect: Equatable, Sendable {
    /// Does nothing and completes with this status: type 0 to 7, code 0 to 255.
    case fail(type: UInt8, code: UInt8)
    /// Does nothing and never completes.
    case neverAnswer
    /// Does it and completes it twice.
    case answerTwice
    /// Does it and completes another command instead.
    case answerFor(id: UInt16)
    /// Reports itself dead in its status register.
    case die
  }

  public var effect: Effect
  /// Which queue's commands: 0 is the admin queue; nil for any I/O queue.
  public var queue: UInt16?
  /// Which operation; nil for any.
  public var opcode: UInt8?
  /// How many commands that fit go well before.
  public var skip: Int
  /// How many commands it hits then.
  public var count: Int

  public init(
    _ effect: Effect, queue: UInt16? = nil, opcode: UInt8? = nil, skip: Int = 0, count: Int = 1
  ) {
    self.effect = effect
    self.queue = queue
    self.opcode = opcode
    self.skip = skip
    self.count = count
  }
}

/// What a driver did that no driver may do.
public enum NVMeViolation: Equatable, Sendable {
  /// A doorbell of a queue that is not there, or while the controller is not ready.
  case doorbellOfNoQueue(offset: Int)
  /// A doorbell written with something that is no position of the queue, the one it has already,
  /// or one that overruns the queue.
  case doorbellValue(queue: Int, isCompletion: Bool, value: UInt32)
  /// A register was accessed with a width that it does not have.
  case registerWidth(offset: Int, byteCount: Int)
  /// The controller was enabled with settings that it does not support.
  case configuration(value: UInt32)
}
