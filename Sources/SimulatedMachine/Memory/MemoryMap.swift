/// Where a machine has RAM: one range below 4 GiB in two zones, the rest from 4 GiB up.
struct MemoryMap: Equatable, Sendable {
  /// RAM below 4 GiB; may be empty.
  let low: Range<UInt64>
  /// RAM from 4 GiB up; may be empty.
  let high: Range<UInt64>
  /// Below this nothing is handed out: firmware's and interrupt vectors' on a PC.
  static var firmwareByteCount: UInt64 { 1 << 20 }
  static var isaLimit: UInt64 { 16 << 20 }
  /// Registers of devices lie between here and 4 GiB (as on QEMU's q35).
  static var lowCeiling: UInt64 { 3 << 30 }
  static var fourGiB: UInt64 { 4 << 30 }

  init(byteCount: UInt64, has24BitZone: Bool, has32BitZone: Bool) {
    let start = has24BitZone ? 0 : has32BitZone ? Self.isaLimit : Self.lowCeiling
    let ceiling = has32BitZone ? Self.lowCeiling : has24BitZone ? Self.isaLimit : start
    let lowCount = min(byteCount, ceiling - start)
    low = start..<start + lowCount
    high = Self.fourGiB..<Self.fourGiB + (byteCount - lowCount)
  }

  /// The first address beyond all RAM.
  var end: UInt64 { high.isEmpty ? low.upperBound : high.upperBound }

  var highestAddress: UInt64 { end - 1 }

  /// The end of the lowest zone there is: no smaller limit can be promised (R22).
  var lowestLimit: UInt64 {
    if low.isEmpty { return highestAddress }
    return low.lowerBound < Self.isaLimit ? Self.isaLimit - 1 : Self.fourGiB - 1
  }

  /// Whether all of these bytes are RAM.
  func contains(_ address: UInt64, _ byteCount: UInt64) -> Bool {
    contains(low, address, byteCount) || contains(high, address, byteCount)
  }

  private func contains(_ range: Range<UInt64>, _ address: UInt64, _ byteCount: UInt64) -> Bool {
    range.contains(address) && byteCount <= range.upperBound - address
  }
}
