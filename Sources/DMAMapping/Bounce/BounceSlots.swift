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
    var runs = UInt128(high) << 64 | UInt128(low)
    var length = 1
    while length < request.slotCount {
      let step = min(length, request.slotCount - length)
      runs &= runs >> UInt128(step)
      length += step
    }
    if request.stride > 1 {
      let mask = UInt64(request.stride) << shift - 1
      let first = Int(((request.phase &- address) & mask) >> shift)
      var places: UInt128 = 1
      var width = request.stride
      while width < perSet {
        places |= places << UInt128(width)
        width *= 2
      }
      runs &= places << UInt128(first)
    }
    while runs != 0 {
      let slot = runs.trailingZeroBitCount
      let start = address + UInt64(slot * byteCount + request.offset)
      let last = start + UInt64(request.byteCount - 1)
      if (start ^ last) & ~request.boundaryMask == 0 { return slot }
      runs &= runs - 1
    }
    return -1
  }
}
