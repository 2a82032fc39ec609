import DMA
import DMAMapping
import PCI
import SimulatedMachine
import TestSupport
import Testing

@Suite struct StreamingTests {
  @Test(arguments: Setup.allCases)
  func `R42 any offset and any length maps, and the low address bits stay`(setup: Setup) throws {
    let bench = try setup.make()
    var random = SeededGenerator()
    var buffer = try StreamingBuffer(byteCount: 65536, for: bench.dma)
    let base = try wholeAddress(&buffer, bench.dma)
    #expect(base % 4096 == 0)
    for _ in 0..<2000 {
      let start = Int.random(in: 0..<65536, using: &random)
      let count = Int.random(in: 1...min(65536 - start, 9000), using: &random)
      let mapping = try buffer.map(
        FromDevice.self, bytes: start..<start + count, for: bench.dma
      ).get()
      let address = mapping.address.rawValue
      try #require(address % 4096 == UInt64(start % 4096))
      let mapped = mapping.byteCount
      try #require(mapped == count)
      let fill = UInt8.random(in: 1 ... .max, using: &random)
      try #require(bench.probe.write(address, .init(repeating: fill, count: count)))
      buffer = mapping.unmap()
      let first = byte(buffer, at: start)
      let last = byte(buffer, at: start + count - 1)
      try #require(first == fill && last == fill)
    }
  }

  @Test(arguments: Setup.allCases)
  func `R74 data moves the way its direction says`(setup: Setup) throws {
    let bench = try setup.make()
    let text = Array("from memory to the device and back".utf8)
    let outgoing = unsafe try StreamingBuffer(copying: text.span.bytes, in: bench.platform)
    let below = try move(outgoing, below: bench.dma)
    let sent = try below.map(ToDevice.self, for: bench.dma).get()
    #expect(bench.probe.read(sent.address.rawValue, byteCount: text.count) == text)
    _ = sent.unmap()
    let incoming = try StreamingBuffer(byteCount: text.count, for: bench.dma)
    let received = try incoming.map(FromDevice.self, for: bench.dma).get()
    #expect(bench.probe.write(received.address.rawValue, text))
    let back = received.unmap()
    #expect(bytes(back) == text)
  }

  @Test(arguments: Setup.allCases)
  func `R75 bidirectional bytes of either side survive`(setup: Setup) throws {
    let bench = try setup.make()
    var buffer = try StreamingBuffer(byteCount: 8, for: bench.dma)
    store(&buffer, 0, 0x11)
    let mapping = try buffer.map(Bidirectional.self, for: bench.dma).get()
    #expect(bench.probe.read(mapping.address.rawValue, byteCount: 1) == [0x11])
    #expect(bench.probe.write(mapping.address.rawValue + 4, [0x22]))
    let back = mapping.unmap()
    #expect(bytes(back) == [0x11, 0, 0, 0, 0x22, 0, 0, 0])
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R77 what a device is only to read or only to write, it can only read or write`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let outgoing = try StreamingBuffer(byteCount: 4096, for: bench.dma)
    let sent = try outgoing.map(ToDevice.self, for: bench.dma).get()
    #expect(bench.probe.read(sent.address.rawValue, byteCount: 8) != nil)
    #expect(!bench.probe.write(sent.address.rawValue, [1]))
    _ = sent.unmap()
    let incoming = try StreamingBuffer(byteCount: 4096, for: bench.dma)
    let received = try incoming.map(FromDevice.self, for: bench.dma).get()
    #expect(bench.probe.write(received.address.rawValue, [1]))
    #expect(bench.probe.read(received.address.rawValue, byteCount: 8) == nil)
    _ = received.unmap()
  }

  @Test(arguments: Setup.allCases)
  func `R75 what the device did not write is as it was`(setup: Setup) throws {
    let bench = try setup.make()
    var buffer = try StreamingBuffer(byteCount: 4096, for: bench.dma)
    store(&buffer, 1, 0x11)
    store(&buffer, 4095, 0x33)
    let mapping = try buffer.map(FromDevice.self, for: bench.dma).get()
    #expect(bench.probe.write(mapping.address.rawValue + 2048, [0x22]))
    let back = mapping.unmap()
    let seen = [byte(back, at: 1), byte(back, at: 2048), byte(back, at: 4095)]
    #expect(seen == [0x11, 0x22, 0x33])
  }

  @Test(arguments: Setup.allCases.filter(\.hasIOMMU))
  func `R4 R99 what was unmapped is out of the device's reach, in strict mode at once`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let domain = try #require(bench.domain)
    let mapping = try StreamingBuffer(byteCount: 4096, for: bench.dma)
      .map(FromDevice.self, for: bench.dma).get()
    let address = mapping.address.rawValue
    #expect(bench.probe.write(address, [1]))
    let back = mapping.unmap()
    if setup.kind == .iommuDeferred { domain.flush() }
    #expect(!bench.probe.write(address, [2]))
    let first = byte(back, at: 0)
    #expect(first == 1)
  }

  @Test(arguments: Setup.allCases)
  func `R94 mapping and unmapping may go on for ever`(setup: Setup) throws {
    let bench = try setup.make()
    // The smallest window where there is one: 2047 pages, or 1024 slots.
    if setup.hasIOMMU { try bench.dma.setMask(DMAMask(bitCount: 23)) }
    var buffer = try StreamingBuffer(byteCount: 4096, for: bench.dma)
    for round in 0..<3000 {
      switch buffer.map(Bidirectional.self, for: bench.dma) {
      case .mapped(let mapping): buffer = mapping.unmap()
      case .failed(_, let error):
        Issue.record("\(error) in round \(round)")
        return
      }
    }
    if let domain = bench.domain { #expect(domain.validEntryCount == 0) }
  }

  @Test(arguments: Setup.allCases)
  func `R96 R101 a sync shows what the device wrote, many times for one mapping`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let buffer = try StreamingBuffer(byteCount: 2048, for: bench.dma)
    let mapping = try buffer.map(FromDevice.self, for: bench.dma).get()
    for round in 0..<100 as Range<UInt8> {
      #expect(bench.probe.write(mapping.address.rawValue + 14, [round, 1, 2, 3]))
      let header = mapping.withBytesSyncedForCPU(14..<18) { span in
        (0..<4).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
      }
      try #require(header == [round, 1, 2, 3])
    }
    // Unmapping shows the last transfer without a sync (R99).
    #expect(bench.probe.write(mapping.address.rawValue, [0x77]))
    let back = mapping.unmap()
    let first = byte(back, at: 0)
    #expect(first == 0x77)
  }

  @Test(arguments: Setup.allCases)
  func `what the CPU changes inside a sync is what the device reads next`(setup: Setup) throws {
    let bench = try setup.make()
    let buffer = try StreamingBuffer(byteCount: 64, for: bench.dma)
    var mapping = try buffer.map(ToDevice.self, for: bench.dma).get()
    for round in 0..<10 as Range<UInt8> {
      mapping.withMutableBytesSyncedForCPU(8..<9) { bytes in
        bytes.storeBytes(of: round, toByteOffset: 0, as: UInt8.self)
      }
      #expect(bench.probe.read(mapping.address.rawValue + 8, byteCount: 1) == [round])
    }
    _ = mapping.unmap()
  }

  @Test(arguments: Setup.allCases)
  func `R82 mapping and unmapping work in an interrupt and under a spin lock`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    var buffer: StreamingBuffer? = try StreamingBuffer(byteCount: 100, for: bench.dma)
    let lock = DMASpinLock()
    for _ in 0..<2 {
      buffer = ExecutionContext.withInterrupt { cycle(buffer.take(), bench.dma) }
      buffer = lock.withLock { cycle(buffer.take(), bench.dma) }
    }
    let survived = buffer != nil
    #expect(survived)
  }

  @Test func `memory beyond the mask is refused, with mask and address`() throws {
    let bench = try Setup.direct.make()
    try bench.dma.setMask(DMAMask(bitCount: 28))
    let buffer = try StreamingBuffer(byteCount: 5000, in: bench.platform, placement: .high)
    switch buffer.map(ToDevice.self, for: bench.dma) {
    case .mapped: Issue.record("memory above 4 GiB was mapped for a 28-bit device")
    case .failed(let same, let error):
      guard case .outOfReach(let first, let last, let mask) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(mask == DMAMask(bitCount: 28))
      #expect(first.rawValue > 4 << 30 && last.rawValue == first.rawValue + 4999)
      #expect(error.description.contains(first.description))
      #expect(error.description.contains("0xfffffff (28 bits)"))
      #expect(!error.isTransient)
      let count = same.byteCount
      #expect(count == 5000)
    }
  }

  @Test func `the last byte decides: one past the mask is refused, one below is mapped`() throws {
    let bench = try Setup.direct.make()
    // Pages at the very top of what 24 bits reach.
    try bench.dma.setMask(.bits24)
    var held: [StreamingBox] = []
    var top: StreamingBox?
    while let box = try? StreamingBox(bench.dma) {
      if box.address(bench.dma) == 0xff_f000 { top = box } else { held.append(box) }
    }
    let box = try #require(top)
    try box.map(0..<4096, bench.dma)
    try bench.dma.setMask(DMAMask(bitCount: 24))
    held.removeAll()
  }

  @Test(arguments: Setup.allCases)
  func `empty ranges and ranges outside of the buffer give the buffer back`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    var buffer = try StreamingBuffer(byteCount: 100, for: bench.dma)
    for (range, expected) in [
      (0..<0, DMAError.emptyRequest), (100..<100, .emptyRequest),
      (0..<101, .outOfBounds(offset: 0, byteCount: 101, limit: 100)),
      (-1..<5, .outOfBounds(offset: -1, byteCount: 6, limit: 100)),
      (50..<Int.max, .outOfBounds(offset: 50, byteCount: .max - 50, limit: 100)),
    ] {
      switch buffer.map(ToDevice.self, bytes: range, for: bench.dma) {
      case .mapped(let mapping):
        Issue.record("\(range) was mapped")
        buffer = mapping.unmap()
      case .failed(let same, let error):
        #expect(error == expected)
        buffer = same
      }
    }
  }

  @Test func `buffers of no bytes, or of more than there are, are typed errors`() throws {
    let machine = try SimulatedMachine()
    func request(_ byteCount: Int, alignment: Int = 4096) -> DMAError? {
      do throws(DMAError) {
        _ = try StreamingBuffer(
          byteCount: byteCount, in: machine.platform, alignment: alignment)
        return nil
      } catch { return error }
    }
    #expect(request(0) == .emptyRequest)
    #expect(request(-5) == .emptyRequest)
    #expect(request(.max)?.isTransient == false)
    #expect(request(1, alignment: 3) == .invalidAlignment(3, limit: 1 << 62))
    #expect(request(1, alignment: 0) == .invalidAlignment(0, limit: 1 << 62))
    #expect(request(1, alignment: 1 << 20) == nil)
  }

  @Test(arguments: Setup.allCases)
  func `after removal maps fail, unmaps still give the memory back`(setup: Setup) throws {
    let bench = try setup.make()
    let kept = try StreamingBuffer(byteCount: 100, for: bench.dma)
    let live = try StreamingBuffer(byteCount: 100, for: bench.dma)
      .map(FromDevice.self, for: bench.dma).get()
    bench.device.remove()
    switch kept.map(ToDevice.self, for: bench.dma) {
    case .mapped: Issue.record("mapped for a removed device")
    case .failed(_, let error): #expect(error == .deviceRemoved)
    }
    let back = live.unmap()
    let count = back.byteCount
    #expect(count == 100)
  }

  @Test(arguments: Setup.allCases)
  func `a loan ends its mapping with its scope, and the bytes are there`(setup: Setup) throws {
    let bench = try setup.make()
    let recorder = EventRecorder()
    recorder.observe(bench.dma)
    var buffer = try StreamingBuffer(byteCount: 64, for: bench.dma)
    try lend(&buffer, bench)
    let second = byte(buffer, at: 1)
    #expect(second == 0x5a)
    #expect(recorder.kinds() == [.deviceAdded, .map, .unmap])
    #expect(recorder.records[1].byteCount == 63)
  }

  @Test(arguments: Setup.allCases)
  func `a dropped mapping is told, held back, and given back when the device is quiet`(
    setup: Setup
  ) throws {
    let bench = try setup.make()
    let recorder = EventRecorder()
    recorder.observe(bench.dma)
    let before = bench.freeByteCount
    var address: UInt64 = 0
    do {
      let mapping = try StreamingBuffer(byteCount: 100, for: bench.dma)
        .map(FromDevice.self, for: bench.dma).get()
      address = mapping.address.rawValue
    }
    #expect(recorder.kinds() == [.deviceAdded, .map, .dropped])
    #expect(recorder.records[2].address == address)
    #expect(bench.dma.quarantined == (mappingCount: 1, byteCount: 100))
    // The device may still write: nobody else has got the memory.
    #expect(bench.probe.write(address, [1, 2, 3]))
    let other = try StreamingBuffer(byteCount: 4096, for: bench.dma)
    let untouched = byte(other, at: 0)
    #expect(untouched == 0)
    _ = consume other
    bench.device.disableBusMastering()
    #expect(bench.dma.quarantined == (mappingCount: 0, byteCount: 0))
    #expect(bench.freeByteCount == before)
    #expect(!bench.probe.write(address, [1]))
  }

  @Test(arguments: Setup.allCases)
  func `buffers and mappings may outlive device, machine handle and platform`(
    setup: Setup
  ) throws {
    var bench: Bench? = try setup.make()
    guard let device = bench?.dma else { return }
    let mapping = try StreamingBuffer(byteCount: 100, for: device)
      .map(Bidirectional.self, for: device).get()
    bench = nil
    let back = mapping.unmap()
    let count = back.byteCount
    #expect(count == 100)
  }

  // MARK: What noncopyable values need

  private func cycle(_ buffer: consuming StreamingBuffer?, _ device: DMADevice) -> StreamingBuffer?
  {
    switch consume buffer {
    case .none: return nil
    case .some(let buffer):
      switch buffer.map(ToDevice.self, for: device) {
      case .mapped(let mapping): return .some(mapping.unmap())
      case .failed: return nil
      }
    }
  }

  private func lend(_ buffer: inout StreamingBuffer, _ bench: Bench) throws {
    let loan = try MappedBytes(&buffer, bytes: 1..<64, FromDevice.self, for: bench.dma)
    let address = loan.address.rawValue
    #expect(bench.probe.write(address, [0x5a]))
  }

  private func wholeAddress(
    _ buffer: inout StreamingBuffer, _ device: DMADevice
  ) throws -> UInt64 {
    let loan = try MappedBytes(&buffer, ToDevice.self, for: device)
    return loan.address.rawValue
  }

  private func move(
    _ buffer: consuming StreamingBuffer, below device: DMADevice
  ) throws -> StreamingBuffer {
    try StreamingBuffer(
      copying: buffer.bytes, in: device.platform, placement: .below(device.mask))
  }

  private func byte(_ buffer: borrowing StreamingBuffer, at index: Int) -> UInt8 {
    precondition(index < buffer.byteCount)
    return unsafe buffer.bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
  }

  private func bytes(_ buffer: borrowing StreamingBuffer) -> [UInt8] {
    (0..<buffer.byteCount).map { byte(buffer, at: $0) }
  }

  private func store(_ buffer: inout StreamingBuffer, _ index: Int, _ value: UInt8) {
    var span = buffer.mutableBytes
    span.storeBytes(of: value, toByteOffset: index, as: UInt8.self)
  }
}

/// A page that can be kept in an array.
private final class StreamingBox {
  private var buffer: StreamingBuffer?
  init(_ device: DMADevice) throws(DMAError) {
    buffer = try StreamingBuffer(byteCount: 4096, for: device)
  }
  /// The bus address, found by mapping it for a moment.
  func address(_ device: DMADevice) -> UInt64 {
    guard let taken = buffer.take() else { return 0 }
    switch taken.map(ToDevice.self, for: device) {
    case .mapped(let mapping):
      let address = mapping.address.rawValue
      buffer = mapping.unmap()
      return address
    case .failed(let same, _):
      buffer = .some(same)
      return 0
    }
  }
  func map(_ bytes: Range<Int>, _ device: DMADevice) throws {
    guard let taken = buffer.take() else { return }
    buffer = try taken.map(ToDevice.self, bytes: bytes, for: device).get().unmap()
  }
}
