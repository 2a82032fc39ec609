extension VFIOUserClient {
  func deviceInfo() throws(VFIOUserError) -> DeviceInfo {
    try DeviceInfo(reply: ask(.deviceInfo, DeviceInfo.request).payload)
  }

  func irqInfo(_ index: Int) throws(VFIOUserError) -> IRQInfo {
    try IRQInfo(index, reply: ask(.irqInfo, IRQInfo.request(index)).payload)
  }

  /// A region and what can be mapped of it.
  func regionInfo(_ index: Int) throws(VFIOUserError) -> (RegionInfo, DescriptorList) {
    // Enough for fourteen areas; a server that has more says so.
    var byteCount = 256
    while true {
      let reply = try ask(.regionInfo, RegionInfo.request(index, byteCount: byteCount))
      let info = try RegionInfo(index, reply: reply.payload)
      if info.neededByteCount <= byteCount { return (info, reply.descriptors) }
      byteCount = info.neededByteCount
    }
  }

  /// Reads registers; as long as what the server moves at once.
  func readRegion(
    _ region: Int, at offset: UInt64, byteCount: Int
  ) throws(VFIOUserError) -> UInt64 {
    let limit = capabilities.transferByteCount
    var value: UInt64 = 0
    var done = 0
    while done < byteCount {
      let count = min(byteCount - done, limit)
      let place = offset + UInt64(done)
      let header = Self.regionAccess(region, place, count)
      let reply = try ask(.regionRead, header)
      try Self.check(.regionRead, reply.payload, header, payloadByteCount: 16 + count)
      value |= MessageReader(reply.payload).number(16, count) << UInt64(done * 8)
      done += count
    }
    return value
  }

  /// Writes registers: the device has them when this returns.
  func writeRegion(
    _ region: Int, at offset: UInt64, byteCount: Int, _ value: UInt64
  ) throws(VFIOUserError) {
    let limit = capabilities.transferByteCount
    var done = 0
    while done < byteCount {
      let count = min(byteCount - done, limit)
      let place = offset + UInt64(done)
      let header = Self.regionAccess(region, place, count)
      let bytes = (done..<done + count).map {
        UInt8(truncatingIfNeeded: value >> UInt64($0 * 8))
      }
      let reply = try ask(.regionWrite, header + bytes)
      try Self.check(.regionWrite, reply.payload, header, payloadByteCount: 16)
      done += count
    }
  }

  private static func regionAccess(_ region: Int, _ offset: UInt64, _ count: Int) -> [UInt8] {
    var writer = MessageWriter(reserving: 24)
    writer.u64(offset)
    writer.u32(UInt32(region))
    writer.u32(UInt32(count))
    return writer.bytes
  }

  /// Whether a reply is about what was asked, and about all of it.
  private static func check(
    _ command: VFIOUserCommand, _ payload: [UInt8], _ asked: [UInt8], payloadByteCount: Int
  ) throws(VFIOUserError) {
    guard payload.count == payloadByteCount else {
      throw .protocolViolation(
        command, .payloadSize(payload.count, expected: payloadByteCount))
    }
    let (wanted, given) = (MessageReader(asked), MessageReader(payload))
    guard given.u64(0) == wanted.u64(0) else {
      throw .protocolViolation(command, .field("offset", given.u64(0)))
    }
    guard given.u32(8) == wanted.u32(8) else {
      throw .protocolViolation(command, .field("region", UInt64(given.u32(8))))
    }
    guard given.u32(12) == wanted.u32(12) else {
      throw .protocolViolation(command, .field("count", UInt64(given.u32(12))))
    }
  }

  /// Lets the server reach memory at bus addresses.
  ///
  /// - Parameter descriptor: the memory; nil when the server must ask for each access.
  func mapMemory(
    _ address: UInt64, byteCount: UInt64, descriptor: Int32?, offset: UInt64
  ) throws(VFIOUserError) {
    var writer = MessageWriter()
    writer.u32(32)
    // Readable and writable.
    writer.u32(3)
    writer.u64(descriptor == nil ? 0 : offset)
    writer.u64(address)
    writer.u64(byteCount)
    _ = try ask(.dmaMap, writer.bytes, descriptors: descriptor.map { [$0] } ?? [])
  }

  /// Ends that: when it returns, the server has let go of the memory.
  func unmapMemory(_ address: UInt64, byteCount: UInt64) throws(VFIOUserError) {
    var writer = MessageWriter()
    writer.u32(24)
    writer.u32(0)
    writer.u64(address)
    writer.u64(byteCount)
    let reply = try ask(.dmaUnmap, writer.bytes)
    // "The server responds with the original DMA entry in the request."
    guard reply.payload.count >= 24 else {
      throw .protocolViolation(.dmaUnmap, .payloadSize(reply.payload.count, expected: 24))
    }
  }

  /// What a message about interrupts does (linux/vfio.h, `struct vfio_irq_set`).
  enum IRQAction: UInt32 {
    /// From now on the server signals these event descriptors.
    case assignEvents = 0b10_0100
    /// The interrupts pass again.
    case unmask = 0b01_0001
    /// With a count of 0: none of this type any more.
    case disable = 0b10_0001
  }

  func setIRQs(
    _ index: Int, _ action: IRQAction, first: Int = 0, count: Int = 0, events: [Int32] = []
  ) throws(VFIOUserError) {
    var writer = MessageWriter()
    writer.u32(20)
    writer.u32(action.rawValue)
    writer.u32(UInt32(index))
    writer.u32(UInt32(first))
    writer.u32(UInt32(count))
    _ = try ask(.setIRQs, writer.bytes, descriptors: events)
  }

  func reset(milliseconds: Int) throws(VFIOUserError) {
    _ = try ask(.reset, milliseconds: milliseconds)
  }
}
