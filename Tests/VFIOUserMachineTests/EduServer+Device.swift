import DMA
import Glibc
import Synchronization

/// The device itself: registers, its DMA, its interrupts.
extension EduServer {
  func setIRQs(_ request: Wire.Request) throws {
    let payload = request.payload
    guard payload.count >= 20, Wire.number(payload, 0, 4) == UInt64(payload.count) else {
      complain("DEVICE_SET_IRQS \(payload)")
      return try refuse(request, EINVAL)
    }
    let flags = UInt32(Wire.number(payload, 4, 4))
    let index = UInt32(Wire.number(payload, 8, 4))
    let (first, count) = (UInt32(Wire.number(payload, 12, 4)), UInt32(Wire.number(payload, 16, 4)))
    let limit: UInt32 = index == 2 ? 4 : 1
    let (data, action) = (flags & 7, flags & 0x38)
    guard data.nonzeroBitCount == 1, action.nonzeroBitCount == 1, flags < 0x40, index < 5,
      first <= limit, count <= limit - first
    else {
      complain("DEVICE_SET_IRQS flags \(flags), index \(index), \(count) from \(first)")
      return try refuse(request, EINVAL)
    }
    switch (data, action) {
    case (4, 0x20):
      guard request.descriptors.count == Int(count), count > 0 else {
        complain("\(request.descriptors.count) descriptors for \(count) vectors")
        return try refuse(request, EINVAL)
      }
      if options.isFixedSet, events.keys.contains(where: { $0 >> 16 == index }), first == 0 {
        complain("a set that was not disabled is set up again")
      }
      for (vector, event) in zip(first..<first + count, request.descriptors) {
        if let old = events[index << 16 | vector] { close(old) }
        events[index << 16 | vector] = dup(event)
      }
    case (1, 0x20) where count == 0 && first == 0:
      for (key, event) in events where key >> 16 == index {
        close(event)
        events[key] = nil
      }
    case (1, 0x10):
      if !options.isMaskable { complain("an unmask that is not supported") }
      record.value.withLock { $0.unmaskedVectors += [UInt32](first..<first + count) }
    default:
      complain("DEVICE_SET_IRQS data \(data), action \(action)")
      return try refuse(request, EINVAL)
    }
    try reply(request)
  }

  // MARK: Regions

  private struct Place {
    var offset: Int
    var region: Int
    var count: Int
  }

  /// Nil when it was refused.
  private func place(_ request: Wire.Request, isWrite: Bool) throws -> Place? {
    let payload = request.payload
    guard payload.count >= 16 else {
      complain("a region access of \(payload.count) bytes")
      try refuse(request, EINVAL)
      return nil
    }
    let (offset, region) = (Wire.number(payload, 0, 8), Wire.number(payload, 8, 4))
    let count = Wire.number(payload, 12, 4)
    guard payload.count == 16 + (isWrite ? Int(count) : 0), region < 9,
      count <= transferByteCountMax, offset <= Self.sizes[Int(region)],
      count <= Self.sizes[Int(region)] - offset
    else {
      complain("region \(region), \(count) bytes at \(offset)")
      try refuse(request, EINVAL)
      return nil
    }
    return Place(offset: Int(offset), region: Int(region), count: Int(count))
  }

  private var transferByteCountMax: UInt64 {
    options.capabilities.contains(#""max_data_xfer_size":4,"#) ? 4 : 1 << 20
  }

  func readRegion(_ request: Wire.Request) throws {
    guard let place = try place(request, isWrite: false) else { return }
    let bytes: [UInt8]
    switch place.region {
    case 7: bytes = [UInt8](configuration[place.offset..<place.offset + place.count])
    case 0:
      guard let value = readRegister(place.offset) else { return try refuse(request, EINVAL) }
      bytes = Wire.bytes(value, place.count)
    case 2 where place.offset < 64:
      guard options.hasTableRegisters else { return try refuse(request, EINVAL) }
      bytes = [UInt8](table[place.offset..<place.offset + place.count])
    case 2 where place.offset >= 0x1000 && place.offset < 0x2000:
      bytes = (0..<place.count).map {
        UInt8.volatileLoad(at: pageBase + UInt(place.offset + $0))
      }
    default: return try refuse(request, EINVAL)
    }
    try reply(request, request.payload + bytes)
  }

  func writeRegion(_ request: Wire.Request) throws {
    guard let place = try place(request, isWrite: true) else { return }
    let bytes = [UInt8](request.payload[16...])
    let value = Wire.number(bytes, 0, min(8, place.count))
    var transfer: UInt64?
    switch place.region {
    case 7:
      // The command register; MSI's address, data and control; MSI-X's control.
      let isWritable =
        place.offset == 4 || (0x42..<0x50).contains(place.offset) || place.offset == 0x62
      if isWritable {
        configuration.replaceSubrange(place.offset..<place.offset + place.count, with: bytes)
      }
    case 0:
      guard let command = writeRegister(place.offset, value, place.count) else {
        return try refuse(request, EINVAL)
      }
      if command & 1 != 0 { transfer = command }
    case 2 where place.offset < 64:
      guard options.hasTableRegisters else { return try refuse(request, EINVAL) }
      table.replaceSubrange(place.offset..<place.offset + place.count, with: bytes)
    case 2 where place.offset >= 0x1000 && place.offset < 0x2000:
      for (index, byte) in bytes.enumerated() {
        UInt8.volatileStore(byte, at: pageBase + UInt(place.offset + index))
      }
    default: return try refuse(request, EINVAL)
    }
    if let transfer, !options.isTransferLate { try move(transfer) }
    try reply(request, [UInt8](request.payload[..<16]))
    if let transfer, options.isTransferLate { try move(transfer) }
  }

  private func readRegister(_ offset: Int) -> UInt64? {
    switch offset {
    case 0x00: 0x0100_00ed
    case 0x04: UInt64(~liveness)
    case 0x08: registers[1]
    case 0x20: 0
    case 0x24: registers[4]
    case 0x80, 0x88, 0x90, 0x98: registers[offset / 8]
    default: nil
    }
  }

  /// The command register's new value, 0 for other registers; nil when there is none there.
  private func writeRegister(_ offset: Int, _ value: UInt64, _ count: Int) -> UInt64? {
    switch offset {
    case 0x04: liveness = UInt32(truncatingIfNeeded: value)
    case 0x08:
      registers[1] = UInt64(
        (0..<UInt32(truncatingIfNeeded: value)).reduce(UInt32(1)) { $0 &* ($1 &+ 1) })
    case 0x64: registers[4] &= ~value
    // The upper half of a register that is written in two parts.
    case 0x84, 0x8c, 0x94:
      registers[offset / 8] = registers[offset / 8] & 0xffff_ffff | value << 32
    case 0x80, 0x88, 0x90:
      registers[offset / 8] = value
    case 0x98:
      registers[offset / 8] = value
      return value
    case 0x9c: break
    default: return nil
    }
    return 0
  }

  // MARK: DMA

  private func move(_ command: UInt64) throws {
    let count = Int(registers[0x90 / 8] & 0xfff)
    let isToMemory = command & 2 != 0
    // Bus mastering is off: the device cannot.
    if configuration[4] & 4 != 0 {
      if isToMemory {
        let start = Int(registers[0x80 / 8] - 0x40000)
        try write(registers[0x88 / 8], [UInt8](buffer[start..<start + count]))
      } else {
        let start = Int(registers[0x88 / 8] - 0x40000)
        if let bytes = try read(registers[0x80 / 8], count) {
          buffer.replaceSubrange(start..<start + count, with: bytes)
        }
      }
    }
    registers[0x98 / 8] &= ~1
    if command & 4 != 0 {
      registers[4] |= 0x100
      interrupt()
    }
  }

  private func interrupt() {
    // MSI when it is on, else the first vector of MSI-X.
    let key: UInt32 = configuration[0x42] & 1 != 0 ? 1 << 16 : 2 << 16
    guard configuration[4] & 4 != 0, let event = events[key] else {
      return complain("an interrupt that nobody has set up")
    }
    var one: UInt64 = 1
    unsafe withUnsafeBytes(of: &one) { _ = unsafe Glibc.write(event, $0.baseAddress, 8) }
  }

  private func window(_ address: UInt64, _ count: Int) -> Window? {
    windows.first {
      address >= $0.address && address - $0.address <= $0.size
        && UInt64(count) <= $0.size - (address - $0.address)
    }
  }

  private func read(_ address: UInt64, _ count: Int) throws -> [UInt8]? {
    if let window = window(address, count), window.base != 0 {
      let base = window.base + UInt(address - window.address)
      return (0..<count).map { UInt8.volatileLoad(at: base + UInt($0)) }
    }
    let answer = try ask(11, Wire.bytes(address, 8) + Wire.bytes(UInt64(count), 8))
    guard let answer else { return nil }
    if answer.count != 16 + count || Wire.number(answer, 0, 8) != address
      || Wire.number(answer, 8, 8) != UInt64(count)
    {
      complain("DMA_READ reply of \(answer.count) bytes")
    }
    return [UInt8](answer.dropFirst(16))
  }

  private func write(_ address: UInt64, _ bytes: [UInt8]) throws {
    if let window = window(address, bytes.count), window.base != 0 {
      let base = window.base + UInt(address - window.address)
      for (index, byte) in bytes.enumerated() {
        UInt8.volatileStore(byte, at: base + UInt(index))
      }
      return
    }
    let head = Wire.bytes(address, 8) + Wire.bytes(UInt64(bytes.count), 8)
    let answer = try ask(12, head + bytes)
    if let answer, answer != head { complain("DMA_WRITE reply \(answer)") }
  }

  /// Sends a command of the server's own; nil when the client refuses it.
  private func ask(_ command: UInt16, _ payload: [UInt8]) throws -> [UInt8]? {
    nextID &+= 1
    try socket.send(
      Wire.header(
        id: nextID, command: command, size: Wire.headerByteCount + payload.count, flags: 0)
        + payload)
    while true {
      let message = try socket.receive()
      guard message.header.flags & 0xf == 1 else {
        waiting.append(message)
        continue
      }
      if message.header.id != nextID || message.header.command != command {
        complain("reply \(message.header) to command \(command)")
      }
      guard message.header.flags & 0x20 == 0 else {
        if !message.payload.isEmpty { complain("an error with a payload") }
        record.value.withLock { $0.dmaErrors.append(message.header.error) }
        return nil
      }
      return message.payload
    }
  }
}
