internal import DMA

/// A device on a port of a controller's root hub: what it says about itself.
public final class USBDevice {
  public let controller: OHCIController
  /// Counted from 1; also the device's address on its bus.
  public let port: Int
  /// Whether it runs at 1.5 Mbit/s instead of 12.
  public let isLowSpeed: Bool
  /// Its first 18 bytes.
  public let descriptor: USBDeviceDescriptor

  /// Resets what is plugged in and gives it an address (USB 2.0, 9.1.2).
  ///
  /// - Throws: `USBError.nothingConnected`, `.portNotEnabled`, `.malformedDescriptor`, and what
  ///   transfers throw.
  public init(_ controller: OHCIController, port: Int) throws(USBError) {
    self.controller = controller
    self.port = port
    try controller.resetPort(port)
    isLowSpeed = controller.isLowSpeed(port: port)
    // The first packet tells how long packets are; until then 8 bytes are safe.
    controller.setEndpoint(port: port, address: 0, packetByteCount: 8)
    let head = try controller.control(port: port, .descriptor(type: 1, byteCount: 8))
    guard head.count == 8, head[1] == 1, [8, 16, 32, 64].contains(head[7]) else {
      throw .malformedDescriptor(type: 1)
    }
    _ = try controller.control(port: port, .setAddress(UInt8(port)))
    // It has 2 ms to take the address (USB 2.0, 9.2.6.3).
    try controller.pause(milliseconds: 2)
    controller.setEndpoint(
      port: port, address: UInt8(port), packetByteCount: Int(head[7]))
    descriptor = try USBDeviceDescriptor(
      controller.control(port: port, .descriptor(type: 1, byteCount: 18)))
  }

  /// Makes any request that reads.
  ///
  /// - Returns: what came back; it may be shorter than asked for.
  /// - Throws: `USBError.stalled` when the device does not know it, `.tooLong` beyond 4096 bytes,
  ///   `.transferFailed`, `.timedOut`, `.controllerStopped`, `.dma`.
  public func read(_ request: USBRequest) throws(USBError) -> [UInt8] {
    try controller.control(port: port, request)
  }

  /// A configuration with its interfaces and endpoints (USB 2.0, 9.6.3), counted from 0.
  ///
  /// - Throws: as `read`, and `.malformedDescriptor`.
  public func configuration(_ index: UInt8 = 0) throws(USBError) -> [UInt8] {
    let head = try read(.descriptor(type: 2, index: index, byteCount: 9))
    guard head.count == 9, head[1] == 2 else { throw .malformedDescriptor(type: 2) }
    let total = UInt16(head[2]) | UInt16(head[3]) << 8
    let bytes = try read(.descriptor(type: 2, index: index, byteCount: total))
    guard bytes.count == Int(total), bytes.count >= 9 else {
      throw .malformedDescriptor(type: 2)
    }
    return bytes
  }

  /// The languages that strings come in (USB 2.0, 9.6.7): 0x0409 is American English.
  ///
  /// - Throws: as `read`, and `.malformedDescriptor`.
  public func languages() throws(USBError) -> [UInt16] { try words(ofString: 0, language: 0) }

  /// A string by its number; nil for number 0, which means that there is none.
  ///
  /// - Throws: as `read`, and `.malformedDescriptor`.
  public func string(_ index: UInt8, language: UInt16 = 0x0409) throws(USBError) -> String? {
    guard index != 0 else { return nil }
    return String(decoding: try words(ofString: index, language: language), as: UTF16.self)
  }

  private func words(ofString index: UInt8, language: UInt16) throws(USBError) -> [UInt16] {
    let bytes = try read(
      .descriptor(type: 3, index: index, language: language, byteCount: 255))
    guard bytes.count >= 2, bytes[1] == 3, Int(bytes[0]) == bytes.count, bytes.count % 2 == 0
    else { throw .malformedDescriptor(type: 3) }
    return (1..<bytes.count / 2).map { UInt16(bytes[$0 * 2]) | UInt16(bytes[$0 * 2 + 1]) << 8 }
  }
}
