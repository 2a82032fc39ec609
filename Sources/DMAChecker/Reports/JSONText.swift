internal import DMA

/// Builds JSON (RFC 8259) piece by piece.
struct JSONText {
  private(set) var text = ""
  private var needsComma = false

  mutating func open(_ bracket: StaticString, _ key: StaticString? = nil) {
    start(key)
    text += "\(bracket)"
    needsComma = false
  }

  mutating func close(_ bracket: StaticString) {
    text += "\(bracket)"
    needsComma = true
  }

  mutating func add(_ key: StaticString?, _ value: String) {
    start(key)
    text += "\""
    text += Self.escaped(value)
    text += "\""
  }

  mutating func add(_ key: StaticString?, _ value: UInt64) {
    start(key)
    text += String(value)
  }

  mutating func add(_ key: StaticString?, isTrue: Bool) {
    start(key)
    text += isTrue ? "true" : "false"
  }

  private mutating func start(_ key: StaticString?) {
    if needsComma { text += "," }
    if let key { text += "\"\(key)\":" }
    needsComma = true
  }

  /// Quotes, backslashes and control characters, as RFC 8259, section 7 wants them.
  private static func escaped(_ value: String) -> String {
    var bytes: [UInt8] = []
    for byte in value.utf8 {
      switch byte {
      case 0x22, 0x5c:
        bytes.append(0x5c)
        bytes.append(byte)
      case 0..<0x20:
        bytes.append(contentsOf: [0x5c, 0x75, 0x30, 0x30, digit(byte >> 4), digit(byte & 15)])
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
