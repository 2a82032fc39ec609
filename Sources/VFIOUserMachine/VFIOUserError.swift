public import PCI

/// Why a device behind a vfio-user socket cannot be driven, or is not there any more.
///
/// After any of these but `refused` the connection is closed; a new machine may be made.
public enum VFIOUserError: Error, Equatable, Sendable {
  /// Nobody listens at the path, or it cannot be one; with errno. A retry can help.
  case cannotConnect(path: String, code: Int)
  /// The server closed the connection, perhaps in the middle of a message.
  case closed
  /// The server did not answer in time, or not completely.
  case noReply(VFIOUserCommand, milliseconds: Int)
  /// The server answered that it will not, with its errno (0 when it gave none).
  case refused(VFIOUserCommand, code: Int)
  /// The server speaks another version of the protocol.
  case incompatibleVersion(major: Int, minor: Int)
  /// What the server says it can do is no JSON, or says what cannot be.
  case malformedCapabilities(String)
  /// A message breaks the protocol.
  case protocolViolation(VFIOUserCommand, VFIOUserViolation)
  /// The server's device is not a PCI device.
  case notPCI
  /// The server's pages are larger than memory can be given in.
  case unsupportedPageSizes(UInt64)
  /// What was asked for cannot be a machine; a retry cannot help.
  case invalidConfiguration(String)
  /// The device has no reset.
  case noReset
  /// The device's registers do not fit.
  case pci(PCIError)
  /// A call of the host's operating system failed, with its errno; a retry can help.
  case host(call: String, code: Int)
  /// `stop()` was called.
  case stopped
}

/// What a message did wrong.
public enum VFIOUserViolation: Equatable, Sendable {
  /// It says that it has so many bytes, header included.
  case messageSize(Int, limit: Int)
  /// Neither a command nor a reply: its flags.
  case messageType(UInt32)
  /// A reply to a message that was not sent.
  case messageID(expected: UInt16, given: UInt16)
  /// A reply to another command.
  case command(expected: UInt16, given: UInt16)
  /// Fewer bytes than the answer has, header not included, or more.
  case payloadSize(Int, expected: Int)
  /// More descriptors came with it than were agreed on.
  case descriptorCount(Int, limit: Int)
  /// A field says what it must not.
  case field(String, UInt64)
  /// The server sent commands of its own and never answered.
  case neverEndingCommands
}

extension VFIOUserViolation: CustomStringConvertible {
  /// What is wrong, with the numbers.
  public var description: String {
    switch self {
    case .messageSize(let size, let limit):
      "a message of \(size) bytes: one has 16 to \(limit)"
    case .messageType(let flags): "flags 0x\(String(flags, radix: 16)), neither command nor reply"
    case .messageID(let expected, let given): "the reply's id is \(given), not \(expected)"
    case .command(let expected, let given): "the reply's command is \(given), not \(expected)"
    case .payloadSize(let size, let expected): "\(size) bytes of payload, not \(expected)"
    case .descriptorCount(let count, let limit): "\(count) descriptors, at most \(limit) agreed on"
    case .field(let name, let value): "\(name) is 0x\(String(value, radix: 16))"
    case .neverEndingCommands: "commands of its own, again and again, and no reply"
    }
  }
}

extension VFIOUserError: CustomStringConvertible {
  /// What went wrong, and what would help.
  public var description: String {
    switch self {
    case .cannotConnect(let path, let code): "cannot connect to \(path) (errno \(code))"
    case .closed: "the server closed the connection"
    case .noReply(let command, let milliseconds):
      "the server did not answer \(command) within \(milliseconds) ms"
    case .refused(let command, let code): "the server refused \(command) (errno \(code))"
    case .incompatibleVersion(let major, let minor):
      "the server speaks version \(major).\(minor), not 0.1"
    case .malformedCapabilities(let reason): "the server's capabilities: \(reason)"
    case .protocolViolation(let command, let violation):
      "the server breaks the protocol at \(command): \(violation)"
    case .notPCI: "the server's device is not a PCI device"
    case .unsupportedPageSizes(let sizes):
      "the server maps memory only in pages of 0x\(String(sizes, radix: 16)) bytes"
    case .invalidConfiguration(let reason): "no such machine: \(reason)"
    case .noReset: "the device has no reset"
    case .pci(let error): "\(error)"
    case .host(let call, let code): "\(call) failed (errno \(code))"
    case .stopped: "the machine was stopped"
    }
  }
}
