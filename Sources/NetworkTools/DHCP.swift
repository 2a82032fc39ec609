/// A DHCP message over UDP over IPv4 (RFC 2131, RFC 2132).
struct DHCPMessage {
  enum Kind: UInt8 {
    case discover = 1
    case offer = 2
    case request = 3
    case acknowledge = 5
    case refuse = 6
  }

  var kind: Kind
  var transaction: UInt32
  var hardware: EthernetAddress
  /// What the server gives.
  var yours = IPv4Address.any
  /// Option 54.
  var server: IPv4Address?
  /// Option 50.
  var requested: IPv4Address?
  /// Option 3.
  var router: IPv4Address?
  /// Option 1.
  var subnetMask: IPv4Address?
  /// Option 6.
  var nameServer: IPv4Address?
  /// Option 51, in seconds.
  var leaseSeconds: UInt32?

  private static let cookie: UInt32 = 0x6382_5363
  private static let optionsOffset = 240

  init(_ kind: Kind, transaction: UInt32, hardware: EthernetAddress) {
    self.kind = kind
    self.transaction = transaction
    self.hardware = hardware
  }

  /// A reply in an IPv4 packet; nil when it is something else.
  init?(_ packet: IPv4Packet) {
    guard packet.protocolNumber == IPProtocol.udp else { return nil }
    let udp = PacketReader(packet.payload)
    // From the server's port 67 to the client's port 68.
    guard udp.u16(0) == 67, udp.u16(2) == 68, let length = udp.u16(4), length >= 8,
      let payload = udp.rest(8, Int(length) - 8)
    else { return nil }
    let reader = PacketReader(payload)
    guard reader.u8(0) == 2, let transaction = reader.u32(4), let yours = reader.u32(16),
      let hardware = reader.address(28), reader.u32(236) == Self.cookie
    else { return nil }
    var kind: Kind?
    self.init(.discover, transaction: transaction, hardware: hardware)
    self.yours = IPv4Address(rawValue: yours)
    var offset = Self.optionsOffset
    while let code = reader.u8(offset), code != 255 {
      guard code != 0 else {
        offset += 1
        continue
      }
      guard let count = reader.u8(offset + 1) else { break }
      let value = offset + 2
      let number = count >= 4 ? reader.u32(value) : nil
      switch code {
      case 1: subnetMask = number.map(IPv4Address.init(rawValue:))
      case 3: router = number.map(IPv4Address.init(rawValue:))
      case 6: nameServer = number.map(IPv4Address.init(rawValue:))
      case 51: leaseSeconds = number
      case 53: kind = reader.u8(value).flatMap(Kind.init(rawValue:))
      case 54: server = number.map(IPv4Address.init(rawValue:))
      default: break
      }
      offset = value + Int(count)
    }
    guard let kind else { return nil }
    self.kind = kind
  }

  /// A client's message as a whole Ethernet frame, broadcast.
  var frame: [UInt8] {
    var message = PacketWriter()
    message.u8(1)
    message.u8(1)
    message.u8(6)
    message.u8(0)
    message.u32(transaction)
    // Seconds, then flags: answer by broadcast.
    message.u16(0)
    message.u16(0x8000)
    message.zeroes(16)
    message.address(hardware)
    message.zeroes(10 + 64 + 128)
    message.u32(Self.cookie)
    message.append([53, 1, kind.rawValue])
    if let requested {
      message.append([50, 4])
      message.u32(requested.rawValue)
    }
    if let server {
      message.append([54, 4])
      message.u32(server.rawValue)
    }
    // What is asked for: mask, router, name server, lease time.
    message.append([55, 4, 1, 3, 6, 51, 255])
    let source = IPv4Address.any
    let destination = IPv4Address.broadcast
    var udp = PacketWriter()
    udp.u16(68)
    udp.u16(67)
    udp.u16(UInt16(8 + message.bytes.count))
    udp.u16(0)
    udp.append(message.bytes)
    var pseudo = PacketWriter()
    pseudo.u32(source.rawValue)
    pseudo.u32(destination.rawValue)
    pseudo.u16(UInt16(IPProtocol.udp))
    pseudo.u16(UInt16(udp.bytes.count))
    udp.set(u16: internetChecksum(pseudo.bytes + udp.bytes), at: 6)
    let packet = IPv4Packet(from: source, to: destination, IPProtocol.udp, udp.bytes)
    return EthernetFrame(
      to: .broadcast, from: hardware, type: EtherType.ipv4, packet.bytes
    ).bytes
  }
}
