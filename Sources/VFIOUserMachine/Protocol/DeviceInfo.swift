/// What a device is (specification, "VFIO_USER_DEVICE_GET_INFO").
struct DeviceInfo: Equatable {
  static let byteCount = 16
  var hasReset: Bool
  var isPCI: Bool
  var regionCount: Int
  var irqTypeCount: Int

  static var request: [UInt8] {
    var writer = MessageWriter()
    writer.u32(UInt32(byteCount))
    for _ in 0..<3 { writer.u32(0) }
    return writer.bytes
  }

  init(reply payload: [UInt8]) throws(VFIOUserError) {
    guard payload.count >= Self.byteCount else {
      throw .protocolViolation(
        .deviceInfo, .payloadSize(payload.count, expected: Self.byteCount))
    }
    let reader = MessageReader(payload)
    hasReset = reader.u32(4) & 1 != 0
    isPCI = reader.u32(4) & 2 != 0
    regionCount = Int(reader.u32(8))
    irqTypeCount = Int(reader.u32(12))
  }
}

/// VFIO's numbers of a PCI device's regions and interrupt types (linux/vfio.h).
enum VFIOIndex {
  /// Regions 0 to 5 are the BARs.
  static let barCount = 6
  static let configurationRegion = 7
  static let msi = 1
  static let msix = 2
}

/// What a type of interrupts can do (specification, "VFIO_USER_DEVICE_GET_IRQ_INFO").
struct IRQInfo: Equatable {
  static let byteCount = 16
  var count = 0
  var hasEvents = false
  var isMaskable = false
  /// All are set up at once or none.
  var isFixedSet = false

  init() {}

  static func request(_ index: Int) -> [UInt8] {
    var writer = MessageWriter()
    writer.u32(UInt32(byteCount))
    writer.u32(0)
    writer.u32(UInt32(index))
    writer.u32(0)
    return writer.bytes
  }

  init(_ index: Int, reply payload: [UInt8]) throws(VFIOUserError) {
    guard payload.count >= Self.byteCount else {
      throw .protocolViolation(.irqInfo, .payloadSize(payload.count, expected: Self.byteCount))
    }
    let reader = MessageReader(payload)
    guard reader.u32(8) == UInt32(index) else {
      throw .protocolViolation(.irqInfo, .field("index", UInt64(reader.u32(8))))
    }
    let flags = reader.u32(4)
    hasEvents = flags & 1 != 0
    isMaskable = flags & 2 != 0
    isFixedSet = flags & 8 != 0
    // PCI has 32 messages, or 2048 with MSI-X.
    guard reader.u32(12) <= 2048 else {
      throw .protocolViolation(.irqInfo, .field("count", UInt64(reader.u32(12))))
    }
    count = Int(reader.u32(12))
  }
}

/// A window onto a device's registers (specification, "VFIO_USER_DEVICE_GET_REGION_INFO").
struct RegionInfo: Equatable {
  static let byteCount = 32
  /// No server has more to say about a region; more is a lie.
  static let replyByteCountMax = 65536

  var isReadable = false
  var isWritable = false
  var isMappable = false
  var byteCount: UInt64 = 0
  /// Where the region begins in what its descriptor stands for.
  var offset: UInt64 = 0
  /// Which parts can be mapped, when not all: offset and length in the region.
  var areas: [Area]?
  /// How many bytes the whole answer has.
  var neededByteCount = RegionInfo.byteCount

  struct Area: Equatable {
    var offset: UInt64
    var byteCount: UInt64
  }

  init() {}

  static func request(_ index: Int, byteCount: Int) -> [UInt8] {
    var writer = MessageWriter()
    writer.u32(UInt32(byteCount))
    writer.u32(0)
    writer.u32(UInt32(index))
    writer.u32(0)
    writer.u64(0)
    writer.u64(0)
    return writer.bytes
  }

  init(_ index: Int, reply payload: [UInt8]) throws(VFIOUserError) {
    guard payload.count >= Self.byteCount else {
      throw .protocolViolation(
        .regionInfo, .payloadSize(payload.count, expected: Self.byteCount))
    }
    let reader = MessageReader(payload)
    guard reader.u32(8) == UInt32(index) else { throw Self.lie("index", UInt64(reader.u32(8))) }
    let flags = reader.u32(4)
    isReadable = flags & 1 != 0
    isWritable = flags & 2 != 0
    isMappable = flags & 4 != 0
    byteCount = reader.u64(16)
    offset = reader.u64(24)
    guard byteCount <= 1 << 46 else { throw Self.lie("size", byteCount) }
    neededByteCount = Int(reader.u32(0))
    guard neededByteCount >= Self.byteCount, neededByteCount <= Self.replyByteCountMax else {
      throw Self.lie("argsz", UInt64(reader.u32(0)))
    }
    // Capabilities that did not fit are asked for again.
    guard flags & 8 != 0, neededByteCount <= payload.count else { return }
    var place = Int(reader.u32(12))
    var seen = 0
    while place != 0 {
      // A list that runs on for longer than there are bytes for is a loop.
      seen += 1
      guard place >= Self.byteCount, place <= payload.count - 8, seen <= payload.count / 8 else {
        throw Self.lie("cap_offset", UInt64(place))
      }
      // 1: only some parts can be mapped. Others are not known here.
      if reader.u16(place) == 1 { areas = try Self.areas(reader, place, byteCount) }
      place = Int(reader.u32(place + 4))
    }
  }

  private static func areas(
    _ reader: MessageReader, _ place: Int, _ regionByteCount: UInt64
  ) throws(VFIOUserError) -> [Area] {
    guard place <= reader.bytes.count - 16 else { throw lie("cap_offset", UInt64(place)) }
    let count = Int(reader.u32(place + 8))
    guard count <= (reader.bytes.count - place - 16) / 16 else {
      throw lie("nr_areas", UInt64(count))
    }
    var found: [Area] = []
    for index in 0..<count {
      let area = Area(
        offset: reader.u64(place + 16 + index * 16),
        byteCount: reader.u64(place + 24 + index * 16))
      guard area.offset <= regionByteCount, area.byteCount <= regionByteCount - area.offset else {
        throw lie("area", area.offset)
      }
      found.append(area)
    }
    return found
  }

  private static func lie(_ name: String, _ value: UInt64) -> VFIOUserError {
    .protocolViolation(.regionInfo, .field(name, value))
  }
}
