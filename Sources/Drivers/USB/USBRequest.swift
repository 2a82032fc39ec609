/// A request to a device's endpoint 0 (USB 2.0, section 9.3).
public struct USBRequest: Equatable, Sendable {
  /// Direction, type and recipient.
  public var type: UInt8
  public var request: UInt8
  public var value: UInt16
  public var index: UInt16
  /// How many bytes move after the request itself.
  public var byteCount: UInt16

  public init(type: UInt8, request: UInt8, value: UInt16, index: UInt16, byteCount: UInt16) {
    self.type = type
    self.request = request
    self.value = value
    self.index = index
    self.byteCount = byteCount
  }

  /// Whether the bytes come from the device.
  public var isFromDevice: Bool { type & 0x80 != 0 }

  /// Asks for a descriptor.
  ///
  /// - Parameters:
  ///   - type: 1 device, 2 configuration, 3 string.
  ///   - language: of a string.
  public static func descriptor(
    type: UInt8, index: UInt8 = 0, language: UInt16 = 0, byteCount: UInt16
  ) -> USBRequest {
    USBRequest(
      type: 0x80, request: 6, value: UInt16(type) << 8 | UInt16(index), index: language,
      byteCount: byteCount)
  }

  /// Asks for a descriptor that belongs to an interface, such as a HID report's (type 0x22).
  public static func interfaceDescriptor(
    type: UInt8, interface: UInt16, byteCount: UInt16
  ) -> USBRequest {
    USBRequest(
      type: 0x81, request: 6, value: UInt16(type) << 8, index: interface, byteCount: byteCount)
  }

  static func setAddress(_ address: UInt8) -> USBRequest {
    USBRequest(type: 0, request: 5, value: UInt16(address), index: 0, byteCount: 0)
  }

  static var wireByteCount: Int { 8 }

  /// The eight bytes as two little-endian words.
  var words: (UInt32, UInt32) {
    (
      UInt32(type) | UInt32(request) << 8 | UInt32(value) << 16,
      UInt32(index) | UInt32(byteCount) << 16
    )
  }
}

/// What a device says about itself in its first 18 bytes (USB 2.0, table 9-8).
public struct USBDeviceDescriptor: Equatable, Sendable {
  /// All of it, as the device sent it.
  public let bytes: [UInt8]

  /// - Throws: `USBError.malformedDescriptor`.
  init(_ bytes: [UInt8]) throws(USBError) {
    guard bytes.count >= 18, bytes[0] >= 18, bytes[1] == 1 else {
      throw .malformedDescriptor(type: 1)
    }
    self.bytes = bytes
  }

  private func word(_ offset: Int) -> UInt16 {
    UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
  }

  /// The version of USB in binary-coded decimal: 0x0200 is 2.0.
  public var usbVersion: UInt16 { word(2) }
  public var deviceClass: UInt8 { bytes[4] }
  public var deviceSubclass: UInt8 { bytes[5] }
  public var deviceProtocol: UInt8 { bytes[6] }
  /// The most bytes of one packet of endpoint 0.
  public var packetByteCount: Int { Int(bytes[7]) }
  public var vendorID: UInt16 { word(8) }
  public var productID: UInt16 { word(10) }
  public var deviceVersion: UInt16 { word(12) }
  /// Numbers of strings; 0 is none.
  public var manufacturerIndex: UInt8 { bytes[14] }
  public var productIndex: UInt8 { bytes[15] }
  public var serialNumberIndex: UInt8 { bytes[16] }
  public var configurationCount: Int { Int(bytes[17]) }
}
