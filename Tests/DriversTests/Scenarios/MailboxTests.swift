import DMA
import Drivers
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// A SCSI-like adapter: it reads a command and its scatter list from a mailbox in memory.
///
/// The mailbox: direction and count in 32 bits each, status in 32 and four unused bytes, then
/// address and length in 64 bits each for every segment.
private final class MailboxAdapter: SimulatedDevice {
  private var mailbox: UInt64 = 0
  /// What the last command that reads memory brought.
  private(set) var taken: [UInt8] = []

  init() {
    super.init(
      identity: PCIIdentity(vendorID: 0x1234, deviceID: 0x5c51, classCode: 0x01_0000),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)])
  }

  override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    if offset == 0 { mailbox = value } else { schedule(after: 5_000) }
  }

  override func step(now: UInt64, tag: UInt64) {
    let head = words(mailbox, 2)
    let direction = UInt32(truncatingIfNeeded: head[0])
    let count = Int(head[0] >> 32)
    var next: UInt8 = 0
    if direction != 2 { taken = [] }
    for index in 0..<count {
      let segment = words(mailbox + 16 + UInt64(index) * 16, 2)
      var bytes = [UInt8](repeating: 0, count: Int(segment[1]))
      if direction == 2 {
        // A read from the disk: bytes that count on over all segments.
        for place in bytes.indices {
          bytes[place] = next
          next &+= 1
        }
        _ = unsafe bytes.withUnsafeBytes { unsafe writeMemory(segment[0], from: $0) }
      } else {
        _ = unsafe bytes.withUnsafeMutableBytes { unsafe readMemory(segment[0], into: $0) }
        taken += bytes
      }
    }
    var status: UInt32 = 1
    unsafe withUnsafeBytes(of: &status) { _ = unsafe writeMemory(mailbox + 8, from: $0) }
  }

  private func words(_ address: UInt64, _ count: Int) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: count)
    _ = unsafe words.withUnsafeMutableBytes { unsafe readMemory(address, into: $0) }
    return words
  }
}

@Suite struct MailboxTests {
  /// Gives a command with a list to the adapter and waits.
  private func run<Direction: TransferDirection>(
    _ list: consuming ScatterBuffer, _ direction: Direction.Type, code: UInt64, _ pci: PCIDevice,
    _ mailbox: borrowing CoherentBuffer<UInt64>
  ) throws -> ScatterBuffer {
    let mapping = try list.map(direction, for: pci.dma).get()
    // R88: as many segments as mapping came to, not as the list has entries (R91).
    for index in 0..<mapping.segmentCount {
      mailbox[2 + index * 2] = mapping.segment(at: index).address.rawValue
      mailbox[3 + index * 2] = UInt64(mapping.segment(at: index).byteCount)
    }
    mailbox[1] = 0
    mailbox[0] = code | UInt64(mapping.segmentCount) << 32
    let registers = try pci.mapBAR(0)
    registers.write(mailbox.address.rawValue, at: 0)
    registers.write(1 as UInt64, at: 8)
    try pci.dma.platform.wait(nanoseconds: 900_000_000) { mailbox[1] & 0xffff_ffff != 0 }
    // R92: the list ends with its own entries, whatever the count was.
    return mapping.unmap()
  }

  @Test(arguments: Setup.allCases)
  func `E5 R35 R80 R88 R92 commands of 1 to 128 entries go through a mailbox`(setup: Setup) throws {
    var random = SeededGenerator()
    let machine = try setup.machine(seed: random.next())
    let adapter = MailboxAdapter()
    let opened = try setup.open(machine, try machine.attach(adapter))
    let pci = opened.device
    pci.enableBusMastering()
    let counter = LiveCounter(pci.dma)
    do {
      let mailbox = try CoherentBuffer<UInt64>(count: 2 + 128 * 2, for: pci.dma)
      for entryCount in [1, 2, 3, 31, 128] {
        // The command's own numbers: 0 unknown, 1 write, 2 read.
        for code in 0...2 {
          let direction = try #require(DMADirection(scsiDataDirection: code))
          var list = ScatterBuffer(capacity: entryCount)
          var bytes: [UInt8] = []
          for _ in 0..<entryCount {
            let length = Int.random(in: 1...4096, using: &random)
            let part = Bench.pattern(length, seed: UInt8.random(in: 0...255, using: &random))
            let buffer = try unsafe StreamingBuffer(
              copying: part.span.bytes, in: machine.platform, placement: .below(.bits32))
            list.append(buffer)
            bytes += part
          }
          let code64 = UInt64(code)
          let back =
            switch direction {
            case .toDevice: try run(list, ToDevice.self, code: code64, pci, mailbox)
            case .fromDevice: try run(list, FromDevice.self, code: code64, pci, mailbox)
            case .bidirectional: try run(list, Bidirectional.self, code: code64, pci, mailbox)
            }
          check(back.entryCount == entryCount && back.byteCount == bytes.count)
          if direction == .fromDevice {
            var next: UInt8 = 0
            for index in 0..<entryCount {
              let span = back.bytes(of: index)
              for offset in 0..<span.byteCount {
                let byte = unsafe span.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                guard byte == next else {
                  Issue.record("entry \(index), byte \(offset)")
                  return
                }
                next &+= 1
              }
            }
          } else {
            #expect(adapter.taken == bytes)
          }
        }
      }
    }
    #expect(counter.live == 0 && counter.counts.dropped == 0)
    #expect(machine.incidentCount == 0)
    withExtendedLifetime(opened.kept) {}
  }

  @Test func `E5 R80 a command without a data phase has no direction`() {
    #expect(DMADirection(scsiDataDirection: 3) == nil)
    #expect(DMADirection(scsiDataDirection: 4) == nil)
  }
}
