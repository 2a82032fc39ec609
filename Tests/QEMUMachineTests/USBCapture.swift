import Glibc

/// What QEMU's USB core recorded of a device's control transfers (its `pcap` property), on the
/// device's side: no byte of it came through the controller's DMA.
struct USBCapture {
  /// A request's eight bytes and what the device answered.
  struct Transfer: Equatable {
    var request: [UInt8]
    var answer: [UInt8]
  }

  let transfers: [Transfer]

  /// - Parameter path: a pcap file with Linux's memory-mapped USB headers (link type 220).
  init?(path: String) {
    guard let bytes = Self.read(path), bytes.count >= 24,
      Self.number(bytes, 0, 4) == 0xa1b2_c3d4, Self.number(bytes, 20, 4) == 220
    else { return nil }
    var found: [Transfer] = []
    var request: [UInt8]?
    var offset = 24
    while offset + 16 + 64 <= bytes.count {
      let captured = Int(Self.number(bytes, offset + 8, 4))
      let packet = offset + 16
      guard captured >= 64, packet + captured <= bytes.count else { break }
      // A control transfer's submission has the request, its completion the answer.
      if bytes[packet + 9] == 2 {
        if bytes[packet + 8] == UInt8(ascii: "S") {
          request = [UInt8](bytes[packet + 40..<packet + 48])
        } else if let asked = request {
          found.append(
            Transfer(request: asked, answer: [UInt8](bytes[packet + 64..<packet + captured])))
          request = nil
        }
      }
      offset = packet + captured
    }
    transfers = found
  }

  /// What the device answered to a request, the last time it was made.
  func answer(to request: [UInt8]) -> [UInt8]? {
    transfers.last { $0.request == request }?.answer
  }

  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
  }

  private static func read(_ path: String) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var result: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe piece.withUnsafeMutableBytes {
        unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return count == 0 ? result : nil }
      result += piece[..<count]
    }
  }
}
