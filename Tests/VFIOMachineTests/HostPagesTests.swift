import DMA
import TestSupport
import Testing
@testable import VFIOMachine

/// The page allocator of machines whose memory is the process's own.
@Suite final class HostPagesTests {
  private let memory: PagePool
  private let pages: HostPages
  /// Two regions, the second one lower for devices than for the CPU.
  private static let first: UInt64 = 0x1000_0000
  private static let second: UInt64 = 0x4000_0000

  init() throws {
    memory = try PagePool(byteCount: 4 << 20, alignment: 4 << 20, pages: .small, SysfsTree())
    pages = HostPages([
      HostPages.Region(
        cpuAddress: memory.cpuAddress, physicalAddress: Self.first, pageCount: 512),
      HostPages.Region(
        cpuAddress: memory.cpuAddress + 2 << 20, physicalAddress: Self.second, pageCount: 512),
    ])
  }

  private func take(
    _ byteCount: Int, alignment: Int = 4096, limit: UInt64 = .max, _ options: PageOptions = []
  ) -> (status: DMAStatus, cpu: UInt, physical: UInt64) {
    var numbers = DMAStatusNumbers()
    let status = pages.allocate(
      byteCount: byteCount, alignment: alignment, limit: limit, options: options, &numbers)
    return (status, UInt(numbers.first), numbers.second)
  }

  @Test func `random allocations never overlap, are aligned, zeroed and within their limit`() {
    var random = SeededGenerator()
    var live: [(physical: UInt64, count: Int)] = []
    var refused = 0
    for _ in 0..<20_000 {
      if live.count > 0, random.next() % 3 == 0 {
        let index = Int(random.next() % UInt64(live.count))
        let (physical, count) = live.remove(at: index)
        pages.free(physicalAddress: physical, byteCount: count)
        continue
      }
      let count = Int(random.next() % 40_000) + 1
      let alignment = 4096 << Int(random.next() % 5)
      let limit = [UInt64.max, Self.first + 0xf_ffff, Self.second + 0x7_ffff][
        Int(random.next() % 3)]
      let options: PageOptions = random.next() % 4 == 0 ? .high : []
      let (status, cpu, physical) = take(count, alignment: alignment, limit: limit, options)
      guard status == .success else {
        #expect(status == .outOfMemory)
        refused += 1
        continue
      }
      let rounded = (count + 4095) & ~4095
      #expect(physical % UInt64(alignment) == 0 && cpu % UInt(alignment) == 0)
      #expect(physical + UInt64(rounded - 1) <= limit)
      #expect(
        live.allSatisfy {
          physical + UInt64(rounded) <= $0.physical
            || $0.physical + UInt64(($0.count + 4095) & ~4095) <= physical
        })
      #expect(pages.physicalAddress(cpu, count) == physical && pages.isAllocated(physical, count))
      // SAFETY: the memory was allocated just now.
      unsafe UnsafeMutableRawPointer(bitPattern: cpu).map { start in
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: start, count: rounded)
        let isZero = unsafe bytes.allSatisfy { $0 == 0 }
        #expect(isZero)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0xff)
      }
      live.append((physical, count))
    }
    #expect(refused > 0)
    for (physical, count) in live { pages.free(physicalAddress: physical, byteCount: count) }
    #expect(pages.freeByteCount == 4 << 20)
  }

  @Test func `what never fits is an error of its own`() {
    #expect(take(0).status == .emptyRequest)
    #expect(take((2 << 20) + 1).status == .tooLarge)
    #expect(take(4096, alignment: 1 << 30).status == .invalidAlignment)
    #expect(take(4096, limit: Self.first - 1).status == .outOfMemory)
    #expect(take(4096, limit: Self.first + 4094).status == .outOfMemory)
    #expect(take(4096, limit: Self.first + 4095).status == .success)
  }

  @Test func `a whole region is given once, and again when it is back`() {
    let all = take(2 << 20, limit: Self.first + 0xff_ffff)
    #expect(all.status == .success && all.physical == Self.first)
    #expect(take(4096, limit: Self.first + 0xff_ffff).status == .outOfMemory)
    #expect(pages.isAllocated(Self.first, 2 << 20))
    #expect(!pages.isAllocated(Self.first, (2 << 20) + 1))
    pages.free(physicalAddress: all.physical, byteCount: 2 << 20)
    #expect(take(4096, .high).physical == Self.second + 0x1f_f000)
  }
}
