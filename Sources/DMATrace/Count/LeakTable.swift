/// Live mappings for the leak count: sixteen bytes each, and nothing about who made them.
@safe
struct LeakTable {
  struct Slot {
    var address: UInt64
    /// Bytes (36 bits), direction (8), device (16), and a bit that says the slot is in use.
    var what: UInt64
  }
  // SAFETY: owned; `mask + 1` initialized slots, at least a quarter of them free.
  private(set) var slots: UnsafeMutablePointer<Slot>
  private(set) var mask: Int
  private(set) var count = 0

  init(capacity: Int = 1 << 14) {
    mask = capacity - 1
    unsafe slots = .allocate(capacity: capacity)
    unsafe slots.initialize(repeating: Slot(address: 0, what: 0), count: capacity)
  }

  func deallocate() { unsafe slots.deallocate() }

  static let deviceMask: UInt64 = 0xffff

  /// A mapping's description: never 0.
  @inline(__always)
  static func what(_ device: UInt64, _ direction: UInt8, _ byteCount: UInt64) -> UInt64 {
    1 &<< 63 | byteCount &<< 24 & ~(1 &<< 63) | UInt64(direction) &<< 16 | device
  }

  @inline(__always)
  private func home(_ address: UInt64, _ device: UInt64) -> Int {
    let mixed = (address ^ device &<< 40) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed ^ mixed &>> 32) & mask
  }

  /// Adds a mapping; false when its address was mapped already.
  @inline(__always)
  mutating func put(_ address: UInt64, _ what: UInt64) -> Bool {
    if count &* 4 > mask &* 3 { grow() }
    let device = what & Self.deviceMask
    var at = home(address, device)
    while unsafe slots[at].what != 0 {
      if unsafe slots[at].address == address, unsafe slots[at].what & Self.deviceMask == device {
        unsafe slots[at].what = what
        return false
      }
      at = (at &+ 1) & mask
    }
    unsafe slots[at] = Slot(address: address, what: what)
    count &+= 1
    return true
  }

  /// Takes a mapping out; its description, or 0 when there is none.
  @inline(__always)
  mutating func remove(_ address: UInt64, _ device: UInt64) -> UInt64 {
    var at = home(address, device)
    while true {
      let slot = unsafe slots[at]
      if slot.what == 0 { return 0 }
      if slot.address == address, slot.what & Self.deviceMask == device { break }
      at = (at &+ 1) & mask
    }
    let found = unsafe slots[at].what
    count &-= 1
    var next = at
    while true {
      next = (next &+ 1) & mask
      let slot = unsafe slots[next]
      if slot.what == 0 { break }
      let wanted = home(slot.address, slot.what & Self.deviceMask)
      if (next &- wanted) & mask >= (next &- at) & mask {
        unsafe slots[at] = slot
        at = next
      }
    }
    unsafe slots[at].what = 0
    return found
  }

  private mutating func grow() {
    let old = unsafe slots
    let oldMask = mask
    mask = mask * 2 + 1
    unsafe slots = .allocate(capacity: mask + 1)
    unsafe slots.initialize(repeating: Slot(address: 0, what: 0), count: mask + 1)
    for index in 0...oldMask where unsafe old[index].what != 0 {
      var at = unsafe home(old[index].address, old[index].what & Self.deviceMask)
      while unsafe slots[at].what != 0 { at = (at &+ 1) & mask }
      unsafe slots[at] = unsafe old[index]
    }
    unsafe old.deallocate()
  }
}
