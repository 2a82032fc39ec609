internal import CVFIOUserHost

/// Why nothing more comes over a connection.
enum ConnectionFailure: Error {
  /// The other end is closed, perhaps in the middle of a message.
  case closed
  /// The time is up.
  case silent
  /// What came is no message.
  case malformed(VFIOUserViolation)
}

/// A message as it came.
struct Message {
  var header: MessageHeader
  var payload: [UInt8]
  var descriptors: DescriptorList

  var isReply: Bool { header.flags & MessageHeader.typeMask == MessageHeader.reply }
}

/// A connected socket that carries whole messages; one user at a time.
struct Connection: ~Copyable {
  private let socket: Descriptor

  /// - Parameter socket: connected, not blocking.
  init(_ socket: consuming Descriptor) { self.socket = socket }

  /// Lets the server know that nothing more comes.
  func end() { vfio_user_host_shutdown(socket.number) }

  /// Whether something is there to receive, or comes within this time.
  func isReadable(within nanoseconds: UInt64) -> Bool {
    vfio_user_host_wait(socket.number, 0, Int(nanoseconds)) != 0
  }

  private func wait(
    forWriting: Bool, _ deadline: UInt64
  ) throws(ConnectionFailure) {
    let now = MonotonicClock.nanoseconds
    guard now < deadline,
      vfio_user_host_wait(socket.number, forWriting ? 1 : 0, Int(deadline - now)) != 0
    else { throw .silent }
  }

  /// Sends all of a message, its descriptors with the first byte.
  func send(
    _ bytes: [UInt8], _ descriptors: [Int32] = [], deadline: UInt64
  ) throws(ConnectionFailure) {
    var sent = 0
    while sent < bytes.count {
      // SAFETY: the rest of the array's own bytes.
      let count = unsafe bytes.withUnsafeBytes { part in
        unsafe vfio_user_host_send(
          socket.number, part.baseAddress.map { unsafe $0 + sent }, part.count - sent,
          descriptors, sent == 0 ? descriptors.count : 0)
      }
      if count > 0 {
        sent += count
      } else if count == -Int(Self.again) {
        try wait(forWriting: true, deadline)
      } else {
        throw .closed
      }
    }
  }

  /// Receives one message, of at most so many bytes.
  func receive(limit: Int, deadline: UInt64) throws(ConnectionFailure) -> Message {
    var numbers: [Int32] = []
    do throws(ConnectionFailure) {
      let head = try receive(MessageHeader.byteCount, &numbers, deadline)
      let header = MessageHeader(head)
      let byteCount = Int(header.byteCount)
      guard byteCount >= MessageHeader.byteCount, byteCount <= limit else {
        throw .malformed(.messageSize(byteCount, limit: limit))
      }
      let payload = try receive(byteCount - MessageHeader.byteCount, &numbers, deadline)
      guard numbers.count <= Capabilities.descriptorCountMax else {
        throw .malformed(
          .descriptorCount(numbers.count, limit: Capabilities.descriptorCountMax))
      }
      return Message(header: header, payload: payload, descriptors: DescriptorList(numbers))
    } catch {
      _ = DescriptorList(numbers)
      throw error
    }
  }

  private func receive(
    _ byteCount: Int, _ numbers: inout [Int32], _ deadline: UInt64
  ) throws(ConnectionFailure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var received = 0
    while received < byteCount {
      var found = [Int32](repeating: -1, count: vfio_user_host_descriptors_max)
      var foundCount = 0
      // SAFETY: into the array's own bytes behind those that came; the other has the room asked
      // for.
      let count = unsafe bytes.withUnsafeMutableBytes { part in
        unsafe vfio_user_host_receive(
          socket.number, part.baseAddress.map { unsafe $0 + received }, part.count - received,
          &found, &foundCount)
      }
      numbers += found[..<foundCount]
      if count > 0 {
        received += count
      } else if count == -Int(Self.again) {
        try wait(forWriting: false, deadline)
      } else {
        throw .closed
      }
    }
    return bytes
  }

  /// EAGAIN on Linux.
  private static var again: Int32 { 11 }
}
