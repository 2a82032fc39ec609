/// A live mapping as its table keeps it: 32 bytes, two to a cache line.
///
/// Nearly all mappings fit. What does not, more than 4 GiB, a sum of the contents, a list, a block's
/// pool, is in a `LiveRest` beside it.
struct LiveSlot: BitwiseCopyable {
  /// All ones for an empty slot.
  var address: UInt64
  var cpuAddress: UInt64
  /// Bytes (32 bits), device (16), place that made it (16).
  var key: UInt64
  /// Nanoseconds (48 bits), then the mapping's bits.
  var state: UInt64

  /// What of `key` calls must name: all but the place.
  static var keyMask: UInt64 { ~0xffff }

  @inline(__always)
  init(address: UInt64, cpuAddress: UInt64, key: UInt64, state: UInt64) {
    self.address = address
    self.cpuAddress = cpuAddress
    self.key = key
    self.state = state
  }

  static var empty: LiveSlot { LiveSlot(address: .max, cpuAddress: 0, key: 0, state: 0) }

  /// Bytes and device.
  ///
  /// The bytes must be fewer than 4 Gi.
  @inline(__always)
  static func key(_ byteCount: UInt64, _ owner: UInt32) -> UInt64 {
    byteCount &<< 32 | UInt64(owner) &<< 16
  }

  @inline(__always)
  var owner: UInt32 { UInt32(truncatingIfNeeded: key &>> 16 & 0xffff) }

  @inline(__always)
  var hasRest: Bool { state & UInt64(LiveMapping.Flags.rest) != 0 }

  /// Whether a time fits.
  @inline(__always)
  static func fits(time: UInt64) -> Bool { time &>> 48 == 0 }
}

/// What a slot has no room for.
struct LiveRest: BitwiseCopyable {
  var byteCount: UInt64
  var time: UInt64
  var word: UInt64
  var entryCount: UInt32
  var segments: UInt32
}

extension LiveMapping {
  /// What a slot and its rest say; the rest is read only where there is one.
  init(_ slot: LiveSlot, rest: @autoclosure () -> LiveRest) {
    address = slot.address
    cpuAddress = slot.cpuAddress
    owner = slot.owner
    site = UInt32(truncatingIfNeeded: slot.key & 0xffff)
    bits = UInt32(truncatingIfNeeded: slot.state & 0xffff)
    if slot.hasRest {
      let rest = rest()
      byteCount = rest.byteCount
      time = rest.time
      word = rest.word
      entryCount = rest.entryCount
      segments = rest.segments
    } else {
      byteCount = slot.key &>> 32
      time = slot.state &>> 16
      word = 0
      entryCount = 0
      segments = 0
    }
  }

  /// Whether slots have room for the numbers of its device and place.
  var fitsSlot: Bool { owner <= 0xffff && site <= 0xffff }

  /// It as a slot, and what does not fit there.
  var packed: (LiveSlot, LiveRest?) {
    let isShort = byteCount <= UInt64(UInt32.max) && LiveSlot.fits(time: time)
    let needsRest = !isShort || word != 0 || entryCount != 0 || segments != 0
    let flags = bits & ~Flags.rest & 0xffff | (needsRest ? Flags.rest : 0)
    let slot = LiveSlot(
      address: address, cpuAddress: cpuAddress,
      key: LiveSlot.key(byteCount & 0xffff_ffff, owner) | UInt64(site),
      state: time &<< 16 | UInt64(flags))
    guard needsRest else { return (slot, nil) }
    return (
      slot,
      LiveRest(
        byteCount: byteCount, time: time, word: word, entryCount: entryCount, segments: segments)
    )
  }
}
