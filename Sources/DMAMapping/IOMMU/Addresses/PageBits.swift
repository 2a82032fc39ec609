/// Bit tricks on 64 pages or 64 groups of pages: a set bit is a free one.
enum PageBits {
  /// Where naturally aligned runs of `1 << order` free ones begin.
  @inline(__always)
  static func alignedRuns(_ free: UInt64, order: Int) -> UInt64 {
    var runs = free
    if order > 0 { runs &= runs &>> 1 & 0x5555_5555_5555_5555 }
    if order > 1 { runs &= runs &>> 2 & 0x1111_1111_1111_1111 }
    if order > 2 { runs &= runs &>> 4 & 0x0101_0101_0101_0101 }
    if order > 3 { runs &= runs &>> 8 & 0x0001_0001_0001_0001 }
    if order > 4 { runs &= runs &>> 16 & 0x0000_0001_0000_0001 }
    if order > 5 { runs &= runs &>> 32 & 1 }
    return runs
  }

  /// One more than the order of the longest naturally aligned run of free ones; 0 when none is.
  @inline(__always)
  static func orderCode(_ free: UInt64) -> UInt8 {
    if free == 0 { return 0 }
    if free == .max { return 7 }
    var runs = free & free &>> 1 & 0x5555_5555_5555_5555
    if runs == 0 { return 1 }
    runs &= runs &>> 2 & 0x1111_1111_1111_1111
    if runs == 0 { return 2 }
    runs &= runs &>> 4 & 0x0101_0101_0101_0101
    if runs == 0 { return 3 }
    runs &= runs &>> 8 & 0x0001_0001_0001_0001
    if runs == 0 { return 4 }
    runs &= runs &>> 16 & 0x0000_0001_0000_0001
    return runs == 0 ? 5 : 6
  }

  /// The lowest `count` bits.
  @inline(__always)
  static func low(_ count: Int) -> UInt64 {
    count >= 64 ? .max : (1 &<< UInt64(count)) &- 1
  }

  /// The index of the highest set bit; -1 when none is.
  @inline(__always)
  static func highest(_ bits: UInt64) -> Int { 63 &- bits.leadingZeroBitCount }

  /// The smallest `order` with `1 << order >= count`.
  @inline(__always)
  static func order(holding count: UInt64) -> Int {
    count <= 1 ? 0 : 64 &- (count &- 1).leadingZeroBitCount
  }
}
