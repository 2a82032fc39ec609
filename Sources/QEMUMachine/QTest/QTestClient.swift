internal import CQEMUHost

/// Errors that are none: the same call can go on at once or later (EINTR, EAGAIN).
private enum Interruption {
  static var signal: Int64 { 4 }
  static var wouldBlock: Int64 { 11 }
}

/// Why QEMU does not answer.
enum QTestFailure: Error {
  /// The other end is closed.
  case closed
  /// An answer that is none.
  case malformed(command: String, reply: String)
  /// No answer in time.
  case silent(command: String, milliseconds: Int)
}

/// Speaks QEMU's qtest protocol over a socket; any thread.
///
/// A command is one line and so is its answer, in order. Writes to registers are posted, as on a
/// bus: their answers are read with those of a later command, so that a doorbell costs no round
/// trip. After a failure every command fails.
final class QTestClient: Sendable {
  private struct State: ~Copyable {
    var output: [UInt8] = []
    var input = [UInt8](repeating: 0, count: 4096)
    /// The bytes of `input` that were received and not yet read.
    var received = 0..<0
    /// Commands that were sent or are in `output`, and not yet answered.
    var pending: [QTestCommand] = []
    var roundTripCount = 0
    var commandCount = 0
    var replyTimeout: Int
    var isBroken = false
  }

  /// As many posted writes wait for their answers at most: far less than sockets hold, so that
  /// neither side ever waits for the other to read.
  static let postedCountMax = 64
  /// No answer is longer.
  static let lineByteCountMax = 256
  /// How long the rest of an answer may take once its first byte is there.
  static let lineTimeout = 500

  private let socket: Descriptor
  private let state: HostLock<State>

  /// - Parameter socket: connected, not blocking.
  init(socket: consuming Descriptor, replyTimeoutMilliseconds: Int) {
    self.socket = socket
    state = HostLock(State(replyTimeout: replyTimeoutMilliseconds))
  }

  /// Sets how long an answer may take to begin.
  func setReplyTimeout(milliseconds: Int) { state.withLock { $0.replyTimeout = milliseconds } }

  /// How often somebody waited for QEMU.
  var roundTripCount: Int { state.withLock { $0.roundTripCount } }

  /// How many commands were sent.
  var commandCount: Int { state.withLock { $0.commandCount } }

  /// Sends a write and does not wait for it.
  func post(_ command: QTestCommand) throws(QTestFailure) {
    try state.withLock { state throws(QTestFailure) in
      try enqueue(command, &state)
      try send(&state)
      if state.pending.count >= Self.postedCountMax { _ = try drain(&state) }
    }
  }

  /// Sends a command and waits until all are answered; returns the value in its answer.
  func ask(_ command: QTestCommand) throws(QTestFailure) -> UInt64 {
    try state.withLock { state throws(QTestFailure) in
      try enqueue(command, &state)
      return try drain(&state)
    }
  }

  /// The same for two commands that nobody else's may come between, in one round trip.
  func ask(_ first: QTestCommand, _ second: QTestCommand) throws(QTestFailure) -> UInt64 {
    try state.withLock { state throws(QTestFailure) in
      try enqueue(first, &state)
      try enqueue(second, &state)
      return try drain(&state)
    }
  }

  // MARK: With the lock held

  private func enqueue(_ command: QTestCommand, _ state: inout State) throws(QTestFailure) {
    guard !state.isBroken else { throw .closed }
    command.append(to: &state.output)
    state.pending.append(command)
    state.commandCount += 1
  }

  /// Sends what is queued and reads all answers; returns the last one's value.
  private func drain(_ state: inout State) throws(QTestFailure) -> UInt64 {
    try send(&state)
    state.roundTripCount += 1
    var value: UInt64 = 0
    for index in state.pending.indices {
      value = try answer(to: state.pending[index], &state)
    }
    state.pending.removeAll(keepingCapacity: true)
    return value
  }

  private func broken(_ state: inout State, _ failure: QTestFailure) -> QTestFailure {
    state.isBroken = true
    return failure
  }

  private func send(_ state: inout State) throws(QTestFailure) {
    var sent = 0
    while sent < state.output.count {
      // SAFETY: the rest of the array's own bytes.
      let count = unsafe state.output.withUnsafeBytes { bytes in
        unsafe qemu_host_send(
          socket.number, bytes.baseAddress.map { unsafe $0 + sent }, bytes.count - sent)
      }
      if count >= 0 {
        sent += Int(count)
      } else if count == -Interruption.wouldBlock {
        guard wait(forOutput: true, milliseconds: state.replyTimeout) else {
          throw broken(
            &state,
            .silent(
              command: state.pending.last?.text ?? "", milliseconds: state.replyTimeout))
        }
      } else if count != -Interruption.signal {
        throw broken(&state, .closed)
      }
    }
    state.output.removeAll(keepingCapacity: true)
  }

  /// Waits for the socket; false when the time is up.
  private func wait(forOutput: Bool, milliseconds: Int) -> Bool {
    let deadline = MonotonicClock.milliseconds + milliseconds
    while true {
      let left = max(0, deadline - MonotonicClock.milliseconds)
      if qemu_host_poll(socket.number, forOutput ? 1 : 0, Int32(clamping: left)) != 0 {
        return true
      }
      if left == 0 { return false }
    }
  }

  private func answer(
    to command: QTestCommand, _ state: inout State
  ) throws(QTestFailure) -> UInt64 {
    var looked = 0
    var start = MonotonicClock.milliseconds
    while true {
      let line = state.received.lowerBound
      let unseen = (line + looked)..<state.received.upperBound
      if let end = state.input[unseen].firstIndex(of: UInt8(ascii: "\n")) {
        state.received = (end + 1)..<state.received.upperBound
        guard let value = command.value(in: state.input[line..<end]) else {
          throw malformed(command, line..<end, &state)
        }
        return value
      }
      // A whole line is there within a moment of its first byte, which itself may take long.
      if looked == 0 && !state.received.isEmpty { start = MonotonicClock.milliseconds }
      looked = state.received.count
      guard looked < Self.lineByteCountMax else {
        throw malformed(command, state.received, &state)
      }
      let limit = looked == 0 ? state.replyTimeout : Self.lineTimeout
      let left = limit - (MonotonicClock.milliseconds - start)
      guard left > 0, wait(forOutput: false, milliseconds: left) else {
        if looked > 0 { throw malformed(command, state.received, &state) }
        throw broken(&state, .silent(command: command.text, milliseconds: limit))
      }
      try receive(&state)
    }
  }

  private func malformed(
    _ command: QTestCommand, _ line: Range<Int>, _ state: inout State
  ) -> QTestFailure {
    let reply = String(decoding: state.input[line].prefix(80), as: UTF8.self)
    return broken(&state, .malformed(command: command.text, reply: reply))
  }

  private func receive(_ state: inout State) throws(QTestFailure) {
    if state.received.isEmpty { state.received = 0..<0 }
    if state.received.upperBound > state.input.count - Self.lineByteCountMax {
      let rest = state.received
      for index in rest { state.input[index - rest.lowerBound] = state.input[index] }
      state.received = 0..<rest.count
    }
    let end = state.received.upperBound
    // SAFETY: into the array's own bytes behind those that are still to be read.
    let count = unsafe state.input.withUnsafeMutableBytes { bytes in
      unsafe qemu_host_receive(
        socket.number, bytes.baseAddress.map { unsafe $0 + end }, bytes.count - end)
    }
    if count > 0 {
      state.received = state.received.lowerBound..<end + Int(count)
    } else if count == 0 || (count != -Interruption.wouldBlock && count != -Interruption.signal) {
      throw broken(&state, .closed)
    }
  }
}

/// The host's clock that only goes forward.
enum MonotonicClock {
  static var nanoseconds: UInt64 { qemu_host_nanoseconds() }

  static var milliseconds: Int { Int(nanoseconds / 1_000_000) }
}
