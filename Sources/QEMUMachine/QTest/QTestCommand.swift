/// One line of QEMU's qtest protocol: an access to memory or to an I/O port.
struct QTestCommand {
  let name: StaticString
  let address: UInt64
  /// What is written; nil for reads, whose answer carries a value.
  let value: UInt64?

  /// Reads a register of 1, 2, 4 or 8 bytes.
  static func read(_ byteCount: Int, _ address: UInt64) -> QTestCommand {
    let name: StaticString =
      switch byteCount {
      case 1: "readb"
      case 2: "readw"
      case 4: "readl"
      default: "readq"
      }
    return QTestCommand(name: name, address: address, value: nil)
  }

  /// Writes a register of 1, 2, 4 or 8 bytes.
  static func write(_ byteCount: Int, _ address: UInt64, _ value: UInt64) -> QTestCommand {
    let name: StaticString =
      switch byteCount {
      case 1: "writeb"
      case 2: "writew"
      case 4: "writel"
      default: "writeq"
      }
    return QTestCommand(name: name, address: address, value: value)
  }

  /// Reads an I/O port of 1, 2 or 4 bytes.
  static func input(_ byteCount: Int, _ port: UInt16) -> QTestCommand {
    let name: StaticString = byteCount == 1 ? "inb" : byteCount == 2 ? "inw" : "inl"
    return QTestCommand(name: name, address: UInt64(port), value: nil)
  }

  /// Writes an I/O port of 1, 2 or 4 bytes.
  static func output(_ byteCount: Int, _ port: UInt16, _ value: UInt32) -> QTestCommand {
    let name: StaticString = byteCount == 1 ? "outb" : byteCount == 2 ? "outw" : "outl"
    return QTestCommand(name: name, address: UInt64(port), value: UInt64(value))
  }

  /// Appends the line as QEMU reads it.
  func append(to bytes: inout [UInt8]) {
    name.withUTF8Buffer { text in
      for index in text.indices { bytes.append(unsafe text[index]) }
    }
    Self.append(address, to: &bytes)
    if let value { Self.append(value, to: &bytes) }
    bytes.append(UInt8(ascii: "\n"))
  }

  private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: " "))
    bytes.append(UInt8(ascii: "0"))
    bytes.append(UInt8(ascii: "x"))
    var shift = max(0, 60 - number.leadingZeroBitCount & ~3)
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift) & 15)
      bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      shift -= 4
    }
  }

  /// The value in an answer, zero for writes; nil when it is no answer to this command.
  ///
  /// - Parameter line: without its end.
  func value(in line: ArraySlice<UInt8>) -> UInt64? {
    var rest = line
    guard rest.popFirst() == UInt8(ascii: "O"), rest.popFirst() == UInt8(ascii: "K") else {
      return nil
    }
    if value != nil { return rest.isEmpty ? 0 : nil }
    guard rest.popFirst() == UInt8(ascii: " "), rest.popFirst() == UInt8(ascii: "0"),
      rest.popFirst() == UInt8(ascii: "x"), !rest.isEmpty, rest.count <= 16
    else { return nil }
    var result: UInt64 = 0
    for byte in rest {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: return nil
      }
      result = result << 4 | UInt64(digit)
    }
    return result
  }

  /// The line as QEMU reads it, for reports.
  var text: String {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return String(decoding: bytes.dropLast(), as: UTF8.self)
  }
}
