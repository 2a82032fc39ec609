/// What both sides agreed on (specification, "VFIO_USER_VERSION").
struct Capabilities: Equatable {
  static let major: UInt16 = 0
  static let minor: UInt16 = 1
  /// How many descriptors this side takes in a message.
  static let descriptorCountMax = 16
  /// How many bytes this side moves in a message: the protocol's default.
  static let transferByteCountMax = 1 << 20

  /// How many descriptors the server takes in a message.
  var descriptorCount = 1
  /// How many bytes the server moves in a message.
  var transferByteCount = 1 << 20
  /// How many pieces of memory the server can be given.
  var mapCount = 65535
  /// The sizes of pages that memory can be given in, or'ed together.
  var pageSizes: UInt64 = 4096

  init() {}

  /// What this side proposes: neither twin sockets nor migration nor coalesced writes.
  static var proposal: [UInt8] {
    var writer = MessageWriter(reserving: 128)
    writer.u16(major)
    writer.u16(minor)
    writer.append(
      [UInt8](
        """
        {"capabilities":{"max_msg_fds":\(descriptorCountMax),\
        "max_data_xfer_size":\(transferByteCountMax),"pgsizes":4096}}
        """.utf8))
    writer.append([0])
    return writer.bytes
  }

  /// - Parameter payload: of the server's answer.
  init(reply payload: [UInt8]) throws(VFIOUserError) {
    guard payload.count >= 4 else {
      throw .protocolViolation(.version, .payloadSize(payload.count, expected: 4))
    }
    let reader = MessageReader(payload)
    let (major, minor) = (reader.u16(0), reader.u16(2))
    guard major == Self.major, minor <= Self.minor else {
      throw .incompatibleVersion(major: Int(major), minor: Int(minor))
    }
    guard payload.count > 4 else { return }
    guard payload.last == 0 else { throw .malformedCapabilities("the text does not end") }
    let text = [UInt8](payload[4...].prefix { $0 != 0 })
    // Nothing but the end: as good as none.
    guard !text.isEmpty else { return }
    guard let value = JSONValue(text), case .object = value else {
      throw .malformedCapabilities("not an object in JSON")
    }
    guard let list = value["capabilities"] else { return }
    guard case .object = list else { throw .malformedCapabilities("not an object") }
    // What is not known here is ignored: what was not proposed is not used.
    descriptorCount = try Self.number(list, "max_msg_fds", 0...UInt64(Int32.max)) ?? 1
    transferByteCount =
      try Self.number(list, "max_data_xfer_size", 1...UInt64(UInt32.max)) ?? 1 << 20
    mapCount = try Self.number(list, "max_dma_maps", 1...UInt64(Int.max)) ?? 65535
    switch list["pgsizes"] {
    case nil: break
    case .number(let sizes) where sizes != 0: pageSizes = sizes
    default: throw .malformedCapabilities("pgsizes is no set of sizes")
    }
  }

  private static func number(
    _ list: JSONValue, _ name: StaticString, _ range: ClosedRange<UInt64>
  ) throws(VFIOUserError) -> Int? {
    guard let value = list[name] else { return nil }
    guard case .number(let number) = value, range.contains(number) else {
      throw .malformedCapabilities("\(name) is out of range")
    }
    return Int(number)
  }
}
