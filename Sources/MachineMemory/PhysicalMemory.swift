internal import CSimulatedHost
package import DMA

/// The machine's RAM: one sparse memory object, and the CPU's linear view of it.
///
/// The map says where in the object each address lies. In the linear map the hole below 4 GiB
/// answers to nobody: touching it ends the program.
@safe
package final class PhysicalMemory {
  package let map: MemoryMap
  /// The memory object's descriptor.
  package let object: Int32
  /// CPU address = this + physical address.
  package let linearBase: UInt
  /// One byte a page: not zero when somebody may have written to it.
  private let touched: UnsafeMutablePointer<UInt8>
  /// Whether devices' writes are reported by `markTouched`; else any page may hold anything.
  private let isEveryWriteSeen: Bool

  /// RAM that is all zero.
  ///
  /// - Parameter isEveryWriteSeen: whether devices' writes are reported by `markTouched`: only
  ///   then can pages that nobody wrote be handed out without being cleared.
  /// - Throws: `DMAError.machine` with the host's errno; a retry can help.
  package init(_ map: MemoryMap, isEveryWriteSeen: Bool = true) throws(DMAError) {
    let object = simulated_host_memory_create(map.objectByteCount)
    guard object >= 0 else { throw .machine(code: Int(-object)) }
    let base = simulated_host_reserve(map.end, Self.alignment(map))
    let pages = simulated_host_private(map.end >> 12)
    guard base != 0, pages != 0,
      Self.expose(map, map.low, base, object), Self.expose(map, map.high, base, object),
      let touched = unsafe UnsafeMutablePointer<UInt8>(bitPattern: pages)
    else {
      if base != 0 { simulated_host_release(base, map.end) }
      if pages != 0 { simulated_host_release(pages, map.end >> 12) }
      simulated_host_memory_close(object)
      // ENOMEM: addresses or memory are what can be short here.
      throw .machine(code: 12)
    }
    self.map = map
    self.object = object
    self.linearBase = base
    unsafe self.touched = touched
    self.isEveryWriteSeen = isEveryWriteSeen
  }

  deinit {
    simulated_host_release(linearBase, map.end)
    unsafe simulated_host_release(UInt(bitPattern: touched), map.end >> 12)
    simulated_host_memory_close(object)
  }

  /// How the linear map is aligned: blocks up to this size are aligned alike for CPU and devices
  /// (R51).
  package static func alignment(_ map: MemoryMap) -> UInt64 {
    let rounded = UInt64(1) << UInt64(64 - (map.end - 1).leadingZeroBitCount)
    return min(rounded, 64 << 30)
  }

  private static func expose(
    _ map: MemoryMap, _ range: Range<UInt64>, _ base: UInt, _ object: Int32
  ) -> Bool {
    if range.isEmpty { return true }
    let at = base + UInt(range.lowerBound)
    return simulated_host_map(
      at, UInt64(range.count), object, map.objectOffset(of: range.lowerBound)) == 0
  }

  /// Where the linear map shows a physical address.
  package func linearAddress(_ physicalAddress: UInt64) -> UInt {
    linearBase + UInt(physicalAddress)
  }

  /// Reads an aligned word as a device sees it.
  ///
  /// The caller names RAM.
  package func deviceLoad(_ physicalAddress: UInt64) -> UInt64 {
    UInt64.volatileLoad(at: linearAddress(physicalAddress))
  }

  /// Stores an aligned word as a device does.
  package func deviceStore(_ value: UInt32, at physicalAddress: UInt64) {
    markTouched(physicalAddress, 4)
    UInt32.volatileStore(value, at: linearAddress(physicalAddress))
  }

  /// The physical address behind an address of the linear map, or nil for any other.
  package func physicalAddress(_ cpuAddress: UInt) -> UInt64? {
    guard cpuAddress >= linearBase, cpuAddress - linearBase < UInt(map.end) else { return nil }
    return UInt64(cpuAddress - linearBase)
  }

  /// Notes that pages may not be zero any more.
  package func markTouched(_ physicalAddress: UInt64, _ byteCount: Int) {
    let first = Int(physicalAddress >> 12)
    let last = Int((physicalAddress + UInt64(byteCount - 1)) >> 12)
    for page in first...last {
      // SAFETY: callers name RAM only, so the page is below the map's end. A byte store is never
      // torn, and all stores outside of a page's own allocation store the same value.
      unsafe touched[page] = 1
    }
  }

  /// Makes allocated pages zero, skipping those that nobody ever wrote.
  ///
  /// Marks them as written.
  package func zero(_ physicalAddress: UInt64, _ byteCount: Int) {
    guard isEveryWriteSeen else {
      return simulated_host_fill(linearAddress(physicalAddress), 0, byteCount)
    }
    let first = Int(physicalAddress >> 12)
    let end = first + byteCount >> 12
    var page = first
    while page < end {
      // SAFETY: the pages are RAM and the caller's own.
      let wasTouched = unsafe touched[page] != 0
      let start = page
      while page < end, unsafe (touched[page] != 0) == wasTouched {
        unsafe touched[page] = 1
        page += 1
      }
      if wasTouched {
        simulated_host_fill(linearAddress(UInt64(start) << 12), 0, (page - start) << 12)
      }
    }
  }

  /// Gives the host back what backs pages that are being freed; they are zero afterwards.
  ///
  /// Only worth its system call in bulk.
  package func discard(_ physicalAddress: UInt64, _ byteCount: Int) {
    let status = simulated_host_memory_punch(
      object, map.objectOffset(of: physicalAddress), UInt64(byteCount))
    // Where the host cannot, the pages stay as they are, marked as written.
    guard status == 0 else { return }
    for page in Int(physicalAddress >> 12)..<Int(physicalAddress >> 12) + byteCount >> 12 {
      // SAFETY: as above.
      unsafe touched[page] = 0
    }
  }
}

// SAFETY: everything but the page marks is immutable, and those are bytes (see markTouched).
extension PhysicalMemory: @unchecked Sendable {}
