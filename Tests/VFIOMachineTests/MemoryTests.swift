import DMA
import Glibc
import TestSupport
import Testing
@testable import VFIOMachine

/// Pages of the process, and which of its memory devices may use.
@Suite struct MemoryTests {
  private static let maps = """
    00400000-00401000 r--p 00000000 08:01 11 /usr/bin/program
    00401000-00402000 r-xp 00001000 08:01 11 /usr/bin/program
    00402000-00403000 rw-p 00002000 08:01 11 /usr/bin/program
    00403000-00405000 rw-p 00000000 00:00 0
    00600000-00621000 rw-p 00000000 00:00 0          [heap]
    00700000-00710000 rw-p 00000000 00:00 0
    00710000-00711000 r--p 00000000 00:00 0
    00800000-00810000 rw-s 00000000 08:01 12 /home/me/my file
    00900000-00910000 rw-s 00000000 00:01 13 /memfd:buffers (deleted)
    00a00000-00a10000 rw-s 00000000 00:01 14 /dev/zero (deleted)
    00b00000-00b10000 rw-p 00000000 08:01 12 /home/me/my file
    00c00000-00c01000 rw-s 00000000 00:0e 15 anon_inode:[vfio-device]
    00d00000-00d01000 rw-s febd0000 00:16 16 /sys/devices/pci0000:00/0000:00:08.0/resource0
    7ffd0000-7ffe0000 rw-p 00000000 00:00 0          [stack]
    7fff0000-7fff1000 r-xp 00000000 00:00 0          [vdso]
    """

  @Test(
    arguments: [
      (0x400000, 16, .image), (0x401800, 16, .image), (0x402000, 16, .image),
      (0x404000, 16, .image), (0x600000, 4096, .pages), (0x700000, 0x10000, .pages),
      (0x70f000, 0x2000, .image), (0x710000, 8, .image), (0x800000, 8, .user),
      (0x900000, 0x10000, .pages), (0xa00000, 1, .pages), (0xb00000, 8, .user),
      (0xc00000, 8, .mmio), (0xd00000, 8, .mmio), (0x7ffd_0000, 8, .stack),
      (0x7fff_0000, 8, .image), (0x1000, 8, .unknown), (0x620000, 0x2000, .unknown),
      (UInt64.max - 4, 8, .unknown),
    ] as [(UInt64, UInt64, MemoryKind)])
  func `R10 R12 R13 areas of a process are told apart`(
    address: UInt64, byteCount: UInt64, kind: MemoryKind
  ) {
    #expect(ProcessMap(Self.maps).kind(address, byteCount) == kind)
  }

  @Test func `this process's own memory is told apart`() {
    var local = 1
    unsafe withUnsafeMutableBytes(of: &local) { bytes in
      let address = UInt(bitPattern: bytes.baseAddress)
      #expect(PinnedMemory.refusal(address, 8, SysfsTree()) == .stack)
    }
    let heap = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { unsafe heap.deallocate() }
    #expect(PinnedMemory.refusal(UInt(bitPattern: heap), 1 << 20, SysfsTree()) == nil)
  }

  @Test func `memory without the mark of kept memory is found, to the byte`() {
    let areas = KeptAreas(
      """
      00700000-00702000 rw-p 00000000 00:00 0
      Size:                  8 kB
      VmFlags: rd wr mr mw me dc ac sd
      00702000-00703000 rw-p 00000000 00:00 0
      VmFlags: rd wr mr mw me ac sd
      00703000-00704000 rw-p 00000000 00:00 0
      VmFlags: rd wr mr mw me dc ac
      """)
    #expect(areas.firstReplaced(0x700000, 0x2000) == nil)
    #expect(areas.firstReplaced(0x700000, 0x4000) == 0x702000)
    #expect(areas.firstReplaced(0x703000, 0x1000) == nil)
    #expect(areas.firstReplaced(0x703000, 0x1001) == 0x704000)
  }

  @Test func `a pool is kept from forks, aligned, and known when replaced`() throws {
    let pool = try PagePool(
      byteCount: 4 << 20, alignment: 4 << 20, pages: .small, SysfsTree())
    #expect(pool.cpuAddress % (4 << 20) == 0)
    let start = UInt64(pool.cpuAddress)
    #expect(KeptAreas.current().firstReplaced(start, 4 << 20) == nil)
    let page = unsafe try #require(UnsafeMutableRawPointer(bitPattern: pool.cpuAddress + 8192))
    // SAFETY: a page of the pool, which nobody uses.
    let fresh = unsafe mmap(
      page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    #expect(unsafe fresh == page)
    #expect(KeptAreas.current().firstReplaced(start, 4 << 20) == start + 8192)
  }

  @Test func `more huge pages than there are is an error with both numbers`() {
    let error = #expect(throws: VFIOError.self) {
      // 64 TiB of them: no host that runs tests has so many.
      _ = try PagePool(
        byteCount: 1 << 46, alignment: 2 << 20, pages: .huge, SysfsTree())
    }
    guard case .noHugePages(let have, let need) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(need == 1 << 25 && have < need)
  }
}
