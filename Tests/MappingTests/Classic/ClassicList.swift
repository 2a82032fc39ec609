import DMA
import SimulatedMachine

/// A list by its entries, as `pci_map_sg` has it.
@safe
final class ClassicList {
  private let bench: Bench
  private let entries: UnsafeMutableBufferPointer<ScatterEntry>
  private let site = CallSite(#fileID, #line)

  /// - Parameter pieces: (offset, bytes) from `cpuAddress` on.
  convenience init(_ bench: Bench, pieces: [(Int, Int)], _ cpuAddress: UInt) throws {
    try self.init(
      bench,
      pieces.map {
        try bench.dma.scatterEntry(cpuAddress: cpuAddress + UInt($0.0), byteCount: $0.1)
      })
  }

  init(_ bench: Bench, _ list: [ScatterEntry]) throws {
    self.bench = bench
    unsafe entries = .allocate(capacity: list.count)
    _ = unsafe entries.initialize(from: list)
  }

  deinit { unsafe entries.deallocate() }

  var count: Int { unsafe entries.count }

  subscript(index: Int) -> ScatterEntry {
    get { unsafe entries[index] }
    set { unsafe entries[index] = newValue }
  }

  /// Maps the whole list; the count of segments.
  func map(_ direction: DMADirection) throws(DMAError) -> Int {
    try unsafe bench.dma.mapScatter(entries, direction: direction, site: site)
  }

  func unmap(_ direction: DMADirection, count: Int? = nil) throws(DMAError) {
    try unsafe bench.dma.unmapScatter(
      entries, count: count ?? entries.count, direction: direction, site: site)
  }

  func sync(_ direction: DMADirection, count: Int? = nil, forCPU: Bool) throws(DMAError) {
    try unsafe bench.dma.syncScatter(
      entries, count: count ?? entries.count, direction: direction, forCPU: forCPU, site: site)
  }

  /// What the device reads when it follows the first `segments` entries.
  func read(_ segments: Int) -> [UInt8] {
    (0..<min(segments, count)).flatMap {
      bench.probe.read(self[$0].dmaAddress, byteCount: self[$0].dmaByteCount) ?? []
    }
  }

  /// Has the device write along them; false when it may not.
  func write(_ bytes: [UInt8], _ segments: Int) -> Bool {
    var position = 0
    guard segments <= count else { return false }
    for index in 0..<segments {
      let part = Array(bytes[position..<position + self[index].dmaByteCount])
      guard bench.probe.write(self[index].dmaAddress, part) else { return false }
      position += part.count
    }
    return position == bytes.count
  }
}
