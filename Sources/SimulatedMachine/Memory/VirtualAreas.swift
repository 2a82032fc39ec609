internal import CSimulatedHost
internal import DMA
internal import MachineMemory

/// Memory outside of the linear map: vmalloc areas, stacks, images, user memory.
///
/// Each area is a range of addresses of its own whose pages are second mappings of pages that lie
/// scattered in RAM. Behind each is a page that answers to nobody.
@safe
final class VirtualAreas {
  /// One area, sorted by where it starts.
  struct Area {
    var start: UInt
    var kind: MemoryKind
    /// Physical addresses, in order.
    var pages: [UInt64]

    var end: UInt { start + UInt(pages.count) << 12 }
  }

  private struct State: ~Copyable {
    var areas: [Area] = []
    var random: SeededRandom
  }

  private let memory: PhysicalMemory
  private let allocator: PageAllocator
  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>

  init(memory: PhysicalMemory, allocator: PageAllocator, seed: UInt64) {
    self.memory = memory
    self.allocator = allocator
    unsafe state = .allocate(capacity: 1)
    // SAFETY: freshly allocated for one State.
    unsafe state.initialize(to: State(random: SeededRandom(seed: seed ^ 0x6172_6561)))
  }

  deinit {
    for area in unsafe state.pointee.areas { Self.unmap(area) }
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  // SAFETY of every access to `state`: it lives as long as this object, and the lock is held.

  /// Makes an area of zeroed pages.
  func allocate(byteCount: Int, kind: MemoryKind) throws(DMAError) -> UInt {
    guard byteCount > 0 else { throw .emptyRequest }
    let total = Int(allocator.totalByteCount)
    guard byteCount <= total else { throw .tooLarge(byteCount: byteCount, limit: total) }
    let count = (byteCount - 1) >> 12 + 1
    var random = lock.withLock {
      let drawn = unsafe state.pointee.random.next()
      return SeededRandom(seed: drawn)
    }
    guard
      let pages = allocator.allocateScattered(
        pageCount: count, random: { random.next(upTo: $0) })
    else {
      throw .outOfMemory(byteCount: byteCount, limit: .max)
    }
    let size = UInt64(count + 1) << 12
    let start = simulated_host_reserve(size, 4096)
    // ENOMEM: no addresses left.
    var code = start == 0 ? 12 : 0
    var index = 0
    while code == 0, index < count {
      // Neighbours in RAM share one mapping.
      var end = index + 1
      while end < count, pages[end] == pages[end - 1] + 4096 { end += 1 }
      code = Int(
        -simulated_host_map(
          start + UInt(index) << 12, UInt64(end - index) << 12, memory.linearObject,
          memory.map.objectOffset(of: pages[index])))
      index = end
    }
    let area = Area(start: start, kind: kind, pages: pages)
    guard code == 0 else {
      if start != 0 { Self.unmap(area) }
      for page in pages { allocator.free(physicalAddress: page, byteCount: 4096) }
      throw .machine(code: code)
    }
    lock.withLock {
      let place = unsafe Self.place(start, state.pointee.areas)
      unsafe state.pointee.areas.insert(area, at: place)
    }
    return start
  }

  /// Ends the area that starts here; traps when there is none.
  func free(_ start: UInt) {
    let area = lock.withLock {
      let place = unsafe Self.place(start, state.pointee.areas)
      precondition(
        unsafe place < state.pointee.areas.count && state.pointee.areas[place].start == start,
        "a virtual area is freed once, by its start")
      return unsafe state.pointee.areas.remove(at: place)
    }
    Self.unmap(area)
    for page in area.pages { allocator.free(physicalAddress: page, byteCount: 4096) }
  }

  /// The area that an address lies in.
  func find(_ address: UInt) -> Area? {
    lock.withLock {
      let place = unsafe Self.place(address, state.pointee.areas)
      if unsafe place < state.pointee.areas.count && state.pointee.areas[place].start == address {
        return unsafe state.pointee.areas[place]
      }
      guard place > 0 else { return nil }
      let area = unsafe state.pointee.areas[place - 1]
      return address < area.end ? area : nil
    }
  }

  /// The first area that does not start before an address.
  private static func place(_ address: UInt, _ areas: [Area]) -> Int {
    var low = 0
    var high = areas.count
    while low < high {
      let middle = (low + high) / 2
      if areas[middle].start < address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private static func unmap(_ area: Area) {
    simulated_host_release(area.start, UInt64(area.pages.count + 1) << 12)
  }
}

// SAFETY: the state is only touched with the lock held.
extension VirtualAreas: @unchecked Sendable {}
