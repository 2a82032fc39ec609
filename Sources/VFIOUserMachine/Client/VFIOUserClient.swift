internal import CVFIOUserHost
internal import Synchronization

/// Speaks vfio-user with a server; any thread.
///
/// One command is under way at a time. The server's own commands, its accesses to memory, are
/// served by whoever waits for a reply, and by `serve`. After a failure nothing is sent any more.
final class VFIOUserClient: Sendable {
  /// What the server wants to do with memory: reads fill the bytes, writes take them.
  ///
  /// Gives 0 or the errno of the refusal.
  typealias MemoryAccess = @Sendable (_ address: UInt64, _ isWrite: Bool, inout [UInt8]) -> UInt32

  private struct State: ~Copyable {
    let connection: Connection
    var nextID: UInt16 = 0
    var failure: VFIOUserError?
    var capabilities = Capabilities()
    var messageCount = 0

    /// Keeps the first failure and ends the connection.
    mutating func end(_ error: VFIOUserError) {
      guard failure == nil else { return }
      failure = error
      connection.end()
    }
  }

  private let state: Mutex<State>
  private let replyMilliseconds: Int
  private let access: MemoryAccess
  /// Replies to commands have at most this payload, besides what a command says.
  private static let smallReplyMax = 65536
  /// A server that goes on with commands of its own gets this many times the time for a reply.
  private static let patience: UInt64 = 10

  /// - Parameter socket: connected, not blocking.
  init(
    socket: consuming Descriptor, replyMilliseconds: Int, access: @escaping MemoryAccess
  ) {
    state = Mutex(State(connection: Connection(socket)))
    self.replyMilliseconds = replyMilliseconds
    self.access = access
  }

  /// Why nothing works any more; nil while it does.
  var failure: VFIOUserError? { state.withLock { $0.failure } }
  /// How many messages were sent and received.
  var messageCount: Int { state.withLock { $0.messageCount } }
  /// What both sides agreed on.
  var capabilities: Capabilities { state.withLock { $0.capabilities } }

  /// Keeps the first failure; nothing is sent afterwards.
  func fail(_ error: VFIOUserError) {
    state.withLock { $0.end(error) }
  }

  /// Agrees with the server on a version and what each can do.
  func negotiate() throws(VFIOUserError) {
    let reply = try ask(.version, Capabilities.proposal)
    do throws(VFIOUserError) {
      let capabilities = try Capabilities(reply: reply.payload)
      state.withLock { $0.capabilities = capabilities }
    } catch {
      fail(error)
      throw error
    }
  }

  /// Sends a command and waits for its reply.
  ///
  /// - Parameter payloadByteCountMax: the most that the reply carries.
  func ask(
    _ command: VFIOUserCommand, _ payload: [UInt8] = [], descriptors: [Int32] = [],
    payloadByteCountMax: Int = smallReplyMax, milliseconds: Int? = nil
  ) throws(VFIOUserError) -> Message {
    let milliseconds = milliseconds ?? replyMilliseconds
    return try state.withLock { state throws(VFIOUserError) -> Message in
      if let failure = state.failure { throw failure }
      do throws(VFIOUserError) {
        return try exchange(
          command, payload, descriptors, payloadByteCountMax, milliseconds, &state)
      } catch {
        // A refusal is an answer; everything else ends the conversation.
        if case .refused = error { throw error }
        state.end(error)
        throw error
      }
    }
  }

  /// Serves what the server wants of memory now, or within this time.
  ///
  /// - Returns: whether there was something.
  @discardableResult
  func serve(within nanoseconds: UInt64 = 0) -> Bool {
    state.withLock { state in
      guard state.failure == nil, state.connection.isReadable(within: nanoseconds) else {
        return false
      }
      let deadline = MonotonicClock.nanoseconds + UInt64(replyMilliseconds) * 1_000_000
      // The time may have been spent on waiting for something to be there: not for all of it.
      do throws(VFIOUserError) {
        let message = try receive(.dmaRead, &state, deadline, 0)
        guard !message.isReply else {
          throw .protocolViolation(
            .dmaRead, .messageID(expected: state.nextID, given: message.header.id))
        }
        try answer(message, &state, deadline)
      } catch {
        state.end(error)
      }
      return true
    }
  }

  // MARK: With the lock held

  private func exchange(
    _ command: VFIOUserCommand, _ payload: [UInt8], _ descriptors: [Int32],
    _ payloadByteCountMax: Int, _ milliseconds: Int, _ state: inout State
  ) throws(VFIOUserError) -> Message {
    state.nextID &+= 1
    let id = state.nextID
    let time = UInt64(milliseconds) * 1_000_000
    let begin = MonotonicClock.nanoseconds
    var deadline = begin + time
    var writer = MessageWriter(reserving: MessageHeader.byteCount + payload.count)
    MessageHeader(
      id: id, command: command.rawValue, byteCount: MessageHeader.byteCount + payload.count
    ).append(to: &writer)
    writer.append(payload)
    try send(command, writer.bytes, descriptors, &state, deadline, milliseconds)
    while true {
      let message = try receive(command, &state, deadline, payloadByteCountMax, milliseconds)
      guard message.isReply else {
        try answer(message, &state, deadline)
        // It works; a server that only ever asks does not.
        deadline = MonotonicClock.nanoseconds + time
        guard deadline - begin < time * Self.patience else {
          throw .protocolViolation(command, .neverEndingCommands)
        }
        continue
      }
      guard message.header.id == id else {
        throw .protocolViolation(
          command, .messageID(expected: id, given: message.header.id))
      }
      guard message.header.command == command.rawValue else {
        throw .protocolViolation(
          command, .command(expected: command.rawValue, given: message.header.command))
      }
      guard message.header.flags & MessageHeader.errorFlag == 0 else {
        throw .refused(command, code: Int(message.header.error))
      }
      return message
    }
  }

  private func send(
    _ command: VFIOUserCommand, _ bytes: [UInt8], _ descriptors: [Int32], _ state: inout State,
    _ deadline: UInt64, _ milliseconds: Int
  ) throws(VFIOUserError) {
    do throws(ConnectionFailure) {
      try state.connection.send(bytes, descriptors, deadline: deadline)
      state.messageCount += 1
    } catch { throw Self.error(command, error, milliseconds) }
  }

  private func receive(
    _ command: VFIOUserCommand, _ state: inout State, _ deadline: UInt64,
    _ payloadByteCountMax: Int, _ milliseconds: Int? = nil
  ) throws(VFIOUserError) -> Message {
    // The server's own commands carry up to what this side said that it takes.
    let limit =
      MessageHeader.byteCount
      + max(payloadByteCountMax, Self.accessHeaderByteCount + Capabilities.transferByteCountMax)
    let message: Message
    do throws(ConnectionFailure) {
      message = try state.connection.receive(limit: limit, deadline: deadline)
      state.messageCount += 1
    } catch { throw Self.error(command, error, milliseconds ?? replyMilliseconds) }
    let type = message.header.flags & MessageHeader.typeMask
    guard type <= MessageHeader.reply else {
      throw .protocolViolation(command, .messageType(message.header.flags))
    }
    return message
  }

  private static func error(
    _ command: VFIOUserCommand, _ failure: ConnectionFailure, _ milliseconds: Int
  ) -> VFIOUserError {
    switch failure {
    case .closed: .closed
    case .silent: .noReply(command, milliseconds: milliseconds)
    case .malformed(let violation): .protocolViolation(command, violation)
    }
  }

  /// Address and count, in front of what a DMA command or its reply carries.
  private static let accessHeaderByteCount = 16

  /// Does what the server wants, and tells it what came of it.
  private func answer(
    _ message: Message, _ state: inout State, _ deadline: UInt64
  ) throws(VFIOUserError) {
    let (reply, error) = try perform(message)
    guard message.header.flags & MessageHeader.noReply == 0 else { return }
    // Errors are replies without payload.
    let payload = error == 0 ? reply : []
    var writer = MessageWriter(reserving: MessageHeader.byteCount + payload.count)
    MessageHeader(
      id: message.header.id, command: message.header.command,
      byteCount: MessageHeader.byteCount + payload.count,
      flags: MessageHeader.reply | (error == 0 ? 0 : MessageHeader.errorFlag), error: error
    ).append(to: &writer)
    writer.append(payload)
    let command: VFIOUserCommand =
      message.header.command == VFIOUserCommand.dmaWrite.rawValue ? .dmaWrite : .dmaRead
    try send(command, writer.bytes, [], &state, deadline, replyMilliseconds)
  }

  /// The reply's payload, or an errno.
  private func perform(_ message: Message) throws(VFIOUserError) -> ([UInt8], UInt32) {
    // ENOTSUP: a command of a later version of the protocol.
    let command: VFIOUserCommand
    switch VFIOUserCommand(rawValue: message.header.command) {
    case .dmaRead?: command = .dmaRead
    case .dmaWrite?: command = .dmaWrite
    default: return ([], 95)
    }
    let size = message.payload.count
    guard size >= Self.accessHeaderByteCount else {
      throw .protocolViolation(
        command, .payloadSize(size, expected: Self.accessHeaderByteCount))
    }
    let reader = MessageReader(message.payload)
    let (address, count) = (reader.u64(0), reader.u64(8))
    let carried = command == .dmaWrite ? count : 0
    // E2BIG: more than this side said that it moves.
    guard count <= UInt64(Capabilities.transferByteCountMax) else { return ([], 7) }
    guard UInt64(size - Self.accessHeaderByteCount) == carried else {
      throw .protocolViolation(
        command, .payloadSize(size, expected: Self.accessHeaderByteCount + Int(carried)))
    }
    var bytes =
      command == .dmaWrite
      ? [UInt8](message.payload[Self.accessHeaderByteCount...])
      : [UInt8](repeating: 0, count: Int(count))
    let error = access(address, command == .dmaWrite, &bytes)
    var writer = MessageWriter(reserving: Self.accessHeaderByteCount + bytes.count)
    writer.u64(address)
    writer.u64(count)
    if command == .dmaRead { writer.append(bytes) }
    return (writer.bytes, error)
  }
}
