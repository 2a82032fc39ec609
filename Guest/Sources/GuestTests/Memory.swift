import CGuestTests
import DMA
import Drivers
import Glibc
import PCI
import VFIOMachine

/// Which memory of a process a device may use, and what becomes of it.
enum Memory {
  static func run(_ address: PCIAddress, _ checks: Checks) {
    var configuration = VFIOMachine.Configuration()
    // Part of a huge page cannot be replaced.
    configuration.pageSize = .small
    let machine = GuestTests.open(address, configuration)
    let edu = GuestTests.edu(machine, address)
    kinds(machine, checks)
    pinned(machine, edu, checks)
    replaced(machine, edu, checks)
  }

  /// Expects that memory is refused as this kind.
  private static func expect(
    _ words: String, _ kind: MemoryKind, _ bytes: UnsafeMutableRawBufferPointer,
    _ machine: VFIOMachine, _ checks: Checks
  ) {
    do throws(DMAError) {
      _ = try unsafe StreamingBuffer(unsafePinning: bytes, in: machine.platform)
      checks.expect("\(words) is refused", false)
    } catch {
      checks.expect("\(words) is refused: \(error)", error == .notDMAable(kind))
    }
  }

  private static func bytes(_ address: UInt, _ count: Int) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: address), count: count)
  }

  private static func isSame(_ left: UInt, _ right: UInt, _ count: Int) -> Bool {
    guard let left = unsafe UnsafeRawPointer(bitPattern: left),
      let right = unsafe UnsafeRawPointer(bitPattern: right)
    else { return false }
    return unsafe memcmp(left, right, count) == 0
  }

  private static func kinds(_ machine: VFIOMachine, _ checks: Checks) {
    var local: (UInt64, UInt64) = (1, 2)
    unsafe withUnsafeMutableBytes(of: &local) {
      unsafe expect("a stack", .stack, $0, machine, checks)
    }
    // The program's own code.
    let code = unsafe unsafeBitCast(
      guest_fork as @convention(c) () -> Int32, to: UInt.self)
    unsafe expect("shared text", .image, bytes(code & ~15, 16), machine, checks)
    for isShared in [0, 1] as [Int32] {
      let file = unsafe guest_memory_of_file("/tmp/file-\(isShared)", 8192, isShared)
      unsafe expect(
        isShared == 1 ? "a shared file" : "a private file", .user, bytes(UInt(file), 4096), machine,
        checks)
    }
    unsafe expect("nothing", .unknown, bytes(4096, 64), machine, checks)
  }

  private static func pinned(_ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks) {
    let address = UInt(guest_memory(64 << 10))
    let place = address + 100
    do {
      let before = machine.entryCount
      let memory = unsafe bytes(place, 5000)
      for index in 0..<5000 { unsafe memory[index] = UInt8(truncatingIfNeeded: index) }
      let source = try unsafe StreamingBuffer(unsafePinning: memory, in: machine.platform)
      let mapping = try source.map(ToDevice.self, for: edu.device.dma).get()
      checks.expect("pinned memory is mapped", machine.entryCount == before + 1)
      try edu.write(from: mapping.address, byteCount: 4000)
      _ = mapping.unmap()
      let target = try unsafe StreamingBuffer(
        unsafePinning: bytes(address + 32768, 4000), in: machine.platform
      ).map(FromDevice.self, for: edu.device.dma).get()
      try edu.read(to: target.address, byteCount: 4000)
      _ = target.unmap()
      checks.expect(
        "and carries the bytes",
        isSame(place, address + 32768, 4000))
      checks.expect("unmapped and unpinned, nothing is left", machine.entryCount == before)
      let replaced = try machine.auditMemory()
      checks.expect("all memory is what it was", replaced.isEmpty, "\(replaced)")
    } catch {
      abandon("pinned: \(error)")
    }
  }

  private static func replaced(_ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks) {
    do {
      let address = UInt(guest_memory(64 << 10))
      let buffer = try unsafe StreamingBuffer(
        unsafePinning: bytes(address, 16384), in: machine.platform)
      let mapping = try buffer.map(ToDevice.self, for: edu.device.dma).get()
      guard guest_memory_replace(UInt(address) + 8192, 4096) == 0 else { abandon("mmap") }
      let found = try machine.auditMemory()
      checks.expect(
        "memory that was replaced while it is mapped is found",
        found.count == 1 && found[0].cpuAddress == address + 8192 && found[0].isPinned, "\(found)")
      _ = mapping.unmap()
      checks.expect("and counted when it is unpinned", machine.replacedPinCount == 1)
      let own = try StreamingBuffer(byteCount: 8192, in: machine.platform)
      let start = unsafe own.bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
      guard guest_memory_replace(start, 4096) == 0 else { abandon("mmap") }
      let pool = try machine.auditMemory()
      checks.expect(
        "so is memory of the machine", pool.count == 1 && pool[0].cpuAddress == start, "\(pool)")
    } catch {
      abandon("replaced: \(error)")
    }
  }
}
