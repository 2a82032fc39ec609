/// A message's command (vfio-user protocol specification, "Commands").
public enum VFIOUserCommand: UInt16, Sendable, CaseIterable {
  case version = 1
  case dmaMap = 2
  case dmaUnmap = 3
  case deviceInfo = 4
  case regionInfo = 5
  case irqInfo = 7
  case setIRQs = 8
  case regionRead = 9
  case regionWrite = 10
  /// From the server.
  case dmaRead = 11
  /// From the server.
  case dmaWrite = 12
  case reset = 13
}

extension VFIOUserCommand: CustomStringConvertible {
  /// The specification's name.
  public var description: String {
    switch self {
    case .version: "VERSION"
    case .dmaMap: "DMA_MAP"
    case .dmaUnmap: "DMA_UNMAP"
    case .deviceInfo: "DEVICE_GET_INFO"
    case .regionInfo: "DEVICE_GET_REGION_INFO"
    case .irqInfo: "DEVICE_GET_IRQ_INFO"
    case .setIRQs: "DEVICE_SET_IRQS"
    case .regionRead: "REGION_READ"
    case .regionWrite: "REGION_WRITE"
    case .dmaRead: "DMA_READ"
    case .dmaWrite: "DMA_WRITE"
    case .reset: "DEVICE_RESET"
    }
  }
}

/// The 16 bytes in front of every message (specification, "Header").
struct MessageHeader: Equatable {
  var id: UInt16
  var command: UInt16
  /// The header included.
  var byteCount: UInt32
  var flags: UInt32
  var error: UInt32

  static let byteCount = 16
  /// Bits 3:0: 0 a command, 1 a reply.
  static let typeMask: UInt32 = 0xf
  static let reply: UInt32 = 1
  static let noReply: UInt32 = 1 << 4
  static let errorFlag: UInt32 = 1 << 5

  init(id: UInt16, command: UInt16, byteCount: Int, flags: UInt32 = 0, error: UInt32 = 0) {
    self.id = id
    self.command = command
    self.byteCount = UInt32(byteCount)
    self.flags = flags
    self.error = error
  }

  /// - Parameter bytes: at least 16.
  init(_ bytes: [UInt8]) {
    let reader = MessageReader(bytes)
    id = reader.u16(0)
    command = reader.u16(2)
    byteCount = reader.u32(4)
    flags = reader.u32(8)
    error = reader.u32(12)
  }

  func append(to writer: inout MessageWriter) {
    writer.u16(id)
    writer.u16(command)
    writer.u32(byteCount)
    writer.u32(flags)
    writer.u32(error)
  }
}

/// Writes numbers as the host has them: the protocol has the host's byte order, and this package
/// runs on little-endian hosts only.
struct MessageWriter {
  private(set) var bytes: [UInt8] = []

  init(reserving count: Int = 64) { bytes.reserveCapacity(count) }

  mutating func u16(_ value: UInt16) { append(UInt64(value), 2) }
  mutating func u32(_ value: UInt32) { append(UInt64(value), 4) }
  mutating func u64(_ value: UInt64) { append(value, 8) }
  mutating func append(_ more: [UInt8]) { bytes += more }

  private mutating func append(_ value: UInt64, _ count: Int) {
    for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(index * 8))) }
  }
}

/// Reads numbers by offset; whoever reads has checked how many bytes there are.
struct MessageReader {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func u16(_ offset: Int) -> UInt16 { UInt16(truncatingIfNeeded: number(offset, 2)) }
  func u32(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: number(offset, 4)) }
  func u64(_ offset: Int) -> UInt64 { number(offset, 8) }

  func number(_ offset: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(index * 8) }
    return value
  }
}
