/// One live mapping made by address, as the calls of the C interface have it.
///
/// Kept for every device in every build: a wrong call is refused, whoever watches or not.
struct ClassicRecord: RangeRecord {
  var address: UInt64
  var byteCount: UInt64
  /// Where the CPU has the bytes; for a scatter list, where its entries are.
  var cpuAddress: UInt
  var traits: UInt32
  /// Entries of a scatter list as it was mapped (nents); 0 for a single region.
  var entryCount: UInt32

  var owner: UInt32 { 0 }

  var direction: DMADirection { MappingTraits(rawValue: traits).direction }
  var family: DMAEvent.Family { entryCount == 0 ? .single : .scatter }
}

extension DeviceBooks {
  /// The live mapping that a call means: of those that start there, the one it fits best.
  func classicIndex(
    _ address: UInt64, _ family: DMAEvent.Family, byteCount: UInt64, direction: DMADirection
  ) -> Int? {
    var best: Int?
    var bestScore = -1
    var next = classic.find(0, address)
    while let index = next {
      let record = classic[index]
      // The same bytes may be mapped more than once, and a handle does not tell which is meant.
      let score =
        (record.family == family ? 4 : 0) + (record.byteCount == byteCount ? 2 : 0)
        + (record.direction == direction ? 1 : 0)
      if score > bestScore {
        best = index
        bestScore = score
      }
      next = classic.find(after: index)
    }
    return best
  }
}
