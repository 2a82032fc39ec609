/// How a mapping that translates lays a scatter list out in one range of bus addresses, and which
/// entries become one segment of the device.
///
/// Pure arithmetic in two steps, because the range is allocated between them: `layOut` says how
/// long the range must be and leaves each entry's place in it, `finish` turns places into bus
/// addresses and segments. For those who write mappings; a mapping that does not translate never
/// merges.
///
/// The rules are those of Linux's `dma-iommu`: each entry gets whole granules of its own, padding
/// keeps segments off boundaries, and an entry joins the segment before it when nothing lies
/// between them.
@frozen
public struct ScatterMerging: Equatable, Sendable {
  /// When entries become neighbours in bus addresses.
  // A raw type: without one, the compiler adds hashing, which asks ports for random seeds.
  @frozen
  public enum Rule: UInt8, Sendable {
    /// Each entry starts a granule of its own: entries that meet inside of one stay apart.
    case wholeGranules
    /// The rule of Linux 2.4: entries that are adjacent in memory also stay together inside of a
    /// granule.
    ///
    /// Two entries may then share one; both want it translated to the same page. Boundaries are
    /// not padded for: a segment ends before the entry that would cross one.
    case adjacentMemory
  }

  /// The unit of translation in bytes, a power of two.
  public let granule: UInt64
  /// The longest segment in bytes; entries are never split, so no entry may be longer.
  public let segmentByteCountMax: UInt64
  /// No segment crosses a multiple of this plus one: 2^k - 1.
  public let segmentBoundaryMask: UInt64
  /// When entries become neighbours.
  public let rule: Rule

  /// The rules for a device.
  ///
  /// - Parameter granule: the smallest page of the translation; anything but a power of two traps.
  public init(granule: Int, constraints: DMAConstraints, rule: Rule = .wholeGranules) {
    precondition(granule > 0 && granule & (granule - 1) == 0, "a granule is a power of two")
    self.granule = UInt64(granule)
    segmentByteCountMax = UInt64(constraints.segmentByteCountMax)
    segmentBoundaryMask = constraints.segmentBoundaryMask
    self.rule = rule
  }

  /// The granules an entry touches: where they begin in memory, and their bytes.
  public func granules(of entry: ScatterEntry) -> (physicalAddress: UInt64, byteCount: UInt64) {
    let offset = entry.physicalAddress & (granule - 1)
    return (entry.physicalAddress - offset, roundedUp(offset + UInt64(entry.byteCount)))
  }

  private func roundedUp(_ byteCount: UInt64) -> UInt64 {
    (byteCount + granule - 1) & ~(granule - 1)
  }
}

extension ScatterMerging {
  /// Finds every entry's place, without knowing the range's address.
  ///
  /// Leaves in `dmaAddress` how far the entry's first byte lies behind the range's start; it is
  /// congruent to the entry's physical address modulo the granule. The entries must not be empty.
  ///
  /// The range must start at a multiple of the next power of two of its size: then boundaries in
  /// the range are boundaries of the bus.
  ///
  /// - Returns: the range's bytes, whole granules; nil when they are more than 2^62, with the
  ///   entries as after `forget`.
  public func layOut(_ entries: UnsafeMutableBufferPointer<ScatterEntry>) -> UInt64? {
    var end: UInt64 = 0
    var memoryEnd: UInt64? = nil
    for index in entries.indices {
      // SAFETY: the index is one of the buffer's.
      let entry = unsafe entries[index]
      let offset = entry.physicalAddress & (granule - 1)
      let byteCount = UInt64(entry.byteCount)
      guard byteCount <= 1 << 62, end <= 1 << 62 else {
        unsafe forget(entries)
        return nil
      }
      if rule == .adjacentMemory, memoryEnd == entry.physicalAddress {
        unsafe entries[index].dmaAddress = end
        end += byteCount
      } else {
        var start = roundedUp(end)
        if rule == .wholeGranules {
          start += padding(before: roundedUp(offset + byteCount), at: start)
        }
        unsafe entries[index].dmaAddress = start + offset
        end = start + offset + byteCount
      }
      memoryEnd = entry.physicalAddress &+ byteCount
    }
    let total = roundedUp(end)
    guard total <= 1 << 62 else {
      unsafe forget(entries)
      return nil
    }
    return total
  }

  /// How far to move on so that `byteCount` bytes from `position` on do not cross a boundary.
  private func padding(before byteCount: UInt64, at position: UInt64) -> UInt64 {
    let rest = (segmentBoundaryMask &- position &+ 1) & segmentBoundaryMask
    return rest != 0 && rest < byteCount - 1 ? rest : 0
  }

  /// Turns places into bus addresses and merges neighbours into segments.
  ///
  /// The first entries' device fields then describe the segments; those of the others hold all
  /// ones and zero. The order of bytes is that of the list.
  ///
  /// - Parameter base: where the range begins.
  /// - Returns: how many segments there are.
  public func finish(
    _ entries: UnsafeMutableBufferPointer<ScatterEntry>, base: UInt64
  ) -> Int {
    var count = 0
    var start: UInt64 = 0
    var byteCount: UInt64 = 0
    for index in entries.indices {
      // SAFETY: indices are the buffer's; `count` never passes `index`, so a place is read before
      // the segment that is stored there replaces it.
      let entryStart = unsafe base + entries[index].dmaAddress
      let entryByteCount = unsafe UInt64(entries[index].byteCount)
      unsafe entries[index].dmaAddress = .max
      unsafe entries[index].dmaByteCount = 0
      if count > 0, start + byteCount == entryStart,
        joins(start: start, byteCount: byteCount, next: entryByteCount)
      {
        byteCount += entryByteCount
      } else {
        start = entryStart
        byteCount = entryByteCount
        count += 1
        unsafe entries[count - 1].dmaAddress = start
      }
      unsafe entries[count - 1].dmaByteCount = Int(byteCount)
    }
    return count
  }

  /// Whether a segment may take on the bytes that follow it.
  private func joins(start: UInt64, byteCount: UInt64, next: UInt64) -> Bool {
    guard byteCount <= segmentByteCountMax, segmentByteCountMax - byteCount >= next else {
      return false
    }
    // The first and the last byte lie between the same two boundaries.
    return (start ^ (start + byteCount + next - 1)) & ~segmentBoundaryMask == 0
  }

  /// Puts the device fields back as they are while nothing is mapped.
  public func forget(_ entries: UnsafeMutableBufferPointer<ScatterEntry>) {
    for index in entries.indices {
      // SAFETY: the index is one of the buffer's.
      unsafe entries[index].dmaAddress = .max
      unsafe entries[index].dmaByteCount = 0
    }
  }
}
