import CVFIOUserHost
import Glibc

/// The protocol as its specification has it, written a second time: nothing here comes from the
/// client under test.
enum Wire {
  static let headerByteCount = 16

  struct Header: Equatable {
    var id: UInt16
    var command: UInt16
    var size: UInt32
    var flags: UInt32
    var error: UInt32
  }

  struct Request {
    var header: Header
    var payload: [UInt8]
    var descriptors: [Int32]
  }

  static func number(_ bytes: some Collection<UInt8>, _ offset: Int, _ count: Int) -> UInt64 {
    bytes.dropFirst(offset).prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
  }

  static func header(
    id: UInt16, command: UInt16, size: Int, flags: UInt32, error: UInt32 = 0
  ) -> [UInt8] {
    bytes(UInt64(id), 2) + bytes(UInt64(command), 2) + bytes(UInt64(size), 4)
      + bytes(UInt64(flags), 4) + bytes(UInt64(error), 4)
  }
}

/// The server's end of a connection; blocks, at most five seconds a wait.
final class ServerSocket {
  let number: Int32

  init(_ number: Int32) { self.number = number }

  deinit { close(number) }

  /// The client is gone.
  struct Ended: Error {}

  func receive() throws -> Wire.Request {
    var descriptors: [Int32] = []
    let head = try receive(Wire.headerByteCount, &descriptors)
    let header = Wire.Header(
      id: UInt16(Wire.number(head, 0, 2)), command: UInt16(Wire.number(head, 2, 2)),
      size: UInt32(Wire.number(head, 4, 4)), flags: UInt32(Wire.number(head, 8, 4)),
      error: UInt32(Wire.number(head, 12, 4)))
    let payload = try receive(Int(header.size) - Wire.headerByteCount, &descriptors)
    return Wire.Request(header: header, payload: payload, descriptors: descriptors)
  }

  private func receive(_ count: Int, _ descriptors: inout [Int32]) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      guard vfio_user_host_wait(number, 0, 5_000_000_000) != 0 else { throw Ended() }
      var found = [Int32](repeating: -1, count: 253)
      var foundCount = 0
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe vfio_user_host_receive(
          number, $0.baseAddress.map { unsafe $0 + done }, count - done, &found, &foundCount)
      }
      descriptors += found[..<foundCount]
      guard got > 0 else { throw Ended() }
      done += got
    }
    return bytes
  }

  func send(_ bytes: [UInt8], _ descriptors: [Int32] = []) throws {
    var done = 0
    while done < bytes.count {
      let sent = unsafe bytes.withUnsafeBytes {
        unsafe vfio_user_host_send(
          number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done, descriptors,
          done == 0 ? descriptors.count : 0)
      }
      if sent == -Int(EAGAIN) {
        guard vfio_user_host_wait(number, 1, 5_000_000_000) != 0 else { throw Ended() }
      } else if sent <= 0 {
        throw Ended()
      } else {
        done += sent
      }
    }
  }

  /// Waits for the client to go: what it still sends is thrown away.
  func drain(milliseconds: Int) {
    for _ in 0..<milliseconds / 10 {
      guard vfio_user_host_wait(number, 0, 10_000_000) != 0 else { continue }
      var ignored: [Int32] = []
      guard (try? receive(1, &ignored)) != nil else { return }
      for descriptor in ignored { close(descriptor) }
    }
  }
}

/// A path that is listened at, and a thread that serves whoever connects there.
final class Listener: @unchecked Sendable {
  let path: String
  private let socket: Int32
  private var thread = pthread_t()
  private let body: @Sendable (ServerSocket) -> Void

  /// - Parameter body: runs once, for the first connection.
  init(_ body: @escaping @Sendable (ServerSocket) -> Void) throws {
    self.body = body
    var name = Array("/tmp/vfio-user-test-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    let made = unsafe name.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.map { unsafe mkdtemp($0) != nil } ?? false
    }
    guard made else { throw ServerSocket.Ended() }
    let folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = folder + "/socket"
    socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
      unsafe place.copyBytes(from: Array(path.utf8))
    }
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe bind(
        socket, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
        socklen_t(MemoryLayout<sockaddr_un>.size))
    }
    guard bound == 0, listen(socket, 4) == 0 else { throw ServerSocket.Ended() }
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    let started = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        let listener = unsafe Unmanaged<Listener>.fromOpaque(context).takeRetainedValue()
        listener.serve()
        return nil
      }, context)
    guard started == 0 else { throw ServerSocket.Ended() }
  }

  deinit {
    close(socket)
    unsafe unlink(path)
    unsafe rmdir(String(path.dropLast("/socket".utf8.count)))
  }

  private func serve() {
    // Nobody may ever come.
    var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&event, 1, 10_000) > 0 else { return }
    let connection = accept(socket, nil, nil)
    guard connection >= 0 else { return }
    body(ServerSocket(connection))
  }

  /// Waits for the server's end.
  func join() { pthread_join(thread, nil) }
}
