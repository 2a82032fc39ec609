import CVFIOUserHost
import Glibc
import Synchronization

/// An edu device behind vfio-user, as the specification has it: what the client does wrong is kept
/// in `complaints`.
///
/// BAR 0 has edu's registers; BAR 2 has the MSI-X table, and a page at 0x1000 that is shared.
final class EduServer {
  struct Options {
    var capabilities = #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}"#
    var minor: UInt64 = 1
    var hasReset = true
    /// Transfers are made after the reply to the write that starts them, not before.
    var isTransferLate = false
    /// Vectors are set up all at once or not at all.
    var isFixedSet = false
    var isMaskable = false
    /// Whether registers of the MSI-X table can be accessed.
    var hasTableRegisters = true
    var sharesPage = true
    /// How many words of the region's answer come at first: more only when the client asks.
    var tamper: @Sendable (_ command: UInt16, inout Reply) -> Void = { _, _ in }
  }

  /// What goes to the client, and how.
  struct Reply {
    var bytes: [UInt8]
    var descriptors: [Int32] = []
    /// Only so many bytes of it.
    var sentByteCount: Int?
    /// The connection is closed afterwards.
    var closes = false
  }

  /// What the test looks at afterwards.
  struct Record {
    var complaints: [String] = []
    var commands: [UInt16] = []
    /// Errno of the client's refusals of DMA.
    var dmaErrors: [UInt32] = []
    var unmaskedVectors: [UInt32] = []
    var isConnectionEnded = false
    var resetCount = 0
    var mapsWithDescriptor = 0
    var mapsWithout = 0
    var unmaps = 0
  }

  /// A piece of the client's memory.
  struct Window {
    var address: UInt64
    var size: UInt64
    /// Where it is mapped here; 0 when it must be asked for.
    var base: UInt
  }

  let socket: ServerSocket
  let options: Options
  let record: RecordBox
  var windows: [Window] = []
  var configuration: [UInt8]
  var table = [UInt8](repeating: 0, count: 64)
  var events: [UInt32: Int32] = [:]
  var buffer = [UInt8](repeating: 0, count: 4096)
  var registers = [UInt64](repeating: 0, count: 0x14)
  var liveness: UInt32 = 0
  /// Commands that came while a reply to this side's own was waited for.
  var waiting: [Wire.Request] = []
  var nextID: UInt16 = 0x4000
  /// BAR 2's page at 0x1000: a memory object.
  let page: Int32
  let pageBase: UInt

  final class RecordBox: Sendable {
    let value = Mutex(Record())
    func note(_ complaint: String) { value.withLock { $0.complaints.append(complaint) } }
  }

  init(_ socket: ServerSocket, _ options: Options, _ record: RecordBox) {
    self.socket = socket
    self.options = options
    self.record = record
    configuration = Self.configurationSpace
    page = Int32(truncatingIfNeeded: temporaryMemory())
    ftruncate(page, 0x2000)
    pageBase = vfio_user_host_map(page, 0, 0x2000, 1)
    for vector in 0..<4 { table[vector * 16 + 12] = 1 }
  }

  deinit {
    vfio_user_host_unmap(pageBase, 0x2000)
    close(page)
    for window in windows where window.base != 0 {
      vfio_user_host_unmap(window.base, window.size)
    }
    for event in events.values { close(event) }
  }

  private static var configurationSpace: [UInt8] {
    var space = [UInt8](repeating: 0, count: 256)
    func put(_ value: UInt64, _ count: Int, at offset: Int) {
      space.replaceSubrange(offset..<offset + count, with: Wire.bytes(value, count))
    }
    put(0x11e8_1234, 4, at: 0)
    // There is a list of capabilities.
    put(0x10, 2, at: 6)
    put(0x00ff_0010, 4, at: 8)
    // BAR 2 has 64 bits.
    put(4, 4, at: 0x18)
    put(0x40, 1, at: 0x34)
    // MSI with 64 address bits, then MSI-X: four vectors, table in BAR 2.
    put(0x0080_6005, 4, at: 0x40)
    put(0x0003_0011, 4, at: 0x60)
    put(2, 4, at: 0x64)
    put(0x802, 4, at: 0x68)
    return space
  }

  /// Serves until the client goes.
  func run() {
    do {
      try greet()
      while true { try handle(try next()) }
    } catch {
      record.value.withLock { $0.isConnectionEnded = true }
    }
  }

  private func next() throws -> Wire.Request {
    waiting.isEmpty ? try socket.receive() : waiting.removeFirst()
  }

  func complain(_ what: String) { record.note(what) }

  // MARK: Replies

  func reply(
    _ request: Wire.Request, _ payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws {
    try send(
      request, flags: 1, error: 0, payload: payload, descriptors: descriptors)
  }

  func refuse(_ request: Wire.Request, _ code: Int32) throws {
    try send(request, flags: 0x21, error: UInt32(code), payload: [], descriptors: [])
  }

  private func send(
    _ request: Wire.Request, flags: UInt32, error: UInt32, payload: [UInt8],
    descriptors: [Int32]
  ) throws {
    for descriptor in request.descriptors { close(descriptor) }
    guard request.header.flags & 0x10 == 0 else { return }
    var reply = Reply(
      bytes: Wire.header(
        id: request.header.id, command: request.header.command,
        size: Wire.headerByteCount + payload.count, flags: flags, error: error) + payload,
      descriptors: descriptors)
    options.tamper(request.header.command, &reply)
    if let count = reply.sentByteCount { reply.bytes = [UInt8](reply.bytes.prefix(count)) }
    try socket.send(reply.bytes, reply.descriptors)
    if reply.closes {
      vfio_user_host_shutdown(socket.number)
      throw ServerSocket.Ended()
    }
  }

  // MARK: Commands

  private func greet() throws {
    let request = try socket.receive()
    check(request, 1)
    let payload = request.payload
    guard payload.count > 5, Wire.number(payload, 0, 2) == 0, Wire.number(payload, 2, 2) == 1,
      payload.last == 0, payload.dropLast().allSatisfy({ $0 != 0 || $0 == 0 }),
      String(decoding: payload[4...].dropLast(), as: UTF8.self).hasPrefix(#"{"capabilities":{"#)
    else { return complain("version: \(payload)") }
    try reply(
      request,
      Wire.bytes(0, 2) + Wire.bytes(options.minor, 2) + [UInt8](options.capabilities.utf8)
        + (options.capabilities.isEmpty ? [] : [0]))
  }

  private func check(_ request: Wire.Request, _ command: UInt16) {
    record.value.withLock { $0.commands.append(request.header.command) }
    if request.header.command != command {
      complain("command \(request.header.command) instead of \(command)")
    }
    if request.header.flags & ~0x10 != 0 { complain("flags \(request.header.flags)") }
    if request.header.error != 0 { complain("a command with an error") }
  }

  func handle(_ request: Wire.Request) throws {
    check(request, request.header.command)
    let count = request.descriptors.count
    // The version's reply said eight; only memory and interrupts come with descriptors.
    if count > 8 || (count > 0 && request.header.command != 2 && request.header.command != 8) {
      complain("\(count) descriptors with command \(request.header.command)")
    }
    switch request.header.command {
    case 2: try map(request)
    case 3: try unmap(request)
    case 4: try deviceInfo(request)
    case 5: try regionInfo(request)
    case 7: try irqInfo(request)
    case 8: try setIRQs(request)
    case 9: try readRegion(request)
    case 10: try writeRegion(request)
    case 13:
      if !request.payload.isEmpty { complain("a reset with a payload") }
      record.value.withLock { $0.resetCount += 1 }
      guard options.hasReset else { return try refuse(request, ENOTSUP) }
      try reply(request)
    default:
      complain("command \(request.header.command)")
      try refuse(request, EINVAL)
    }
  }

  private func map(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count == 32, Wire.number(payload, 0, 4) == 32, request.descriptors.count < 2
    else {
      complain("DMA_MAP \(payload)")
      return try refuse(request, EINVAL)
    }
    let (flags, offset) = (Wire.number(payload, 4, 4), Wire.number(payload, 8, 8))
    let (address, size) = (Wire.number(payload, 16, 8), Wire.number(payload, 24, 8))
    if flags == 0 || flags > 3 || size == 0 || size % 4096 != 0 || address % 4096 != 0 {
      complain("DMA_MAP flags \(flags), \(size) bytes at \(address)")
    }
    guard
      !windows.contains(where: { $0.address < address + size && address < $0.address + $0.size })
    else { return try refuse(request, EEXIST) }
    var window = Window(address: address, size: size, base: 0)
    if let memory = request.descriptors.first {
      window.base = vfio_user_host_map(memory, offset, size, 1)
      if window.base == 0 { complain("memory that cannot be mapped") }
      record.value.withLock { $0.mapsWithDescriptor += 1 }
    } else {
      if offset != 0 { complain("an offset without a descriptor") }
      record.value.withLock { $0.mapsWithout += 1 }
    }
    windows.append(window)
    try reply(request)
  }

  private func unmap(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count == 24, Wire.number(payload, 0, 4) >= 24, Wire.number(payload, 4, 4) == 0
    else {
      complain("DMA_UNMAP \(payload)")
      return try refuse(request, EINVAL)
    }
    let (address, size) = (Wire.number(payload, 8, 8), Wire.number(payload, 16, 8))
    guard let index = windows.firstIndex(where: { $0.address == address && $0.size == size })
    else { return try refuse(request, ENOENT) }
    let window = windows.remove(at: index)
    if window.base != 0 { vfio_user_host_unmap(window.base, window.size) }
    record.value.withLock { $0.unmaps += 1 }
    try reply(request, payload)
  }

  private func deviceInfo(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count == 16, Wire.number(payload, 0, 4) >= 16,
      payload[4...].allSatisfy({ $0 == 0 })
    else {
      complain("DEVICE_GET_INFO \(payload)")
      return try refuse(request, EINVAL)
    }
    try reply(
      request,
      Wire.bytes(16, 4) + Wire.bytes(options.hasReset ? 3 : 2, 4) + Wire.bytes(9, 4)
        + Wire.bytes(5, 4))
  }

  static let sizes: [UInt64] = [0x1000, 0, 0x3000, 0, 0, 0, 0, 256, 0]

  private func regionInfo(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count == 32, Wire.number(payload, 0, 4) >= 32,
      payload[4..<8].allSatisfy({ $0 == 0 }), payload[12...].allSatisfy({ $0 == 0 }),
      Wire.number(payload, 8, 4) < 9
    else {
      complain("DEVICE_GET_REGION_INFO \(payload)")
      return try refuse(request, EINVAL)
    }
    let index = Int(Wire.number(payload, 8, 4))
    let room = Int(Wire.number(payload, 0, 4))
    var flags: UInt64 = Self.sizes[index] == 0 ? 0 : 3
    var capabilities: [UInt8] = []
    if index == 2, options.sharesPage {
      flags |= 4 + 8
      // A capability nobody knows, so long that it does not fit at once; then the shared page.
      capabilities = Wire.bytes(77, 2) + Wire.bytes(1, 2) + Wire.bytes(32 + 512, 4)
      capabilities += [UInt8](repeating: 0xee, count: 504)
      capabilities += Wire.bytes(1, 2) + Wire.bytes(1, 2) + Wire.bytes(0, 4)
      capabilities += Wire.bytes(1, 4) + Wire.bytes(0, 4)
      capabilities += Wire.bytes(0x1000, 8) + Wire.bytes(0x1000, 8)
    }
    let whole = 32 + capabilities.count
    let fits = whole <= room
    let head =
      Wire.bytes(UInt64(whole), 4) + Wire.bytes(fits ? flags : flags & ~8, 4)
      + Wire.bytes(UInt64(index), 4) + Wire.bytes(fits && !capabilities.isEmpty ? 32 : 0, 4)
      + Wire.bytes(Self.sizes[index], 8) + Wire.bytes(0, 8)
    try reply(
      request, fits ? head + capabilities : head,
      descriptors: fits && flags & 4 != 0 ? [page] : [])
  }

  private func irqInfo(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count == 16, Wire.number(payload, 0, 4) == 16,
      payload[4..<8].allSatisfy({ $0 == 0 }), Wire.number(payload, 8, 4) < 5,
      Wire.number(payload, 12, 4) == 0
    else {
      complain("DEVICE_GET_IRQ_INFO \(payload)")
      return try refuse(request, EINVAL)
    }
    let flags: UInt64 = 1 + (options.isMaskable ? 2 : 0) + (options.isFixedSet ? 8 : 0)
    let counts: [UInt64] = [1, 1, 4, 1, 1]
    let index = Int(Wire.number(payload, 8, 4))
    try reply(
      request,
      Wire.bytes(16, 4) + Wire.bytes(flags, 4) + Wire.bytes(UInt64(index), 4)
        + Wire.bytes(counts[index], 4))
  }
}

/// An anonymous memory object.
private func temporaryMemory() -> Int {
  var name = Array("/tmp/vfio-user-page-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
  let descriptor = unsafe name.withUnsafeMutableBufferPointer { buffer in
    unsafe buffer.baseAddress.map { unsafe mkstemp($0) } ?? -1
  }
  unsafe unlink(String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
  return Int(descriptor)
}
