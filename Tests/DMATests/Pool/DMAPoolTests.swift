import DMA
import DMAMapping
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

@Suite struct DMAPoolTests {
  @Test func `R56 R57 R66 blocks are aligned on both sides and off boundaries`() throws {
    var random = SeededGenerator()
    let test = try TestMachine()
    for _ in 0..<60 {
      let size = Int.random(in: 1...5000, using: &random)
      let align = 1 << Int.random(in: 0...12, using: &random)
      let block = (size + align - 1) & ~(align - 1)
      var boundary = 1 << Int.random(in: 4...14, using: &random)
      if boundary < block { boundary = 0 }
      let pool = try DMAPool(
        name: "random", blockSize: size, alignment: align, boundary: boundary, for: test.device)
      var taken: [(bus: UInt64, cpu: UInt)] = []
      for _ in 0..<3 * pool.geometry.blocksPerPage where taken.count < 500 {
        let raw = try pool.allocateRaw(CallSite(#fileID, #line))
        let cpu = unsafe UInt(bitPattern: raw.cpuAddress)
        let bus = raw.address.rawValue
        #expect(bus % UInt64(align) == 0 && cpu % UInt(align) == 0)
        if boundary != 0 {
          #expect(bus / UInt64(boundary) == (bus + UInt64(size) - 1) / UInt64(boundary))
        }
        taken.append((bus, cpu))
      }
      taken.sort { $0.bus < $1.bus }
      for (one, next) in zip(taken, taken.dropFirst()) {
        #expect(one.bus + UInt64(block) <= next.bus, "two blocks overlap")
      }
      #expect(pool.statistics.activeCount == taken.count)
      for block in taken.shuffled(using: &random) {
        try unsafe pool.freeRaw(
          cpuAddress: UnsafeMutableRawPointer(bitPattern: block.cpu),
          address: DMAAddress(rawValue: block.bus), CallSite(#fileID, #line))
      }
      #expect(pool.statistics.activeCount == 0)
    }
    #expect(test.device.liveCoherentCount == 0, "R70: all pages went back")
  }

  @Test func `R60 blocks honour the coherent mask`() throws {
    let test = try TestMachine(mask: DMAMask(bitCount: 24))
    let pool = try DMAPool(name: "low", blockSize: 64, for: test.device)
    let block = try pool.allocate()
    check(block.address.rawValue + 63 <= 0xff_ffff)
    let legacy = DMADevice.legacy(
      platform: test.platform, mapping: DirectMapping.make(for: test.platform))
    let old = try DMAPool(name: "isa", blockSize: 64, for: legacy)
    let low = try old.allocate()
    check(low.address.rawValue + 63 <= 0xff_ffff)
  }

  @Test func `T13 every block of a page is handed out once, also beyond the 64th`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "bytes", blockSize: 1, for: test.device)
    var seen = Set<UInt64>()
    for _ in 0..<4096 {
      seen.insert(try pool.allocateRaw(CallSite(#fileID, #line)).address.rawValue)
    }
    #expect(seen.count == 4096)
    #expect(pool.statistics.pageCount == 1)
    _ = try pool.allocateRaw(CallSite(#fileID, #line))
    #expect(pool.statistics.pageCount == 2)
  }

  @Test func `blocks come lowest first, and the one freed last comes next`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "lifo", blockSize: 64, for: test.device)
    let first = try pool.allocate()
    let second = try pool.allocate()
    let start = first.address.rawValue
    check(second.address.rawValue == start + 64)
    first.free()
    let again = try pool.allocate()
    check(again.address.rawValue == start)
  }

  @Test func `words of a block are what was written, and outside of it they trap`() async throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "words", blockSize: 20, alignment: 32, for: test.device)
    var block = try pool.allocate { bytes in
      bytes.storeBytes(of: 7 as UInt32, toByteOffset: 16, as: UInt32.self)
    }
    check(block[16, as: UInt32.self] == 7)
    check(block[0, as: UInt64.self] == 0)
    block[8, as: UInt16.self] = 0xabcd
    let field = DMAField<Descriptor, UInt16>(at: 8)
    check(block[field] == 0xabcd)
    block[field] = 3
    var bytes = block.mutableBytes
    check(bytes.byteCount == 20)
    bytes.storeBytes(of: 9 as UInt8, toByteOffset: 19, as: UInt8.self)
    check(block[19, as: UInt8.self] == 9)
    await #expect(processExitsWith: .failure) {
      let test = try TestMachine()
      let pool = try DMAPool(name: "words", blockSize: 20, alignment: 32, for: test.device)
      let block = try pool.allocate()
      _ = block[20, as: UInt8.self]
    }
  }

  private struct Descriptor: DMARepresentable { var words: (UInt64, UInt64) = (0, 0) }

  @Test func `T21 zeroing is by call or by pool, also of blocks used before`() throws {
    let test = try TestMachine()
    let plain = try DMAPool(name: "plain", blockSize: 64, for: test.device)
    let zeroed = try DMAPool(name: "zeroed", blockSize: 64, for: test.device, options: .zeroed)
    for pool in [plain, zeroed] {
      let block = try pool.allocate()
      for offset in 0..<64 { block[offset, as: UInt8.self] = 0xff }
    }
    func isZero(_ block: borrowing DMAPoolBlock) -> Bool {
      for offset in stride(from: 0, to: 64, by: 8) where block[offset, as: UInt64.self] != 0 {
        return false
      }
      return true
    }
    let left = try plain.allocate()
    check(!isZero(left))
    left.free()
    let cleared = try plain.allocateZeroed()
    check(isZero(cleared))
    let always = try zeroed.allocate()
    check(isZero(always))
    always[0, as: UInt8.self] = 1
    always.free()
    let raw = try zeroed.allocateRaw(CallSite(#fileID, #line))
    #expect(unsafe raw.cpuAddress.load(as: UInt64.self) == 0)
  }

  @Test func `T19 nothing that is written into blocks, free ones too, misleads the pool`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "hostile", blockSize: 16, for: test.device)
    var raw: [CoherentMemory] = []
    for _ in 0..<300 { raw.append(try pool.allocateRaw(CallSite(#fileID, #line))) }
    for block in raw {
      try unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
    }
    // A device with a will of its own: every byte of every page.
    for block in raw {
      unsafe block.cpuAddress.storeBytes(of: 0x4141_4141_4141_4141, as: UInt64.self)
      unsafe block.cpuAddress.storeBytes(of: .max, toByteOffset: 8, as: UInt64.self)
    }
    let known = Set(raw.map { $0.address.rawValue })
    var seen = Set<UInt64>()
    for _ in 0..<300 {
      let address = try pool.allocateRaw(CallSite(#fileID, #line)).address.rawValue
      seen.insert(address)
    }
    #expect(seen == known)
  }

  @Test func `R64 R67 pools work in interrupts and with locks held, without waiting`() throws {
    let test = try TestMachine()
    try ExecutionContext.withInterrupt {
      let pool = try DMAPool(name: "irq", blockSize: 64, for: test.device)
      let block = try pool.allocate()
      block.free()
    }
    let lock = DMASpinLock()
    try lock.withLock {
      let pool = try DMAPool(name: "locked", blockSize: 64, for: test.device)
      _ = try pool.allocate()
      #expect(throws: DMAError.wouldBlock) {
        _ = try pool.allocate(deadlineNanoseconds: .max).address
      }
    }
  }

  @Test func `a removed device gives no blocks but takes them back`() throws {
    let test = try TestMachine()
    let pool = try DMAPool(name: "gone", blockSize: 64, for: test.device)
    let block = try pool.allocate()
    test.device.remove()
    #expect(throws: DMAError.deviceRemoved) { _ = try pool.allocate().address }
    #expect(throws: DMAError.deviceRemoved) {
      _ = try DMAPool(name: "late", blockSize: 64, for: test.device)
    }
    block.free()
    #expect(pool.statistics.activeCount == 0)
    try pool.destroy()
    #expect(test.device.liveCoherentCount == 0)
  }
}
