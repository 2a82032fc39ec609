internal import MachineMemory
/// Reads the tables that the driver has built in RAM, as hardware would (VT-d specification, 9.1,
/// 9.3 and 9.8).
///
/// Reads memory each time: what is cached is the unit's business.
struct TableWalk {
  let memory: PhysicalMemory
  /// The widest address the unit takes: 39 or 48 bits.
  let addressWidth: Int

  /// What the tables say of a requester.
  struct Context: Equatable {
    var domain: UInt64
    var table: UInt64
    var levelCount: Int
    /// Requests go to physical addresses as they are.
    var isPassThrough: Bool
    /// Faults of this requester are not to be recorded.
    var isFaultSilent: Bool
  }

  /// What the tables say of an address.
  struct Leaf: Equatable {
    /// Level 1 is a page of 4 KiB, 2 of 2 MiB, 3 of 1 GiB.
    var level: Int
    /// Physical page address; bit 0: may be read, bit 1: may be written.
    var value: UInt64
  }

  static let read: UInt64 = 1 << 0
  static let write: UInt64 = 1 << 1
  private static let addressBits: UInt64 = 0x000f_ffff_ffff_f000

  private func load(_ address: UInt64) -> UInt64? {
    memory.map.contains(address, 8) ? memory.deviceLoad(address) : nil
  }

  /// Root entry, then context entry of a requester.
  func context(root: UInt64, requester: UInt16) -> Result<Context, Fault> {
    let rootEntry = root + UInt64(requester >> 8) * 16
    guard let low = load(rootEntry), let high = load(rootEntry + 8) else {
      return .failure(Fault(.rootTableUnreachable))
    }
    guard low & 1 != 0 else { return .failure(Fault(.rootEntryNotPresent)) }
    guard low & 0xffe == 0, high == 0 else { return .failure(Fault(.rootEntryReserved)) }
    let entry = low & Self.addressBits + UInt64(requester & 0xff) * 16
    guard let low = load(entry), let high = load(entry + 8) else {
      return .failure(Fault(.contextTableUnreachable))
    }
    guard low & 1 != 0 else { return .failure(Fault(.contextEntryNotPresent)) }
    let isSilent = low & 2 != 0
    guard low & 0xff0 == 0, high >> 24 == 0 else {
      return .failure(Fault(.contextEntryReserved, isSilent))
    }
    let kind = low >> 2 & 3
    let levelCount = Int(high & 7) + 2
    // Second-level translation, or pass-through; what the unit cannot walk is invalid.
    guard kind == 0 || kind == 2, levelCount == 3 || (levelCount == 4 && addressWidth == 48)
    else { return .failure(Fault(.contextEntryInvalid, isSilent)) }
    return .success(
      Context(
        domain: high >> 8 & 0xffff, table: low & Self.addressBits, levelCount: levelCount,
        isPassThrough: kind == 2, isFaultSilent: isSilent))
  }

  /// The page an address lies in; permissions are those of all levels together.
  func leaf(_ address: UInt64, _ context: Context, isWrite: Bool) -> Result<Leaf, Fault> {
    let silent = context.isFaultSilent
    let width = UInt64(12 + 9 * context.levelCount)
    guard address >> width == 0 else { return .failure(Fault(.addressTooWide, silent)) }
    var table = context.table
    var permissions = Self.read | Self.write
    var level = context.levelCount
    while true {
      let shift = TranslationCache.pageShift(level)
      guard let entry = load(table + (address >> shift & 511) * 8) else {
        return .failure(Fault(.pagingEntryUnreachable, silent))
      }
      permissions &= entry
      guard permissions & (isWrite ? Self.write : Self.read) != 0 else {
        return .failure(Fault(isWrite ? .writeNotPermitted : .readNotPermitted, silent))
      }
      let isLarge = entry & 1 << 7 != 0 && level > 1
      let page = entry & Self.addressBits
      if level == 1 || isLarge {
        // Large pages are aligned to their size, and there is none of 512 GiB.
        guard level < 4, page & (1 << shift - 1) == 0 else {
          return .failure(Fault(.pagingEntryReserved, silent))
        }
        return .success(Leaf(level: level, value: page | permissions))
      }
      table = page
      level -= 1
    }
  }

  /// Why there is no answer.
  struct Fault: Error {
    var reason: VTDFault
    var isSilent: Bool

    init(_ reason: VTDFault, _ isSilent: Bool = false) {
      self.reason = reason
      self.isSilent = isSilent
    }
  }
}
