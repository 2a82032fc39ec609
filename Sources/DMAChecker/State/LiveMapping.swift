internal import DMA

/// One mapping, allocation or block that is live.
struct LiveMapping {
  var address: UInt64
  var byteCount: UInt64
  var cpuAddress: UInt64
  /// When it was made, in nanoseconds of its machine.
  var time: UInt64
  /// What its bytes came to when it was made or last synced (`hashed`).
  var word: UInt64
  /// Which device.
  var owner: UInt32
  /// The place that made it, in the table of sites.
  var site: UInt32
  /// Entries of a scatter list, or the number of a block's pool.
  var entryCount: UInt32
  /// Where the rest of a scatter list's segments are kept, from 1; 0 for none.
  var segments: UInt32
  /// Direction (2 bits, 3 for none), family (4 bits), then `Flags`: 16 bits in all.
  var bits: UInt32

  enum Flags {
    /// The table's: some of it is kept beside its slot.
    static var rest: UInt32 { 1 << 2 }
    /// Its maker has to test the result, and has not yet.
    static var unchecked: UInt32 { 1 << 8 }
    /// `word` is a hash.
    static var hashed: UInt32 { 1 << 9 }
    /// Dropped: nobody can unmap it.
    static var dropped: UInt32 { 1 << 10 }
    /// Synced for the CPU and not yet for the device.
    static var cpuOwned: UInt32 { 1 << 11 }
    /// A further segment of a scatter list, not one that calls name.
    static var continuation: UInt32 { 1 << 12 }
    /// A device was seen writing to it.
    static var deviceWrote: UInt32 { 1 << 13 }
    /// Reported as leaked.
    static var leaked: UInt32 { 1 << 14 }
    /// Its cache lines are kept.
    static var lines: UInt32 { 1 << 15 }
  }

  static var directionMask: UInt32 { 3 }
  static var familyMask: UInt32 { 15 << 4 }
  static var singleBits: UInt32 { UInt32(DMAEvent.Family.single.rawValue) << 4 }

  static func bits(_ direction: DMADirection?, _ family: DMAEvent.Family) -> UInt32 {
    UInt32(direction?.rawValue ?? 3) | UInt32(family.rawValue) << 4
  }

  var direction: DMADirection? { DMADirection(rawValue: UInt8(truncatingIfNeeded: bits & 3)) }

  var family: DMAEvent.Family {
    DMAEvent.Family(rawValue: UInt8(truncatingIfNeeded: bits >> 4 & 15)) ?? .none
  }

  func has(_ flag: UInt32) -> Bool { bits & flag != 0 }

  /// Whether a device may do this to it.
  func permits(isWrite: Bool) -> Bool {
    guard let direction else { return true }
    return isWrite ? direction.deviceWrites : direction.deviceReads
  }

  var isStreaming: Bool { family == .single || family == .scatter }
}

/// A mapping that has ended.
struct FreedMapping {
  var mapping: LiveMapping
  var time: UInt64
  var site: UInt32
}
