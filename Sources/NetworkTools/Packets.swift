/// The packets a ping needs: Ethernet (IEEE 802.3), ARP (RFC 826), IPv4 (RFC 791), ICMP (RFC 792).
enum EtherType {
  static let ipv4: UInt16 = 0x0800
  static let arp: UInt16 = 0x0806
}

enum IPProtocol {
  static let icmp: UInt8 = 1
  static let udp: UInt8 = 17
}

/// An Ethernet frame without its checksum.
struct EthernetFrame {
  var destination: EthernetAddress
  var source: EthernetAddress
  var type: UInt16
  var payload: ArraySlice<UInt8>

  init(
    to destination: EthernetAddress, from source: EthernetAddress, type: UInt16, _ payload: [UInt8]
  ) {
    self.destination = destination
    self.source = source
    self.type = type
    self.payload = payload[...]
  }

  /// Nil when it is too short.
  init?(_ bytes: [UInt8]) {
    let reader = PacketReader(bytes[...])
    guard let destination = reader.address(0), let source = reader.address(6),
      let type = reader.u16(12), let payload = reader.rest(14)
    else { return nil }
    self.destination = destination
    self.source = source
    self.type = type
    self.payload = payload
  }

  var bytes: [UInt8] {
    var writer = PacketWriter()
    writer.address(destination)
    writer.address(source)
    writer.u16(type)
    writer.append([UInt8](payload))
    return writer.bytes
  }
}

/// A question for an Ethernet address, or its answer.
struct ARPPacket {
  var isReply: Bool
  var senderHardware: EthernetAddress
  var sender: IPv4Address
  var targetHardware: EthernetAddress
  var target: IPv4Address

  init(
    isReply: Bool, senderHardware: EthernetAddress, sender: IPv4Address,
    targetHardware: EthernetAddress, target: IPv4Address
  ) {
    self.isReply = isReply
    self.senderHardware = senderHardware
    self.sender = sender
    self.targetHardware = targetHardware
    self.target = target
  }

  /// Nil when it is not about IPv4 over Ethernet.
  init?(_ bytes: ArraySlice<UInt8>) {
    let reader = PacketReader(bytes)
    guard reader.u16(0) == 1, reader.u16(2) == EtherType.ipv4, reader.u8(4) == 6,
      reader.u8(5) == 4, let operation = reader.u16(6), operation == 1 || operation == 2,
      let senderHardware = reader.address(8), let sender = reader.u32(14),
      let targetHardware = reader.address(18), let target = reader.u32(24)
    else { return nil }
    self.init(
      isReply: operation == 2, senderHardware: senderHardware,
      sender: IPv4Address(rawValue: sender), targetHardware: targetHardware,
      target: IPv4Address(rawValue: target))
  }

  var bytes: [UInt8] {
    var writer = PacketWriter()
    writer.u16(1)
    writer.u16(EtherType.ipv4)
    writer.u8(6)
    writer.u8(4)
    writer.u16(isReply ? 2 : 1)
    writer.address(senderHardware)
    writer.u32(sender.rawValue)
    writer.address(targetHardware)
    writer.u32(target.rawValue)
    return writer.bytes
  }
}

/// An IPv4 packet that is not a fragment.
struct IPv4Packet {
  var source: IPv4Address
  var destination: IPv4Address
  var protocolNumber: UInt8
  var payload: ArraySlice<UInt8>

  init(
    from source: IPv4Address, to destination: IPv4Address, _ protocolNumber: UInt8,
    _ payload: [UInt8]
  ) {
    self.source = source
    self.destination = destination
    self.protocolNumber = protocolNumber
    self.payload = payload[...]
  }

  /// Nil when it is too short, its checksum is wrong, or it is a fragment.
  init?(_ bytes: ArraySlice<UInt8>) {
    let reader = PacketReader(bytes)
    guard let first = reader.u8(0), first >> 4 == 4 else { return nil }
    let header = Int(first & 15) * 4
    guard header >= 20, let total = reader.u16(2), Int(total) >= header, Int(total) <= reader.count,
      let fragment = reader.u16(6), fragment & 0x3fff == 0, let number = reader.u8(9),
      let source = reader.u32(12), let destination = reader.u32(16),
      let head = reader.rest(0, header), internetChecksum(head) == 0,
      let payload = reader.rest(header, Int(total) - header)
    else { return nil }
    self.source = IPv4Address(rawValue: source)
    self.destination = IPv4Address(rawValue: destination)
    protocolNumber = number
    self.payload = payload
  }

  var bytes: [UInt8] {
    var writer = PacketWriter()
    writer.u8(0x45)
    writer.u8(0)
    writer.u16(UInt16(20 + payload.count))
    writer.u16(0)
    writer.u16(0x4000)
    writer.u8(64)
    writer.u8(protocolNumber)
    writer.u16(0)
    writer.u32(source.rawValue)
    writer.u32(destination.rawValue)
    writer.set(u16: internetChecksum(writer.bytes), at: 10)
    writer.append([UInt8](payload))
    return writer.bytes
  }
}

/// A ping or its answer.
struct EchoPacket: Equatable {
  var isReply: Bool
  var identifier: UInt16
  var sequence: UInt16
  var payload: [UInt8]

  init(isReply: Bool, identifier: UInt16, sequence: UInt16, payload: [UInt8]) {
    self.isReply = isReply
    self.identifier = identifier
    self.sequence = sequence
    self.payload = payload
  }

  /// Nil when it is another ICMP message or its checksum is wrong.
  init?(_ bytes: ArraySlice<UInt8>) {
    let reader = PacketReader(bytes)
    guard let type = reader.u8(0), type == 8 || type == 0, reader.u8(1) == 0,
      let identifier = reader.u16(4), let sequence = reader.u16(6),
      let payload = reader.rest(8), internetChecksum(bytes) == 0
    else { return nil }
    self.init(
      isReply: type == 0, identifier: identifier, sequence: sequence, payload: [UInt8](payload))
  }

  var bytes: [UInt8] {
    var writer = PacketWriter()
    writer.u8(isReply ? 0 : 8)
    writer.u8(0)
    writer.u16(0)
    writer.u16(identifier)
    writer.u16(sequence)
    writer.append(payload)
    writer.set(u16: internetChecksum(writer.bytes), at: 2)
    return writer.bytes
  }
}
