internal import CSimulatedHost
internal import DMA
internal import MachineMemory

/// Small objects cut from pages, as kmalloc and kmem_cache do.
///
/// Sizes are rounded up to a class; objects of one class and zone share pages. Which objects are
/// taken is noted outside of the pages.
@safe
final class SlabAllocator {
  /// Bytes of an object of each class, as Linux has them.
  private static let sizes: [11 of Int] = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048]
  /// The last address of each zone that objects can be asked for.
  private static let limits: [3 of UInt64] = [.max, 0xffff_ffff, 0xff_ffff]
  static let byteCountMax = 2048

  private struct Slab {
    var physicalAddress: UInt64
    var sizeClass: Int
    var zone: Int
    var usedCount = 0
    /// One bit an object: taken.
    var used: [8 of UInt64] = .init(repeating: 0)

    var capacity: Int { 4096 / SlabAllocator.sizes[sizeClass] }
  }

  private struct State: ~Copyable {
    var slabs: [Slab] = []
    /// Numbers of slabs that were given back.
    var vacant: [Int] = []
    /// Numbers of slabs by page number.
    var byPage = AddressTable<Int>()
    /// For each class and zone, the slabs that have room.
    var partial = [[Int]](repeating: [], count: 33)
  }

  private let memory: PhysicalMemory
  private let allocator: PageAllocator
  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>

  init(memory: PhysicalMemory, allocator: PageAllocator) {
    self.memory = memory
    self.allocator = allocator
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State())
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  // SAFETY of every access to `state`: it lives as long as this object, and the lock is held.

  /// A zeroed object; nil when no page is free.
  func allocate(byteCount: Int, limit: UInt64) -> UInt? {
    precondition(byteCount > 0 && byteCount <= Self.byteCountMax, "objects are small")
    var sizeClass = 0
    while Self.sizes[sizeClass] < byteCount { sizeClass += 1 }
    var zone = 0
    while Self.limits[zone] > limit {
      zone += 1
      if zone == 3 { return nil }
    }
    lock.lock()
    defer { lock.unlock() }
    let list = sizeClass * 3 + zone
    if unsafe state.pointee.partial[list].isEmpty {
      guard let slab = addSlab(sizeClass, zone) else { return nil }
      unsafe state.pointee.partial[list].append(slab)
    }
    guard let number = unsafe state.pointee.partial[list].last else { return nil }
    var slab = unsafe state.pointee.slabs[number]
    let object = Self.takeObject(&slab)
    unsafe state.pointee.slabs[number] = slab
    if slab.usedCount == slab.capacity { unsafe state.pointee.partial[list].removeLast() }
    let size = Self.sizes[sizeClass]
    let address = memory.linearAddress(slab.physicalAddress) + UInt(object * size)
    simulated_host_fill(address, 0, size)
    return address
  }

  private static func takeObject(_ slab: inout Slab) -> Int {
    for word in 0..<8 where slab.used[word] != .max {
      let bit = (~slab.used[word]).trailingZeroBitCount
      guard word * 64 + bit < slab.capacity else { break }
      slab.used[word] |= 1 << UInt64(bit)
      slab.usedCount += 1
      return word * 64 + bit
    }
    preconditionFailure("a slab with room has a free object")
  }

  /// Takes a page for a slab; the lock is held.
  private func addSlab(_ sizeClass: Int, _ zone: Int) -> Int? {
    var numbers = DMAStatusNumbers()
    let status = allocator.allocate(
      byteCount: 4096, alignment: 4096, limit: Self.limits[zone], options: [], &numbers)
    guard status == .success else { return nil }
    let slab = Slab(physicalAddress: numbers.second, sizeClass: sizeClass, zone: zone)
    let number: Int
    if let vacant = unsafe state.pointee.vacant.popLast() {
      number = vacant
      unsafe state.pointee.slabs[number] = slab
    } else {
      number = unsafe state.pointee.slabs.count
      unsafe state.pointee.slabs.append(slab)
    }
    unsafe state.pointee.byPage.insert(number, for: numbers.second >> 12)
    return number
  }

  /// Gives an object back; traps when there is none.
  func free(_ address: UInt) {
    lock.lock()
    defer { lock.unlock() }
    guard let physicalAddress = memory.physicalAddress(address),
      let number = unsafe state.pointee.byPage[physicalAddress >> 12]
    else { preconditionFailure("an object is freed that is none") }
    var slab = unsafe state.pointee.slabs[number]
    let size = Self.sizes[slab.sizeClass]
    let offset = Int(physicalAddress & 4095)
    let object = offset / size
    let bit: UInt64 = 1 << UInt64(object % 64)
    precondition(
      offset % size == 0 && slab.used[object / 64] & bit != 0,
      "an object is freed twice, or by an address inside of it")
    slab.used[object / 64] &= ~bit
    slab.usedCount -= 1
    unsafe state.pointee.slabs[number] = slab
    let list = slab.sizeClass * 3 + slab.zone
    if slab.usedCount == slab.capacity - 1 {
      unsafe state.pointee.partial[list].append(number)
    }
    // The last object of its slab: the page goes back.
    if slab.usedCount == 0 {
      unsafe state.pointee.partial[list].removeAll { $0 == number }
      unsafe state.pointee.byPage.remove(slab.physicalAddress >> 12)
      unsafe state.pointee.vacant.append(number)
      allocator.free(physicalAddress: slab.physicalAddress, byteCount: 4096)
    }
  }

  /// What a page of allocated memory is to objects.
  enum Finding {
    /// No slab: the page is somebody's own.
    case notSlab
    /// The bytes lie inside of one live object.
    case object
    /// A slab, but not (only) a live object.
    case elsewhere
  }

  /// Whether any page of a range is a slab's.
  private static func touchesSlab(
    _ physicalAddress: UInt64, _ byteCount: Int, _ slabs: borrowing AddressTable<Int>
  ) -> Bool {
    guard slabs.count > 0 else { return false }
    let last = (physicalAddress + UInt64(byteCount - 1)) >> 12
    for page in physicalAddress >> 12...last where slabs[page] != nil { return true }
    return false
  }

  /// Whether bytes lie inside of one object.
  func find(_ physicalAddress: UInt64, _ byteCount: Int) -> Finding {
    lock.withLock {
      guard let number = unsafe state.pointee.byPage[physicalAddress >> 12] else {
        return unsafe Self.touchesSlab(physicalAddress, byteCount, state.pointee.byPage)
          ? .elsewhere : .notSlab
      }
      let slab = unsafe state.pointee.slabs[number]
      let size = Self.sizes[slab.sizeClass]
      let offset = Int(physicalAddress & 4095)
      let object = offset / size
      guard object < slab.capacity, slab.used[object / 64] >> UInt64(object % 64) & 1 != 0,
        byteCount <= size - offset % size
      else { return .elsewhere }
      return .object
    }
  }
}

// SAFETY: the state is only touched with the lock held.
extension SlabAllocator: @unchecked Sendable {}
