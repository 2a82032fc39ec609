import DMA
import Synchronization
import Testing

@Suite struct DMAPoolPoisonTests {
  private final class Found: Sendable {
    private let found = Mutex<[DMAPoolCorruption]>([])
    var all: [DMAPoolCorruption] { found.withLock { $0 } }
    func add(_ corruption: DMAPoolCorruption) { found.withLock { $0.append(corruption) } }
  }

  @Test func `a write into a free block is shown as a hex dump when it is allocated`() throws {
    let test = try TestMachine()
    let events = EventRecorder.listen(to: test.device)
    let found = Found()
    let pool = try DMAPool(
      name: "dirty", blockSize: 64, for: test.device, options: .poisoned,
      onCorruption: { found.add($0) })
    let site = CallSite(#fileID, #line)
    let block = try pool.allocateRaw(site)
    try unsafe pool.freeRaw(cpuAddress: block.cpuAddress, address: block.address, site)
    unsafe block.cpuAddress.storeBytes(of: 0x21 as UInt8, toByteOffset: 18, as: UInt8.self)
    unsafe block.cpuAddress.storeBytes(of: 0x4344 as UInt16, toByteOffset: 20, as: UInt16.self)
    let again = try pool.allocateRaw(site)
    #expect(again.address == block.address, "handed out all the same")
    let report = try #require(found.all.first)
    #expect(found.all.count == 1 && pool.statistics.corruptionCount == 1)
    #expect(report.address == block.address && report.changed == 18..<22)
    #expect(report.bytes.count == 64)
    #expect(
      report.description == """
        pool dirty, block \(report.address) (corrupted): bytes 18...21 were written while it was free
        *
        00000010: a7 a7 21 a7 44 43 a7 a7 a7 a7 a7 a7 a7 a7 a7 a7  ..!.DC..........
        *
        """)
    let heard = try #require(events.events(.poolCorrupted).first)
    #expect(heard.event.dmaAddress == report.address.rawValue + 18)
    #expect(heard.bytes == [0x21, 0xa7, 0x44, 0x43])
    // Once reported, the block is as new.
    try unsafe pool.freeRaw(cpuAddress: again.cpuAddress, address: again.address, site)
    _ = try pool.allocateRaw(site)
    #expect(found.all.count == 1)
  }

  @Test func `the first and the last byte of a block are watched, also across a short row`() throws
  {
    let test = try TestMachine()
    for offset in [0, 16, 19] {
      let found = Found()
      let pool = try DMAPool(
        name: "edges", blockSize: 20, for: test.device, options: .poisoned,
        onCorruption: { found.add($0) })
      let site = CallSite(#fileID, #line)
      let block = try pool.allocateRaw(site)
      try unsafe pool.freeRaw(cpuAddress: block.cpuAddress, address: block.address, site)
      unsafe block.cpuAddress.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
      _ = try pool.allocateRaw(site)
      #expect(found.all.map(\.changed) == [offset..<offset + 1])
      if offset == 19 {
        let row = "00000010: a7 a7 a7 00" + String(repeating: "   ", count: 12) + "  ...."
        #expect(found.all.first?.description.hasSuffix(row) == true)
      }
    }
  }
}
