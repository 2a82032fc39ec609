/// Where memory goes in the bus addresses that an IOMMU offers.
struct AddressPlan {
  /// What the kernel reports: ascending, apart from each other.
  let ranges: [ClosedRange<UInt64>]

  /// The lowest place for `byteCount` bytes that end at or below `limit`.
  ///
  /// The first page is never used: drivers take zero for "none".
  ///
  /// - Throws: `VFIOError.aperture` when no range is long enough, `.mask` when none is within the
  ///   limit.
  func place(
    byteCount: UInt64, alignment: UInt64, limit: UInt64
  ) throws(VFIOError) -> UInt64 {
    for range in ranges {
      let start = max(range.lowerBound, 4096)
      let (sum, overflow) = start.addingReportingOverflow(alignment - 1)
      guard !overflow else { continue }
      let first = sum & ~(alignment - 1)
      let (last, tooFar) = first.addingReportingOverflow(byteCount - 1)
      guard !tooFar, last <= range.upperBound else { continue }
      guard last <= limit else { throw .mask(have: limit, need: last) }
      return first
    }
    throw .aperture(have: longest, need: byteCount)
  }

  /// Checks addresses that somebody chose.
  ///
  /// - Throws: `VFIOError.reserved` unless all of them are in one range.
  func require(_ addresses: ClosedRange<UInt64>) throws(VFIOError) {
    guard
      ranges.contains(where: {
        $0.lowerBound <= addresses.lowerBound && addresses.upperBound <= $0.upperBound
      })
    else { throw .reserved(asked: addresses, usable: ranges) }
  }

  /// Bytes of the longest range.
  var longest: UInt64 {
    ranges.reduce(0) { longest, range in
      let (count, overflow) = (range.upperBound - range.lowerBound).addingReportingOverflow(1)
      return max(longest, overflow ? .max : count)
    }
  }

  /// What lies between the ranges, up to `last`.
  func gaps(last: UInt64) -> [ClosedRange<UInt64>] {
    var gaps: [ClosedRange<UInt64>] = []
    var next: UInt64 = 0
    for range in ranges {
      if range.lowerBound > next, next <= last {
        gaps.append(next...min(range.lowerBound - 1, last))
      }
      let (after, overflow) = range.upperBound.addingReportingOverflow(1)
      if overflow || after > last { return gaps }
      next = after
    }
    gaps.append(next...last)
    return gaps
  }
}
