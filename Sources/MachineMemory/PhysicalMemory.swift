internal import CSimulatedHost
package import DMA

/// The machine's RAM: one sparse memory object, the CPU's linear view of it, and the devices'.
///
/// The map says where in the object each address lies. In the linear map the hole below 4 GiB
/// answers to nobody: touching it ends the program.
///
/// On a coherent machine both views are the same memory, and one mapping of it unless the CPU's is
/// to be guarded. On an incoherent one the CPU works on a copy of
/// RAM, its cache, which has no limit and is never written back by itself: what is not cleaned
/// never arrives, what is not invalidated stays stale. The devices' view doubles as the CPU's
/// uncached one.
@safe
package final class PhysicalMemory {
  package let map: MemoryMap
  package let isCoherent: Bool
  /// CPU address = this + physical address.
  package let linearBase: UInt
  /// Where RAM itself is seen: by devices, and by the CPU past its caches.
  package let deviceBase: UInt
  /// The memory object behind RAM: its descriptor.
  package let object: Int32
  /// The memory object behind the linear map; RAM's on a coherent machine.
  package let linearObject: Int32
  /// What caches last had in common with RAM; 0 on a coherent machine.
  private let commonBase: UInt
  /// One byte a page: not zero when somebody may have written to it.
  private let touched: UnsafeMutablePointer<UInt8>
  /// Whether devices' writes are reported by `markTouched`; else any page may hold anything.
  private let isEveryWriteSeen: Bool

  package static var lineByteCount: UInt64 { 64 }

  /// RAM that is all zero.
  ///
  /// - Parameters:
  ///   - isCoherent: whether the linear map shows RAM itself.
  ///   - isEveryWriteSeen: whether devices' writes are reported by `markTouched`: only then can
  ///     pages that nobody wrote be handed out without being cleared.
  /// - Throws: `DMAError.machine` with the host's errno; a retry can help.
  ///   - hasOwnDeviceView: whether devices see RAM by another mapping than the CPU, although both
  ///     are the same memory: then the CPU's can be closed without disturbing them.
  package init(
    _ map: MemoryMap, isCoherent: Bool = true, isEveryWriteSeen: Bool = true,
    hasOwnDeviceView: Bool = false
  ) throws(DMAError) {
    let ram = try Self.makeView(map)
    var linear = ram
    var common: UInt = 0
    if isCoherent, hasOwnDeviceView {
      do throws(DMAError) {
        linear.base = try Self.makeBase(map, ram.object)
      } catch {
        Self.endView(map, ram)
        throw error
      }
    }
    if !isCoherent {
      do throws(DMAError) {
        linear = try Self.makeView(map)
      } catch {
        Self.endView(map, ram)
        throw error
      }
      common = simulated_host_private(map.end)
    }
    let pages = simulated_host_private(map.end >> 12)
    guard isCoherent || common != 0,
      let touched = unsafe UnsafeMutablePointer<UInt8>(bitPattern: pages)
    else {
      if common != 0 { simulated_host_release(common, map.end) }
      if pages != 0 { simulated_host_release(pages, map.end >> 12) }
      if !isCoherent {
        Self.endView(map, linear)
      } else if linear.base != ram.base {
        simulated_host_release(linear.base, map.end)
      }
      Self.endView(map, ram)
      throw .machine(code: Self.outOfMemoryCode)
    }
    self.map = map
    self.isCoherent = isCoherent
    object = ram.object
    deviceBase = ram.base
    linearObject = linear.object
    linearBase = linear.base
    commonBase = common
    unsafe self.touched = touched
    self.isEveryWriteSeen = isEveryWriteSeen
  }

  deinit {
    if !isCoherent {
      Self.endView(map, View(object: linearObject, base: linearBase))
      simulated_host_release(commonBase, map.end)
    } else if linearBase != deviceBase {
      simulated_host_release(linearBase, map.end)
    }
    Self.endView(map, View(object: object, base: deviceBase))
    unsafe simulated_host_release(UInt(bitPattern: touched), map.end >> 12)
  }

  // MARK: Views

  /// ENOMEM: addresses or memory are what can be short here.
  private static var outOfMemoryCode: Int { 12 }

  /// A memory object and where all of it is mapped.
  private struct View {
    var object: Int32
    var base: UInt
  }

  private static func makeView(_ map: MemoryMap) throws(DMAError) -> View {
    let object = simulated_host_memory_create(map.objectByteCount)
    guard object >= 0 else { throw .machine(code: Int(-object)) }
    do throws(DMAError) {
      return View(object: object, base: try makeBase(map, object))
    } catch {
      simulated_host_memory_close(object)
      throw error
    }
  }

  /// Maps all of a memory object.
  private static func makeBase(_ map: MemoryMap, _ object: Int32) throws(DMAError) -> UInt {
    let base = simulated_host_reserve(map.end, alignment(map))
    guard base != 0, expose(map, map.low, base, object),
      expose(map, map.high, base, object)
    else {
      if base != 0 { simulated_host_release(base, map.end) }
      throw .machine(code: outOfMemoryCode)
    }
    return base
  }

  private static func endView(_ map: MemoryMap, _ view: View) {
    simulated_host_release(view.base, map.end)
    simulated_host_memory_close(view.object)
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

  // MARK: Addresses

  /// Where the linear map shows a physical address.
  package func linearAddress(_ physicalAddress: UInt64) -> UInt {
    linearBase + UInt(physicalAddress)
  }

  /// Where RAM itself is seen.
  package func deviceAddress(_ physicalAddress: UInt64) -> UInt {
    deviceBase + UInt(physicalAddress)
  }

  /// The physical address behind an address of the linear map or of the uncached view, or nil for
  /// any other.
  package func physicalAddress(_ cpuAddress: UInt) -> UInt64? {
    let end = UInt(map.end)
    if cpuAddress >= linearBase, cpuAddress - linearBase < end {
      return UInt64(cpuAddress - linearBase)
    }
    if cpuAddress >= deviceBase, cpuAddress - deviceBase < end {
      return UInt64(cpuAddress - deviceBase)
    }
    return nil
  }

  /// Reads an aligned word as a device sees it.
  ///
  /// The caller names RAM.
  package func deviceLoad(_ physicalAddress: UInt64) -> UInt64 {
    UInt64.volatileLoad(at: deviceAddress(physicalAddress))
  }

  /// Stores an aligned word as a device does.
  package func deviceStore(_ value: UInt32, at physicalAddress: UInt64) {
    markTouched(physicalAddress, 4)
    UInt32.volatileStore(value, at: deviceAddress(physicalAddress))
  }

  // MARK: Contents

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
    guard isEveryWriteSeen else { return clear(physicalAddress, byteCount) }
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
      if wasTouched { clear(UInt64(start) << 12, (page - start) << 12) }
    }
  }

  private func clear(_ physicalAddress: UInt64, _ byteCount: Int) {
    simulated_host_fill(deviceAddress(physicalAddress), 0, byteCount)
    guard !isCoherent else { return }
    simulated_host_fill(linearAddress(physicalAddress), 0, byteCount)
    simulated_host_fill(commonBase + UInt(physicalAddress), 0, byteCount)
  }

  /// Gives the host back what backs pages that are being freed; they are zero afterwards.
  ///
  /// Only worth its system calls in bulk.
  package func discard(_ physicalAddress: UInt64, _ byteCount: Int) {
    let size = UInt64(byteCount)
    let offset = map.objectOffset(of: physicalAddress)
    // Where the host cannot, the pages stay as they are, marked as written.
    guard simulated_host_memory_punch(object, offset, size) == 0 else { return }
    if !isCoherent {
      guard simulated_host_memory_punch(linearObject, offset, size) == 0 else { return }
      simulated_host_drop(commonBase + UInt(physicalAddress), size)
    }
    for page in Int(physicalAddress >> 12)..<Int(physicalAddress >> 12) + byteCount >> 12 {
      // SAFETY: as above.
      unsafe touched[page] = 0
    }
  }

  /// Cache work on whole lines of memory; nothing to do on a coherent machine.
  package func maintain(_ physicalAddress: UInt64, _ byteCount: Int, _ operation: CacheOperation) {
    guard !isCoherent, byteCount > 0 else { return }
    let start = physicalAddress & ~(Self.lineByteCount - 1)
    let end =
      (physicalAddress + UInt64(byteCount) + Self.lineByteCount - 1)
      & ~(Self.lineByteCount - 1)
    let (linear, device) = (linearAddress(start), deviceAddress(start))
    let common = commonBase + UInt(start)
    if operation.contains(.clean) {
      simulated_host_clean_lines(linear, common, device, Int(end - start))
    }
    if operation.contains(.invalidate) {
      simulated_host_drop_lines(linear, common, device, Int(end - start))
    }
  }
}

// SAFETY: everything but the page marks is immutable, and those are bytes (see markTouched).
extension PhysicalMemory: @unchecked Sendable {}
