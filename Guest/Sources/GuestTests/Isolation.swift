import DMA
import DMATrace
import Drivers
import Glibc
import PCI
import VFIOMachine

/// What a device cannot do to memory in `perCall` mode (R3, R4, R77).
///
/// The device says that a refused transfer succeeded, so only memory tells.
enum Isolation {
  /// Bytes of a transfer.
  private static let count = 2048

  static func run(_ address: PCIAddress, _ checks: Checks, trace: String?) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    let recorder = Recorder(
      EventText(device: "\(address)", program: "GuestTests", process: getpid()))
    edu.device.dma.setObserver(recorder.observer)
    checks.expect("perCall: only the reserve is reachable", machine.entryCount == 1)
    do {
      try fillDevice(0xaa, machine, edu)
      try control(machine, edu, checks)
      try outside(machine, edu, checks)
      try readOnly(machine, edu, checks)
      try afterUnmap(machine, edu, checks)
    } catch {
      abandon("isolation: \(error)")
    }
    checks.expect("R3: no entry is left but the reserve's", machine.entryCount == 1)
    if let trace { write(recorder.text, to: trace) }
  }

  /// Three pages full of one byte.
  static func canvas(_ byte: UInt8, _ machine: VFIOMachine) throws -> StreamingBuffer {
    var buffer = try StreamingBuffer(byteCount: 3 * 4096, in: machine.platform)
    var bytes = buffer.mutableBytes
    for index in 0..<3 * 4096 {
      bytes.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    }
    return buffer
  }

  private static func differing(_ buffer: borrowing StreamingBuffer, from byte: UInt8) -> Int {
    let bytes = buffer.bytes
    var count = 0
    for index in 0..<bytes.byteCount
    where unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) != byte {
      count += 1
    }
    return count
  }

  /// Gives the device's own buffer something that is in no memory that is looked at.
  private static func fillDevice(
    _ byte: UInt8, _ machine: VFIOMachine, _ edu: EduDevice
  ) throws {
    let mapping = try canvas(byte, machine).map(ToDevice.self, for: edu.device.dma).get()
    try edu.write(from: mapping.address, byteCount: count)
    _ = mapping.unmap()
  }

  /// What is allowed does change memory: the tests below could fail.
  private static func control(
    _ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks
  ) throws {
    let mapping = try canvas(1, machine).map(
      FromDevice.self, bytes: 4096..<8192, for: edu.device.dma
    ).get()
    try edu.read(to: mapping.address, byteCount: count)
    let buffer = mapping.unmap()
    let changed = differing(buffer, from: 1)
    checks.expect("DMA inside of a mapping changes memory", changed == count, "\(changed) bytes")
  }

  private static func outside(
    _ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks
  ) throws {
    let mapping = try canvas(2, machine).map(
      FromDevice.self, bytes: 4096..<8192, for: edu.device.dma
    ).get()
    let address = mapping.address.rawValue
    try edu.read(to: DMAAddress(rawValue: address + 4096), byteCount: count)
    try edu.read(to: DMAAddress(rawValue: address - 4096), byteCount: count)
    let buffer = mapping.unmap()
    let changed = differing(buffer, from: 2)
    checks.expect(
      "DMA behind and in front of a mapping changes nothing", changed == 0, "\(changed) bytes")
    say("faults: outside 0x\(String(address + 4096, radix: 16))")
  }

  private static func readOnly(
    _ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks
  ) throws {
    let mapping = try canvas(3, machine).map(ToDevice.self, for: edu.device.dma).get()
    let address = mapping.address
    try edu.read(to: address, byteCount: count)
    let buffer = mapping.unmap()
    let changed = differing(buffer, from: 3)
    checks.expect(
      "R77 DMA to a read-only mapping changes nothing", changed == 0, "\(changed) bytes")
    say("faults: read-only \(address)")
  }

  private static func afterUnmap(
    _ machine: VFIOMachine, _ edu: EduDevice, _ checks: Checks
  ) throws {
    let mapping = try canvas(4, machine).map(FromDevice.self, for: edu.device.dma).get()
    let address = mapping.address
    let buffer = mapping.unmap()
    try edu.read(to: address, byteCount: count)
    let changed = differing(buffer, from: 4)
    checks.expect("R4 DMA after the unmap changes nothing", changed == 0, "\(changed) bytes")
    say("faults: after-unmap \(address)")
  }
}

/// Keeps a device's events as lines of a trace.
final class Recorder {
  private let words: EventText
  private(set) var text = ""

  init(_ words: EventText) { self.words = words }

  var observer: DMAObserver {
    // SAFETY: the observer holds self, so the context stays valid.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    return unsafe DMAObserver(
      receive: { context, event in
        // SAFETY: the context is the recorder, the event is valid during the call.
        let recorder = unsafe Unmanaged<Recorder>.fromOpaque(context).takeUnretainedValue()
        let event = unsafe event.assumingMemoryBound(to: DMAEvent.self).pointee
        if let line = recorder.words.line(event, nanoseconds: monotonicNanoseconds()) {
          recorder.text += line + "\n"
        }
      }, context: context, owner: self)
  }
}
