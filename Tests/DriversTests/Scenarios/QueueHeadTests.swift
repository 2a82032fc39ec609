import DMA
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// A host controller that walks a list of queue heads: bus address of the next, then a number.
private final class ListWalker: SimulatedDevice {
  init() {
    super.init(
      identity: PCIIdentity(vendorID: 0x1234, deviceID: 0x0c03, classCode: 0x0c_0310),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)])
  }

  /// The bus addresses and numbers it finds from `first` on; nil when memory does not answer.
  func walk(_ first: UInt64, limit: Int) -> [(address: UInt64, number: UInt64)]? {
    var found: [(address: UInt64, number: UInt64)] = []
    var next = first
    while next != 0, found.count <= limit {
      var words: (UInt64, UInt64) = (0, 0)
      let outcome = unsafe withUnsafeMutableBytes(of: &words) { unsafe readMemory(next, into: $0) }
      guard outcome == .done else { return nil }
      found.append((next, words.1))
      next = words.0
    }
    return found
  }
}

@Suite struct QueueHeadTests {
  /// Kept by the driver: nothing turns a bus address into memory (R103).
  private struct Head: ~Copyable {
    var block: DMAPoolBlock
    var number: UInt64
  }

  @Test(arguments: Setup.allCases, [0, 4096])
  func `E7 R57 R66 R69 R103 queue heads from a pool are found by their bus address`(
    setup: Setup, boundary: Int
  ) throws {
    var random = SeededGenerator()
    let machine = try setup.machine(seed: random.next())
    let walker = ListWalker()
    let opened = try setup.open(machine, try machine.attach(walker))
    let pci = opened.device
    pci.enableBusMastering()
    do {
      // OHCI's transfer descriptors had 64 bytes at 16.
      let pool = try DMAPool(
        name: "queue heads", blockSize: 72, alignment: 16, boundary: boundary, for: pci.dma)
      // The driver's own way back from what the device says to what it means.
      var table = InFlightTable<Head>(capacity: 512)
      var byAddress: [UInt64: UInt16] = [:]
      var number: UInt64 = 0
      for round in 0..<Scale.count(usual: 10_000, full: 100_000) {
        if byAddress.count < 512, byAddress.isEmpty || Bool.random(using: &random) {
          number += 1
          let block = try pool.allocate()
          let address = block.address.rawValue
          check(address % 16 == 0)
          if boundary != 0 { check(address / 4096 == (address + 71) / 4096) }
          block[8, as: UInt64.self] = number
          check(byAddress[address] == nil, "a block is given out once (R69)")
          byAddress[address] = table.start(Head(block: block, number: number))
        } else if let victim = byAddress.keys.randomElement(using: &random),
          let id = byAddress.removeValue(forKey: victim), let head = table.complete(id)
        {
          check(head.block.address.rawValue == victim)
          check(head.block[8, as: UInt64.self] == head.number, "nobody else wrote the block")
        }
        guard round % 1000 == 999 else { continue }
        // Chain all that live, and let the device find them.
        var heads: [(address: UInt64, number: UInt64)] = []
        var next: UInt64 = 0
        for (address, id) in byAddress {
          guard let head = table.complete(id) else { continue }
          head.block[0, as: UInt64.self] = next
          next = address
          heads.append((address, head.number))
          byAddress[address] = table.start(head)
        }
        DMABarrier.write()
        let found = try #require(walker.walk(next, limit: 512))
        #expect(found.map(\.address) == heads.reversed().map(\.address))
        #expect(found.map(\.number) == heads.reversed().map(\.number))
      }
      if !byAddress.isEmpty {
        let busy: DMAError? = {
          do throws(DMAError) {
            try pool.destroy()
            return nil
          } catch { return error }
        }()
        // R71: not while blocks are in use.
        #expect(busy != nil)
      }
      for (_, id) in byAddress { _ = table.complete(id) }
      try pool.destroy()
    }
    #expect(pci.dma.liveCoherentCount == 0)
    #expect(machine.incidentCount == 0)
    withExtendedLifetime(opened.kept) {}
  }
}
