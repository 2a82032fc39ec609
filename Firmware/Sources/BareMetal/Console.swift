import Runtime

/// The serial port, for those who may not use the heap: what `print` does with one.
public enum Console {
  /// Writes a constant.
  public static func write(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount {
      // SAFETY: the index is below the constant's length.
      write(unsafe text.utf8Start[index])
    }
  }

  /// Writes a text that is already there.
  public static func write(_ text: String) {
    for byte in text.utf8 { write(byte) }
  }

  /// Writes UTF-8.
  public static func write(_ bytes: UnsafeBufferPointer<UInt8>) {
    for index in 0..<bytes.count { write(unsafe bytes[index]) }
  }

  /// Writes a decimal number.
  public static func write(_ value: UInt64) {
    var divisor: UInt64 = 1
    while value / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      write(UInt8(ascii: "0") + UInt8(value / divisor % 10))
      divisor /= 10
    }
  }

  /// Writes a hexadecimal number with `0x`.
  public static func write(hex value: UInt64) {
    write("0x" as StaticString)
    var shift = max(0, 60 - UInt64(value.leadingZeroBitCount) / 4 * 4)
    while true {
      let digit = UInt8(value >> shift & 15)
      write(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
      guard shift > 0 else { return }
      shift -= 4
    }
  }

  private static func write(_ byte: UInt8) { _ = putchar(Int32(byte)) }
}
