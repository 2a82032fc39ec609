/// How much a message matters.
public enum DMALogLevel: UInt8, Sendable {
  /// Something a user should know about, and might report (R20).
  case warning
  /// Something that helps to understand a run.
  case notice
}

/// Where drivers, mappings and machines leave messages for people; one a machine.
///
/// Messages without a handler are dropped. Not for hot paths: a message is a `String`.
public final class DMALog {
  /// Gets the level, the device's name ("" when the message is about none), and the text.
  public typealias Handler = (DMALogLevel, String, String) -> Void

  private let lock = RawSpinLock()
  private var handler: Handler?

  /// A log without a handler.
  public init() {}

  /// Sets who gets the messages from now on.
  public func setHandler(_ handler: Handler?) { lock.withLock { self.handler = handler } }

  /// Leaves a message.
  ///
  /// The handler runs on the calling thread.
  public func write(_ level: DMALogLevel, device: String = "", _ message: String) {
    let handler = lock.withLock { self.handler }
    handler?(level, device, message)
  }
}

// SAFETY: the handler is read and written under the lock.
extension DMALog: @unchecked Sendable {}

extension DMADevice {
  /// Leaves a warning about this device in its machine's log (R20).
  public func warn(_ message: String) {
    platform.log.write(.warning, device: name, message)
  }
}
