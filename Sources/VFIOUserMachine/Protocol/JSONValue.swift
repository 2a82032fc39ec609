/// What a server's capabilities are written in (RFC 8259): as much as is needed to read them.
enum JSONValue: Equatable {
  case null
  case bool(Bool)
  /// A number without sign, fraction and exponent.
  case number(UInt64)
  /// Any other number.
  case otherNumber
  case string([UInt8])
  case array([JSONValue])
  case object([Member])

  struct Member: Equatable {
    var name: [UInt8]
    var value: JSONValue
  }

  /// Nil when the bytes are not exactly one value.
  init?(_ bytes: [UInt8]) {
    var parser = JSONParser(bytes)
    guard let value = parser.value(depth: 0), parser.isAtEnd else { return nil }
    self = value
  }

  /// The last member of an object with this name.
  subscript(name: StaticString) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { member in
      name.withUTF8Buffer { wanted in unsafe wanted.elementsEqual(member.name) }
    }?.value
  }
}

/// Reads one value; nil at the first byte that cannot be.
private struct JSONParser {
  private let bytes: [UInt8]
  private var offset = 0
  /// Nobody nests capabilities deeper; without a limit a server could end the program.
  private static let depthMax = 32

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool {
    mutating get {
      skipSpace()
      return offset == bytes.count
    }
  }

  private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
      offset += 1
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard next == byte else { return false }
    offset += 1
    return true
  }

  private mutating func take(word: StaticString) -> Bool {
    let isThere = word.withUTF8Buffer { unsafe bytes[offset...].starts(with: $0) }
    if isThere { offset += word.utf8CodeUnitCount }
    return isThere
  }

  mutating func value(depth: Int) -> JSONValue? {
    guard depth < Self.depthMax else { return nil }
    skipSpace()
    guard let first = next else { return nil }
    switch first {
    case UInt8(ascii: "{"): return object(depth)
    case UInt8(ascii: "["): return array(depth)
    case UInt8(ascii: "\""): return string().map(JSONValue.string)
    case UInt8(ascii: "t"): return take(word: "true") ? .bool(true) : nil
    case UInt8(ascii: "f"): return take(word: "false") ? .bool(false) : nil
    case UInt8(ascii: "n"): return take(word: "null") ? .null : nil
    default: return number()
    }
  }

  private mutating func object(_ depth: Int) -> JSONValue? {
    offset += 1
    var members: [JSONValue.Member] = []
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipSpace()
      guard let name = string(), take(UInt8(ascii: ":")), let value = value(depth: depth + 1)
      else { return nil }
      members.append(JSONValue.Member(name: name, value: value))
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "}")) ? .object(members) : nil
  }

  private mutating func array(_ depth: Int) -> JSONValue? {
    offset += 1
    var values: [JSONValue] = []
    if take(UInt8(ascii: "]")) { return .array(values) }
    repeat {
      guard let value = value(depth: depth + 1) else { return nil }
      values.append(value)
    } while take(UInt8(ascii: ","))
    return take(UInt8(ascii: "]")) ? .array(values) : nil
  }

  /// The bytes between the quotes; escapes stay as they are: no name of interest has any.
  private mutating func string() -> [UInt8]? {
    guard next == UInt8(ascii: "\"") else { return nil }
    offset += 1
    let start = offset
    while let byte = next {
      guard byte >= 0x20 else { return nil }
      if byte == UInt8(ascii: "\"") {
        offset += 1
        return [UInt8](bytes[start..<offset - 1])
      }
      offset += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    return nil
  }

  private mutating func number() -> JSONValue? {
    let start = offset
    let marks: [UInt8] = [0x2b, 0x2d, 0x2e, 0x45, 0x65]
    while let byte = next, (0x30...0x39).contains(byte) || marks.contains(byte) { offset += 1 }
    let text = bytes[start..<offset]
    guard let first = text.first, first == 0x2d || (0x30...0x39).contains(first),
      text.contains(where: { (0x30...0x39).contains($0) })
    else { return nil }
    var value: UInt64 = 0
    for byte in text {
      guard (0x30...0x39).contains(byte) else { return .otherNumber }
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(UInt64(byte - 0x30))
      guard !overflow, !carry else { return .otherNumber }
      value = sum
    }
    return .number(value)
  }
}
