import DMA
import DMAMapping
import Glibc
import SimulatedMachine
import TestSupport
import Testing

@Suite struct LiveMappingTests {
  /// How many mappings are live at once: SWIFT_DMA_LIVE_MAPPINGS, or what the build can do in
  /// seconds.
  private static let count: Int = {
    // SAFETY: getenv's result is read before anything else could change the environment.
    if let given = unsafe getenv("SWIFT_DMA_LIVE_MAPPINGS").flatMap({
      unsafe Int(String(cString: $0))
    }) {
      return given
    }
    #if DEBUG
      return 100_000
    #else
      return 1_000_000
    #endif
  }()

  @Test(arguments: Setup.allCases.filter { $0.kind != .bounce })
  func `a million live mappings each have an address of their own, and end one by one`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    // Behind an IOMMU each takes a page of bus addresses: more than 32 bits have.
    try bench.dma.setMask(.bits64)
    let site = CallSite(#fileID, #line)
    let pieceByteCount = 64
    let memory = try bench.machine.allocatePages(byteCount: Self.count * pieceByteCount)
    var addresses: [DMAAddress] = []
    addresses.reserveCapacity(Self.count)
    for index in 0..<Self.count {
      addresses.append(
        try bench.dma.mapSingle(
          cpuAddress: memory.address + UInt(index * pieceByteCount), byteCount: pieceByteCount,
          direction: .fromDevice, site: site))
    }
    #expect(Set(addresses.map(\.rawValue)).count == Self.count)
    if let domain = bench.domain { #expect(domain.validEntryCount == Self.count) }
    // Any of them reaches its own piece.
    var random = SeededGenerator()
    for _ in 0..<1000 {
      let index = Int.random(in: 0..<Self.count, using: &random)
      let mark = UInt8.random(in: 1 ... .max, using: &random)
      try #require(bench.probe.write(addresses[index].rawValue + 5, [mark]))
      try bench.dma.syncSingle(
        addresses[index], byteCount: pieceByteCount, direction: .fromDevice, forCPU: true,
        site: site)
      let place = memory.address + UInt(index * pieceByteCount + 5)
      let seen = unsafe UnsafePointer<UInt8>(bitPattern: place)?.pointee
      try #require(seen == mark)
    }
    addresses.shuffle(using: &random)
    for address in addresses {
      try bench.dma.unmapSingle(
        address, byteCount: pieceByteCount, direction: .fromDevice, site: site)
    }
    #expect(throws: DMAError.notMapped(addresses[0])) {
      try bench.dma.unmapSingle(
        addresses[0], byteCount: pieceByteCount, direction: .fromDevice, site: site)
    }
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
    withExtendedLifetime(memory) {}
  }
}
