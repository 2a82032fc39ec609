/// A free block that somebody wrote: the device, or a CPU that kept a pointer.
///
/// Found when the block was allocated again; who wrote, and when, is not known. The block is
/// handed out all the same, as Linux does: whoever writes to it may not be done.
public struct DMAPoolCorruption: Sendable {
  /// The pool's name.
  public let poolName: String
  /// The pool's number in events.
  public let pool: UInt32
  /// What the device was told of the block.
  public let address: DMAAddress
  /// From the first to the last byte that changed, counted from the block's start.
  public let changed: Range<Int>
  /// All bytes of the block as they were found; untouched ones are 0xa7.
  public let bytes: [UInt8]
}

extension DMAPoolCorruption: CustomStringConvertible {
  /// Which block it was, and its bytes as a hex dump; rows of untouched bytes are left out.
  public var description: String {
    var text = "pool \(poolName), block \(address) (corrupted): bytes \(changed.lowerBound)..."
    text += "\(changed.upperBound - 1) were written while it was free"
    var isSkipping = false
    for row in stride(from: 0, to: bytes.count, by: 16) {
      let slice = bytes[row..<min(row + 16, bytes.count)]
      if slice.allSatisfy({ $0 == Poison.free }) {
        if !isSkipping { text += "\n*" }
        isSkipping = true
      } else {
        text += "\n" + Self.line(row, slice)
        isSkipping = false
      }
    }
    return text
  }

  private static func line(_ offset: Int, _ bytes: ArraySlice<UInt8>) -> String {
    var text = hex(UInt64(offset), digits: 8) + ":"
    for byte in bytes { text += " " + hex(UInt64(byte), digits: 2) }
    for _ in bytes.count..<16 { text += "   " }
    text += "  "
    for byte in bytes {
      text.unicodeScalars.append(
        byte >= 0x20 && byte < 0x7f ? Unicode.Scalar(byte) : Unicode.Scalar(UInt8(0x2e)))
    }
    return text
  }

  private static func hex(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
