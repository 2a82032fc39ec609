/// The geometry of bounce slots, and the search for free ones in a set of 128.
enum BounceSlots {
  static var shift: UInt64 { 11 }
  /// 2 KiB.
  static var byteCount: Int { 2048 }
  static var perSet: Int { 128 }
  /// A mapping lies in one set: 256 KiB at most.
  static var setByteCount: Int { byteCount * perSet }

  /// The longest mapping for a device that wants these address bits kept: room for them is lost.
  static func byteCountMax(alignmentMask: UInt64) -> Int {
    guard alignmentMask < UInt64(setByteCount) else { return 0 }
    return setByteCount - (Int(alignmentMask) + byteCount - 1) / byteCount * byteCount
  }

  /// What is asked of a place for a mapping.
  struct Request: BitwiseCopyable {
    /// Bytes of data.
    var byteCount: Int
    /// Where in its first slot the data begins.
    var offset: Int
    var slotCount: Int
    /// Places are this many slots apart: a power of two of at most 128.
    var stride: Int
    /// The bus address modulo the stride's bytes of the first slot.
    var phase: UInt64
    /// Data must not cross a multiple of this plus one.
    var boundaryMask: UInt64

    /// A request for a copy of memory at a physical address, as 4.6 says.
    @inline(__always)
    init(physicalAddress: UInt64, byteCount: Int, alignmentMask: UInt64, boundaryMask: UInt64) {
      self.byteCount = byteCount
      offset = Int(
        truncatingIfNeeded: physicalAddress & alignmentMask & UInt64(BounceSlots.byteCount - 1))
      slotCount = (offset &+ byteCount &+ BounceSlots.byteCount &- 1) &>> 11
      // The device's own alignment, or pages for what is at least one.
      let mask = alignmentMask != 0 ? alignmentMask : byteCount >= 4096 ? 4095 : 0
      stride = Int(truncatingIfNeeded: mask &>> BounceSlots.shift) &+ 1
      phase = alignmentMask & physicalAddress & ~UInt64(BounceSlots.byteCount - 1)
      self.boundaryMask = boundaryMask
    }
  }

  /// The first slot of a place in a set, or -1 when there is none.
  ///
  /// - Parameters:
  ///   - low: the set's slots 0 to 63; a set bit is free.
  ///   - high: slots 64 to 127.
  ///   - address: the set's bus address.
  @inline(__always)
  static func search(_ low: UInt64, _ high: UInt64, _ request: Request, address: UInt64) -> Int {
    if request.slotCount == 1 && request.stride == 1 && request.boundaryMask >= 2047 {
      if low != 0 { return low.trailingZeroBitCount }
      return high != 0 ? 64 &+ high.trailingZeroBitCount : -1
    }
    return searchRun(low, high, request, address: address)
  }

  @inline(never)
  private static func searchRun(
    _ low: UInt64, _ high: UInt64, _ request: Request, address: UInt64
  ) -> Int {
    var runs = SlotBits(low: low, high: high)
    var length = 1
    while length < request.slotCount {
      let step = min(length, request.slotCount - length)
      runs = runs.intersection(runs.shiftedDown(by: step))
      length += step
    }
    if request.stride > 1 {
      let mask = UInt64(request.stride) << shift - 1
      let first = Int(((request.phase &- address) & mask) >> shift)
      var places = SlotBits(low: 1, high: 0)
      var width = request.stride
      while width < perSet {
        places = places.union(places.shiftedUp(by: width))
        width *= 2
      }
      runs = runs.intersection(places.shiftedUp(by: first))
    }
    while let slot = runs.first {
      let start = address + UInt64(slot * byteCount + request.offset)
      let last = start + UInt64(request.byteCount - 1)
      if (start ^ last) & ~request.boundaryMask == 0 { return slot }
      runs.removeFirst()
    }
    return -1
  }
}

/// The slots of a set, a bit each.
///
/// Two words: shifts of `UInt128` become calls of compiler-rt when code is made small, and machines
/// without an operating system need not have it.
struct SlotBits: BitwiseCopyable {
  var low: UInt64
  var high: UInt64

  /// A run of slots.
  init(first: Int, count: Int) {
    self = SlotBits(low: .max, high: .max).shiftedDown(by: BounceSlots.perSet - count)
      .shiftedUp(by: first)
  }

  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  // Swift's own shifts give zero beyond the width, and shift the other way by a negative count.

  /// Each slot's bit `distance` places lower, 0 to 127.
  func shiftedDown(by distance: Int) -> SlotBits {
    SlotBits(low: low >> distance | high << (64 - distance), high: high >> distance)
  }

  /// Each slot's bit `distance` places higher, 0 to 127.
  func shiftedUp(by distance: Int) -> SlotBits {
    SlotBits(low: low << distance, high: high << distance | low >> (64 - distance))
  }

  func union(_ other: SlotBits) -> SlotBits {
    SlotBits(low: low | other.low, high: high | other.high)
  }

  func intersection(_ other: SlotBits) -> SlotBits {
    SlotBits(low: low & other.low, high: high & other.high)
  }

  /// The lowest slot; nil when there is none.
  var first: Int? {
    if low != 0 { return low.trailingZeroBitCount }
    return high != 0 ? 64 + high.trailingZeroBitCount : nil
  }

  mutating func removeFirst() {
    if low != 0 { low &= low &- 1 } else { high &= high &- 1 }
  }
}
