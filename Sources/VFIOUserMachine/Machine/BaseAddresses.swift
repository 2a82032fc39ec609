internal import PCI
internal import Synchronization

/// The base address registers, which this side keeps: a server has regions, and no bus.
final class BaseAddresses: Sendable {
  private struct Register {
    /// Bits 3:0 as the device has them; they never change.
    var type: UInt32 = 0
    /// The bits that hold an address; the others are always zero.
    var mask: UInt32 = 0
    var value: UInt32 = 0
  }

  private let registers: Mutex<[Register]>

  /// Reads what kinds of BARs there are; their sizes are the regions'.
  init(_ client: VFIOUserClient, _ regions: [VFIOUserHost.Region]) throws(VFIOUserError) {
    var found = [Register](repeating: Register(), count: VFIOIndex.barCount)
    // Only an ordinary function has six.
    let header = try client.readRegion(
      VFIOIndex.configurationRegion, at: UInt64(PCIRegister.headerType), byteCount: 1)
    var index = 0
    while header & 0x7f == 0, index < VFIOIndex.barCount {
      let size = Self.rounded(regions[index].info.byteCount)
      guard size > 0 else {
        index += 1
        continue
      }
      let type = UInt32(
        truncatingIfNeeded: try client.readRegion(
          VFIOIndex.configurationRegion, at: UInt64(PCIRegister.bar0 + index * 4), byteCount: 4))
      let mask = ~(size &- 1)
      let isIO = type & 1 != 0
      found[index].type = type & (isIO ? 3 : 15)
      found[index].mask = UInt32(truncatingIfNeeded: mask) & (isIO ? ~3 : ~15)
      // Bits 2:1 of a memory BAR: 2 is 64 bits, the next register has the upper half.
      let is64Bit = type & 7 == 4 && index + 1 < VFIOIndex.barCount
      if is64Bit { found[index + 1].mask = UInt32(truncatingIfNeeded: mask >> 32) }
      index += is64Bit ? 2 : 1
    }
    registers = Mutex(found)
  }

  /// The next power of two: only such sizes can be told.
  private static func rounded(_ byteCount: UInt64) -> UInt64 {
    guard byteCount > 0 else { return 0 }
    let most = max(byteCount, 16)
    return most & (most - 1) == 0 ? most : 1 << UInt64(64 - most.leadingZeroBitCount)
  }

  /// Which register a place in configuration space belongs to.
  private static func index(_ offset: Int) -> Int? {
    let end = PCIRegister.bar0 + VFIOIndex.barCount * 4
    guard offset >= PCIRegister.bar0, offset < end else { return nil }
    return (offset - PCIRegister.bar0) / 4
  }

  /// Nil when the place is none of these registers.
  func read(_ offset: Int, _ byteCount: Int) -> UInt32? {
    guard let index = Self.index(offset) else { return nil }
    let whole = registers.withLock { $0[index].value | $0[index].type }
    let shifted = whole >> UInt32((offset & 3) * 8)
    return byteCount == 4 ? shifted : shifted & (1 << UInt32(byteCount * 8) - 1)
  }

  /// Whether the place is one of these registers; whole registers are taken, parts are not.
  func write(_ offset: Int, _ byteCount: Int, _ value: UInt32) -> Bool {
    guard let index = Self.index(offset) else { return false }
    guard byteCount == 4, offset & 3 == 0 else { return true }
    registers.withLock { $0[index].value = value & $0[index].mask }
    return true
  }
}
