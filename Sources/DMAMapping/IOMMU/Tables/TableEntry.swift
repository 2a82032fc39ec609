internal import DMA

/// An entry of a page table in VT-d's second-level format (VT-d specification 9.8).
///
/// Bits 52 to 61 and 63 are ignored by hardware. The entry of a mapping's first page keeps the
/// mapping's page count there (1023 for 1023 and more, whose last page then has bit 63), so that
/// an unmap of something else than a whole mapping is found out by one compare.
enum TableEntry {
  static var read: UInt64 { 1 }
  static var write: UInt64 { 2 }
  /// The physical address: bits 12 to 51.
  static var addressMask: UInt64 { 0x000f_ffff_ffff_f000 }
  static var entriesPerTable: UInt64 { 512 }
  static var byteCountOfTable: Int { 4096 }

  private static var countShift: UInt64 { 52 }
  private static var countMax: UInt64 { 1023 }
  static var lastMark: UInt64 { 1 &<< 63 }

  /// What a device may do with memory mapped in a direction (R77).
  @inline(__always)
  static func permissions(_ direction: DMADirection) -> UInt64 {
    switch direction {
    case .toDevice: read
    case .fromDevice: write
    case .bidirectional: read | write
    }
  }

  /// The same from a call's traits, whose two lowest bits are the entry's, but for 0, which is both.
  @inline(__always)
  static func permissions(_ traits: MappingTraits) -> UInt64 {
    let direction = UInt64(traits.rawValue & 3)
    return direction == 0 ? read | write : direction
  }

  @inline(__always)
  static func isPresent(_ entry: UInt64) -> Bool { entry & (read | write) != 0 }

  /// The mark of the first page of a mapping.
  @inline(__always)
  static func firstMark(pageCount: UInt64) -> UInt64 { min(pageCount, countMax) &<< countShift }

  /// The mark of the last page.
  @inline(__always)
  static func lastMark(pageCount: UInt64) -> UInt64 { pageCount >= countMax ? lastMark : 0 }

  /// The page count in a first page's entry; 0 in any other.
  @inline(__always)
  static func markedCount(_ entry: UInt64) -> UInt64 { entry &>> countShift & countMax }

  /// Whether a marked count may stand for mappings of different lengths.
  @inline(__always)
  static func isOpenEnded(_ markedCount: UInt64) -> Bool { markedCount == countMax }
}
