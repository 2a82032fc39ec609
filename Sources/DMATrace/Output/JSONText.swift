/// JSON, written piece by piece: this package has no use for a whole encoder.
public struct JSONText {
  public private(set) var text = ""
  private var needsComma = false

  public init() {}

  public mutating func object(_ key: String? = nil, _ body: (inout JSONText) -> Void) {
    open(key, "{")
    body(&self)
    close("}")
  }

  public mutating func array(_ key: String? = nil, _ body: (inout JSONText) -> Void) {
    open(key, "[")
    body(&self)
    close("]")
  }

  public mutating func field(_ key: String, _ value: String) {
    begin(key)
    text += Self.quoted(value)
  }
  public mutating func field(_ key: String, _ value: some BinaryInteger) {
    begin(key)
    text += String(value)
  }
  public mutating func field(_ key: String, _ value: Bool) {
    begin(key)
    text += value ? "true" : "false"
  }
  public mutating func element(_ value: String) {
    begin(nil)
    text += Self.quoted(value)
  }
  public mutating func element(_ value: some BinaryInteger) {
    begin(nil)
    text += String(value)
  }

  /// Empties the text, to write long documents in parts.
  public mutating func take() -> String {
    defer { text.removeAll(keepingCapacity: true) }
    return text
  }

  private mutating func open(_ key: String?, _ bracket: String) {
    begin(key)
    text += bracket
    needsComma = false
  }

  private mutating func close(_ bracket: String) {
    text += bracket
    needsComma = true
  }

  private mutating func begin(_ key: String?) {
    if needsComma { text += "," }
    needsComma = true
    if let key { text += Self.quoted(key) + ":" }
  }

  /// A string as JSON writes it.
  public static func quoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      default:
        if scalar.value < 0x20 {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
