import DMA
import Drivers
import PCI
internal import SimulatedMachine

/// A driver's work, in which anything may fail.
public struct FaultScenario: Sendable, CustomStringConvertible {
  public let name: String
  public let kind: ProgramSetup.Kind
  public let isCoherent: Bool
  let makeModel: @Sendable () throws -> SimulatedDevice
  let run: @Sendable (FaultBench) throws -> Void

  public var description: String {
    "\(name), \(kind.rawValue)\(isCoherent ? "" : ", incoherent")"
  }

  private struct Work {
    var name: String
    var makeModel: @Sendable () throws -> SimulatedDevice = { ProgramProbe() }
    var run: @Sendable (FaultBench) throws -> Void
  }

  /// Every work on every mapping, on a coherent machine and on one that is not.
  public static let all: [FaultScenario] = works.flatMap { work in
    ProgramSetup.Kind.allCases.flatMap { kind in
      [true, false].map {
        FaultScenario(
          name: work.name, kind: kind, isCoherent: $0, makeModel: work.makeModel, run: work.run)
      }
    }
  }

  private static let works: [Work] = [
    Work(name: "edu, polling", makeModel: { Edu() }) { try copy($0, .polling) },
    Work(name: "edu, interrupt", makeModel: { Edu() }) { try copy($0, .interrupt) },
    Work(name: "NVMe, opened", makeModel: makeNVMe) { bench in
      let nvme = try open(bench)
      _ = try nvme.activeNamespaces()
      try nvme.shutDown()
    },
    Work(name: "NVMe, written and read", makeModel: makeNVMe) { bench in
      let nvme = try open(bench)
      let namespace = try nvme.namespace()
      var buffer = try StreamingBuffer(byteCount: 40 << 10, in: bench.machine.platform)
      try nvme.queues[0].write(from: &buffer, toBlock: 8, of: namespace)
      try nvme.queues[0].read(into: &buffer, fromBlock: 8, of: namespace)
      try nvme.queues[0].flush(namespace)
    },
    Work(name: "NVMe, a list read", makeModel: makeNVMe) { bench in
      let nvme = try open(bench)
      let namespace = try nvme.namespace()
      let queue = nvme.queues[0]
      let list = try ScatterBuffer(byteCount: 16 << 10, in: bench.machine.platform)
      let mapping = try list.map(FromDevice.self, for: queue.device).get()
      try queue.read(mapping, fromBlock: 0, of: namespace).get()
      queue.ring()
      while let completion = try queue.next() {
        let error = completion.error
        _ = completion.takeTransfer().unmap()
        if let error { throw error }
      }
    },
    Work(name: "network card", makeModel: makeNetworkCard) { try exchange($0, .polling) },
    Work(name: "network card, interrupt", makeModel: makeNetworkCard) {
      try exchange($0, .interrupt)
    },
    Work(name: "pool") { bench in
      let pool = try DMAPool(name: "heads", blockSize: 96, alignment: 32, for: bench.pci.dma)
      var blocks: [Box<DMAPoolBlock>] = []
      for _ in 0..<100 { blocks.append(Box(try pool.allocate())) }
      for box in blocks { box.take()?.free() }
      try pool.destroy()
    },
    Work(name: "coherent memory") { bench in
      var kept: [Box<CoherentBuffer<UInt32>>] = []
      for count in [1, 1000, 5000] {
        kept.append(Box(try CoherentBuffer(count: count, for: bench.pci.dma)))
      }
      kept.removeAll()
    },
    Work(name: "regions") { bench in
      var kept: [Box<StreamingMapping<Bidirectional>>] = []
      defer { for box in kept { _ = box.take()?.unmap() } }
      for index in 1...8 {
        let buffer = try StreamingBuffer(byteCount: index * 1500, in: bench.machine.platform)
        kept.append(Box(try buffer.map(Bidirectional.self, for: bench.pci.dma).get()))
      }
    },
    Work(name: "lists") { bench in
      for count in [1, 3, 9] {
        let list = try ScatterBuffer(
          byteCount: count * 5000, in: bench.machine.platform, pieceByteCount: 5000)
        let mapping = try list.map(ToDevice.self, for: bench.pci.dma).get()
        _ = mapping.unmap()
      }
    },
    Work(name: "lists, each entry by itself") { bench in
      let list = try ScatterBuffer(byteCount: 9 * 4096, in: bench.machine.platform)
      let mapping = try list.mapEach(FromDevice.self, for: bench.pci.dma).get()
      _ = mapping.unmap()
    },
    Work(name: "calls by handle") { bench in
      let device = bench.pci.dma
      let site = CallSite(#fileID, #line)
      let buffer = try StreamingBuffer(byteCount: 8192, in: bench.machine.platform)
      let start = unsafe buffer.bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
      let region = try device.mapSingle(
        cpuAddress: start, byteCount: 100, direction: .toDevice, site: site)
      defer {
        try? device.unmapSingle(region, byteCount: 100, direction: .toDevice, site: site)
      }
      let list = EntryList([
        try device.scatterEntry(cpuAddress: start + 4096, byteCount: 512),
        try device.scatterEntry(cpuAddress: start + 6144, byteCount: 512),
      ])
      _ = try unsafe device.mapScatter(list.entries, direction: .fromDevice, site: site)
      try unsafe device.unmapScatter(
        list.entries, count: 2, direction: .fromDevice, site: site)
      withExtendedLifetime(buffer) {}
    },
  ]

  // MARK: Drivers

  @Sendable private static func makeNVMe() throws -> SimulatedDevice {
    NVMeController(try NVMeMemory(zeroes: 4 << 20))
  }

  @Sendable private static func makeNetworkCard() throws -> SimulatedDevice {
    var options = NetworkCardModel.Configuration()
    options.isLoopback = true
    return NetworkCardModel(options)
  }

  private static func copy(_ bench: FaultBench, _ completion: EduDevice.Completion) throws {
    let edu = try EduDevice(bench.pci, completion: completion)
    var source = try StreamingBuffer(byteCount: 6000, for: bench.pci.dma)
    var destination = try StreamingBuffer(byteCount: 6000, for: bench.pci.dma)
    try edu.copy(&source, to: &destination)
  }

  private static func open(_ bench: FaultBench) throws -> NVMeDevice {
    var options = NVMeDevice.Options()
    options.queueCapacity = 8
    options.transferByteCountMax = 16 << 10
    return try NVMeDevice(bench.pci, options: options)
  }

  private static func exchange(
    _ bench: FaultBench, _ completion: NetworkCard.Completion
  ) throws {
    var options = NetworkCard.Options()
    options.ringCount = 8
    options.completion = completion
    let card = try NetworkCard(bench.pci, options: options)
    var receivedCount = 0
    for length in [60, 700, 1500] {
      let buffer = try StreamingBuffer(byteCount: length, for: bench.pci.dma)
      switch card.send(buffer) {
      case .accepted: break
      case .refused(_, let error): throw error
      }
      try card.wait {
        card.reap()
        receivedCount += card.receive { _ = $0 }
        return card.sendingCount == 0 && receivedCount > 0
      }
      receivedCount = 0
    }
    // A frame without a new buffer for its place is refused and counted: that is its error.
    if card.counters.refused + card.counters.failedToSend > 0 { throw FrameLost() }
  }
}

/// The card's own counters say that a frame was lost.
struct FrameLost: Error {}

/// A value that cannot be copied, in an array.
final class Box<Value: ~Copyable> {
  private var value: Value?

  init(_ value: consuming Value) { self.value = consume value }

  func take() -> Value? {
    var taken: Value? = nil
    swap(&taken, &value)
    return taken
  }
}
