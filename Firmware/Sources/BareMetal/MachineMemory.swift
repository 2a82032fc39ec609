import CPU
import DMA
import DeviceTree
import Startup

/// The machine's memory: which addresses are what, and who has which pages.
@safe
struct MachineMemory: ~Copyable {
  var pages: PageMap
  let image: MemoryRange
  let stack: MemoryRange
  /// All RAM, for telling memory from registers.
  let ram: [MemoryRange]
  let reserved: [MemoryRange]
  let highestAddress: UInt64
  let lowestAddress: UInt64

  /// Maps all RAM and frees what nothing occupies.
  init(_ description: MachineDescription) throws(MachineError) {
    let imageStart = UInt64(startup_image_start())
    let image = MemoryRange(
      start: imageStart, byteCount: UInt64(startup_image_end()) - imageStart)
    var taken = description.reserved
    taken.append(image)
    var lowest = UInt64.max
    var highest: UInt64 = 0
    for range in description.memory {
      guard address_space_map(range.start, range.byteCount, ADDRESS_MEMORY) != 0 else {
        throw .unreachable(range)
      }
      lowest = min(lowest, range.start)
      highest = max(highest, range.start + (range.byteCount - 1))
    }
    guard lowest < highest else { throw .noMemory }
    let pageCount = Int((highest - lowest + 1) / PageMap.pageByteCount)
    // The map itself lies in the first gap that is large enough.
    let byteCount = UInt64(PageMap.wordCount(pageCount) * 8)
    guard let place = Self.gap(byteCount, in: description.memory, outside: taken),
      let storage = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(place))
    else { throw .noMemory }
    taken.append(MemoryRange(start: place, byteCount: byteCount))
    // SAFETY: RAM that nobody else was given, mapped above.
    var pages = unsafe PageMap(start: lowest, pageCount: pageCount, storage: storage)
    for range in description.memory { pages.release(pages.pages(in: range)) }
    for range in taken {
      // Whole pages, also those it touches only in part.
      let start = range.start & ~(PageMap.pageByteCount - 1)
      let end = (range.start + range.byteCount + PageMap.pageByteCount - 1)
      pages.reserve(
        pages.pages(
          in: MemoryRange(start: start, byteCount: (end & ~(PageMap.pageByteCount - 1)) - start)))
    }
    // Page 0 is nobody's: a null pointer must not be memory.
    if lowest == 0 { pages.reserve(0..<1) }
    self.pages = pages
    self.image = image
    let stackStart = UInt64(startup_stack_start())
    stack = MemoryRange(
      start: stackStart, byteCount: UInt64(startup_image_end()) - stackStart)
    ram = description.memory
    reserved = taken
    highestAddress = highest
    lowestAddress = lowest
  }

  /// The first page-aligned gap of `byteCount` bytes.
  private static func gap(
    _ byteCount: UInt64, in memory: [MemoryRange], outside taken: [MemoryRange]
  ) -> UInt64? {
    let mask = PageMap.pageByteCount - 1
    for range in memory {
      // Never at address 0.
      var start = max((range.start + mask) & ~mask, PageMap.pageByteCount)
      var isMoving = true
      while isMoving {
        isMoving = false
        for other in taken
        where other.start < start + byteCount && start < other.start + other.byteCount {
          start = (other.start + other.byteCount + mask) & ~mask
          isMoving = true
        }
      }
      if start + byteCount <= range.start + range.byteCount { return start }
    }
    return nil
  }

  private static func contains(
    _ range: MemoryRange, _ address: UInt64, _ byteCount: UInt64
  ) -> Bool {
    address >= range.start && byteCount <= range.byteCount
      && address - range.start <= range.byteCount - byteCount
  }

  /// What the bytes at an address are (R7-R13).
  func kind(of address: UInt64, byteCount: Int) -> MemoryKind {
    let length = UInt64(byteCount)
    guard byteCount > 0, !address.addingReportingOverflow(length - 1).overflow else {
      return .unknown
    }
    if Self.contains(stack, address, 1) { return .stack }
    if Self.contains(image, address, 1) { return .image }
    for range in reserved where Self.contains(range, address, 1) { return .unknown }
    guard pagesAreTaken(address, length) else {
      for range in ram where Self.contains(range, address, 1) { return .unknown }
      return address == 0 ? .unknown : .mmio
    }
    return .pages
  }

  private func pagesAreTaken(_ address: UInt64, _ byteCount: UInt64) -> Bool {
    for range in ram where Self.contains(range, address, byteCount) {
      let first = Int((address - pages.start) / PageMap.pageByteCount)
      let last = Int((address + (byteCount - 1) - pages.start) / PageMap.pageByteCount)
      for page in first...last where !pages.isTaken(page) { return false }
      return true
    }
    return false
  }
}
