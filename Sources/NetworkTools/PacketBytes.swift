/// An IPv4 address.
package struct IPv4Address: Equatable, Sendable, CustomStringConvertible {
  /// The first of the four numbers is the highest byte.
  package let rawValue: UInt32

  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  package static let any = IPv4Address(0, 0, 0, 0)
  package static let broadcast = IPv4Address(255, 255, 255, 255)

  package var description: String {
    "\(rawValue >> 24).\(rawValue >> 16 & 255).\(rawValue >> 8 & 255).\(rawValue & 255)"
  }
}

/// An Ethernet address, as 48 bits.
package struct EthernetAddress: Equatable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64

  package init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

  package static let broadcast = EthernetAddress(rawValue: .max)

  package var description: String {
    stride(from: 40, through: 0, by: -8).map { shift in
      let digits = String(rawValue >> UInt64(shift) & 255, radix: 16)
      return digits.utf8.count == 1 ? "0" + digits : digits
    }.joined(separator: ":")
  }
}

/// Writes big-endian numbers one after the other.
struct PacketWriter {
  private(set) var bytes: [UInt8] = []

  mutating func u8(_ value: UInt8) { bytes.append(value) }

  mutating func u16(_ value: UInt16) {
    bytes.append(UInt8(value >> 8))
    bytes.append(UInt8(value & 255))
  }

  mutating func u32(_ value: UInt32) {
    u16(UInt16(value >> 16))
    u16(UInt16(value & 0xffff))
  }

  mutating func address(_ value: EthernetAddress) {
    for shift in stride(from: 40 as UInt64, through: 0, by: -8) {
      bytes.append(UInt8(value.rawValue >> shift & 255))
    }
  }

  mutating func zeroes(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }

  mutating func append(_ more: [UInt8]) { bytes += more }

  mutating func set(u16 value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(value >> 8)
    bytes[offset + 1] = UInt8(value & 255)
  }
}

/// Reads big-endian numbers by offset; nil beyond the end.
struct PacketReader {
  let bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var count: Int { bytes.count }

  func u8(_ offset: Int) -> UInt8? {
    offset >= 0 && offset < bytes.count ? bytes[bytes.startIndex + offset] : nil
  }

  func u16(_ offset: Int) -> UInt16? {
    guard let high = u8(offset), let low = u8(offset + 1) else { return nil }
    return UInt16(high) << 8 | UInt16(low)
  }

  func u32(_ offset: Int) -> UInt32? {
    guard let high = u16(offset), let low = u16(offset + 2) else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }

  func address(_ offset: Int) -> EthernetAddress? {
    guard let high = u16(offset), let low = u32(offset + 2) else { return nil }
    return EthernetAddress(rawValue: UInt64(high) << 32 | UInt64(low))
  }

  /// The bytes from an offset on, at most so many.
  func rest(_ offset: Int, _ limit: Int = .max) -> ArraySlice<UInt8>? {
    guard offset >= 0, offset <= bytes.count else { return nil }
    return bytes.dropFirst(offset).prefix(limit)
  }
}

/// The sum that IPv4, UDP and ICMP protect their bytes with (RFC 1071).
func internetChecksum(_ bytes: some Sequence<UInt8>, adding start: UInt32 = 0) -> UInt16 {
  var sum = start
  var isHigh = true
  for byte in bytes {
    sum &+= isHigh ? UInt32(byte) << 8 : UInt32(byte)
    isHigh.toggle()
  }
  while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
  return ~UInt16(sum)
}
