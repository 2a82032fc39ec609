/// What a controller says it is (NVM Express 1.4, 5.15.2.2).
public struct NVMeIdentity: Sendable {
  public let vendorID: UInt16
  public let serialNumber: String
  public let model: String
  public let firmware: String
  /// Major << 16 | minor << 8 | tertiary.
  public let version: UInt32
  /// The longest transfer of one command, in bytes; nil for no limit.
  public let transferByteCountMax: Int?
  public let namespaceCount: UInt32
  /// Whether a flush does anything.
  public let hasWriteCache: Bool
  public let hasWriteZeroes: Bool

  init(_ bytes: NVMeBytes) {
    vendorID = UInt16(truncatingIfNeeded: bytes.integer(at: 0, 2))
    serialNumber = bytes.text(at: 4, 20)
    model = bytes.text(at: 24, 40)
    firmware = bytes.text(at: 64, 8)
    version = UInt32(truncatingIfNeeded: bytes.integer(at: 80, 4))
    // A power of two of the smallest page.
    let shift = Int(bytes.integer(at: 77, 1))
    transferByteCountMax = shift == 0 || shift > 40 ? nil : 4096 << shift
    namespaceCount = UInt32(truncatingIfNeeded: bytes.integer(at: 516, 4))
    hasWriteCache = bytes.integer(at: 525, 1) & 1 != 0
    hasWriteZeroes = bytes.integer(at: 520, 2) & 1 << 3 != 0
  }
}

#if !hasFeature(Embedded)
  // Without an operating system, equality of strings would ask for Unicode's tables.
  extension NVMeIdentity: Equatable {}
#endif

/// A disk of a controller (NVM Express 1.4, 5.15.2.1).
public struct NVMeNamespace: Equatable, Sendable {
  /// Its number, from 1 on.
  public let id: UInt32
  public let blockCount: UInt64
  /// Bytes of a logical block.
  public let blockByteCount: Int
  public let isReadOnly: Bool

  /// All bytes.
  public var byteCount: UInt64 { blockCount * UInt64(blockByteCount) }

  /// Nil when no namespace has this number.
  init?(_ id: UInt32, _ bytes: NVMeBytes) {
    let blockCount = bytes.integer(at: 0, 8)
    // The format in use: bits 3:0, and 6:5 above them.
    let flags = Int(bytes.integer(at: 26, 1))
    let format = bytes.integer(at: 128 + (flags & 15 | flags >> 5 & 3 << 4) * 4, 4)
    let shift = Int(format >> 16 & 0xff)
    // Blocks with metadata are not supported, nor sizes beyond any that exist.
    guard blockCount > 0, shift >= 9, shift <= 16, format & 0xffff == 0 else { return nil }
    self.id = id
    self.blockCount = blockCount
    blockByteCount = 1 << shift
    isReadOnly = bytes.integer(at: 99, 1) & 1 != 0
  }

  /// Checks a range of blocks.
  func check(first: UInt64, count: UInt64) throws(NVMeError) {
    guard first <= blockCount, count <= blockCount - first else {
      throw .outOfRange(firstBlock: first, blockCount: count, limit: blockCount)
    }
  }

  /// How many blocks a transfer has.
  func blocks(in byteCount: Int) throws(NVMeError) -> Int {
    guard byteCount > 0, byteCount % blockByteCount == 0 else {
      throw .partialBlock(byteCount: byteCount, blockByteCount: blockByteCount)
    }
    return byteCount / blockByteCount
  }
}

/// One of the 4096-byte structures of Identify, copied out of the memory the controller wrote.
struct NVMeBytes {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// A little-endian number of at most 8 bytes.
  func integer(at offset: Int, _ byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in (0..<byteCount).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
    return value
  }

  /// ASCII without the spaces that fill it up; other bytes become question marks.
  func text(at offset: Int, _ byteCount: Int) -> String {
    var end = offset + byteCount
    while end > offset, bytes[end - 1] == 0x20 || bytes[end - 1] == 0 { end -= 1 }
    let printable = bytes[offset..<end].map { $0 >= 0x20 && $0 < 0x7f ? $0 : 0x3f }
    return String(decoding: printable, as: UTF8.self)
  }
}
