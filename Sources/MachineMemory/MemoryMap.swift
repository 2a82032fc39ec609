/// Where a machine has RAM: one range below 4 GiB, the rest from 4 GiB up.
package struct MemoryMap: Equatable, Sendable {
  /// RAM below 4 GiB; may be empty.
  package let low: Range<UInt64>
  /// RAM from 4 GiB up; may be empty.
  package let high: Range<UInt64>
  /// Where in the memory object the RAM from 4 GiB up begins.
  package let highOffset: UInt64
  /// Below this nothing is handed out: firmware's and interrupt vectors' on a PC.
  package static var firmwareByteCount: UInt64 { 1 << 20 }
  package static var isaLimit: UInt64 { 16 << 20 }
  /// Registers of devices lie between here and 4 GiB (as on QEMU's q35).
  package static var lowCeiling: UInt64 { 3 << 30 }
  package static var fourGiB: UInt64 { 4 << 30 }

  /// RAM in zones: below 16 MiB, below 3 GiB, from 4 GiB up.
  ///
  /// Offsets in the memory object are physical addresses: it is sparse, holes cost nothing.
  package init(byteCount: UInt64, has24BitZone: Bool, has32BitZone: Bool) {
    let start = has24BitZone ? 0 : has32BitZone ? Self.isaLimit : Self.lowCeiling
    let ceiling = has32BitZone ? Self.lowCeiling : has24BitZone ? Self.isaLimit : start
    let lowCount = min(byteCount, ceiling - start)
    low = start..<start + lowCount
    high = Self.fourGiB..<Self.fourGiB + (byteCount - lowCount)
    highOffset = Self.fourGiB
  }

  /// RAM from 0 to `lowByteCount` and the rest from 4 GiB up, with no hole in the memory object.
  package init(byteCount: UInt64, lowByteCount: UInt64) {
    let lowCount = min(byteCount, lowByteCount)
    low = 0..<lowCount
    high = Self.fourGiB..<Self.fourGiB + (byteCount - lowCount)
    highOffset = lowCount
  }

  /// The first address beyond all RAM.
  package var end: UInt64 { high.isEmpty ? low.upperBound : high.upperBound }

  package var highestAddress: UInt64 { end - 1 }

  /// How large the memory object is.
  package var objectByteCount: UInt64 {
    high.isEmpty ? low.upperBound : highOffset + UInt64(high.count)
  }

  /// Where in the memory object a byte of RAM lies.
  package func objectOffset(of address: UInt64) -> UInt64 {
    address < Self.fourGiB ? address : address - Self.fourGiB + highOffset
  }

  /// The end of the lowest zone there is: no smaller limit can be promised (R22).
  package var lowestLimit: UInt64 {
    if low.isEmpty { return highestAddress }
    return low.lowerBound < Self.isaLimit ? Self.isaLimit - 1 : Self.fourGiB - 1
  }

  /// Whether all of these bytes are RAM.
  package func contains(_ address: UInt64, _ byteCount: UInt64) -> Bool {
    contains(low, address, byteCount) || contains(high, address, byteCount)
  }

  private func contains(_ range: Range<UInt64>, _ address: UInt64, _ byteCount: UInt64) -> Bool {
    range.contains(address) && byteCount <= range.upperBound - address
  }
}
