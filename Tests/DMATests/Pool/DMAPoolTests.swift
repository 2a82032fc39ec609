import DMA
import DMAMapping
import SimulatedMachine
import Synchronization
import TestSupport
import Testing

@Suite struct DMAPoolTests {
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

  @Test func `zeroing is by call or by pool, also of blocks used before`() throws {
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

  @Test func `nothing that is written into blocks, free ones too, misleads the pool`() throws {
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
