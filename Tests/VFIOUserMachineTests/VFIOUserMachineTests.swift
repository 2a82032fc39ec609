import DMA
import DMAMapping
import Drivers
import PCI
import Synchronization
import TestSupport
import Testing
import VFIOUserMachine

/// An edu device behind a socket, the machine in front of it, and what the server saw.
final class ServedEdu {
  let machine: VFIOUserMachine
  private let listener: Listener
  private let box: EduServer.RecordBox

  init(
    _ options: EduServer.Options = .init(),
    _ change: (inout VFIOUserMachine.Configuration) -> Void = { _ in }
  ) throws {
    let box = EduServer.RecordBox()
    listener = try Listener { socket in EduServer(socket, options, box).run() }
    self.box = box
    var configuration = VFIOUserMachine.Configuration(path: listener.path)
    configuration.memoryByteCount = 64 << 20
    change(&configuration)
    machine = try VFIOUserMachine(configuration)
  }

  func device(_ mapping: DMAMapping? = nil) throws -> PCIDevice {
    try PCIDevice(
      host: machine.pci, address: VFIOUserMachine.deviceAddress,
      mapping: mapping ?? DirectMapping.make(for: machine.platform))
  }

  var record: EduServer.Record { box.value.withLock { $0 } }

  /// Ends the machine and gives what the server saw to the end.
  func finish() -> EduServer.Record {
    machine.stop()
    listener.join()
    return record
  }
}

/// The client against a server that follows the specification, with an edu device behind it and
/// the driver that runs on every other machine.
@Suite(.serialized)
struct VFIOUserMachineTests {
  private func copy(_ served: ServedEdu, _ edu: EduDevice, byteCount: Int) throws {
    var random = SeededGenerator()
    var source = try StreamingBuffer(byteCount: byteCount, in: served.machine.platform)
    let bytes = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
    var span = source.mutableBytes
    for (index, byte) in bytes.enumerated() {
      span.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    }
    var destination = try StreamingBuffer(byteCount: byteCount, in: served.machine.platform)
    try edu.copy(&source, to: &destination)
    let result = destination.bytes
    // SAFETY: offsets run over the span's own bytes.
    #expect(
      (0..<byteCount).map { unsafe result.unsafeLoad(fromByteOffset: $0, as: UInt8.self) } == bytes)
  }

  @Test(
    arguments: [VFIOUserMachine.MemoryAccess.shared, .messages],
    [EduDevice.Completion.polling, .interrupt])
  func `R1 a driver moves bytes by shared descriptor and by message, and interrupts arrive`(
    _ access: VFIOUserMachine.MemoryAccess, _ completion: EduDevice.Completion
  ) throws {
    let accesses = Mutex<[VFIOUserMachine.Access]>([])
    for isLate in [false, true] {
      var options = EduServer.Options()
      options.isTransferLate = isLate
      let served = try ServedEdu(options) { configuration in
        configuration.memoryAccess = access
        configuration.accessObserver = { seen in accesses.withLock { $0.append(seen) } }
      }
      do {
        let edu = try EduDevice(served.device(), completion: completion)
        #expect(edu.identification == 0x0100_00ed)
        #expect(try edu.factorial(of: 5) == 120)
        try copy(served, edu, byteCount: 10_000)
        edu.device.remove()
      }
      #expect(served.machine.failure == nil && served.machine.refusalCount == 0)
      let record = served.finish()
      #expect(record.complaints == [])
      #expect(record.dmaErrors == [])
      #expect(record.mapsWithDescriptor == (access == .shared ? 1 : 0))
      #expect(record.mapsWithout == (access == .shared ? 0 : 1))
      #expect(record.unmaps == 1)
    }
    // Three pieces in and three out, twice; shared memory tells nobody.
    let seen = accesses.withLock { $0 }
    #expect(seen.count == (access == .shared ? 0 : 12))
    #expect(seen.allSatisfy { !$0.isRefused })
    #expect(seen.filter(\.isWrite).count * 2 == seen.count)
  }

  @Test func `memory below and from 4 GiB is given in two pieces, and bounce buffers work`() throws
  {
    let served = try ServedEdu { configuration in
      configuration.lowMemoryByteCount = 32 << 20
    }
    var options = BounceMapping.Options()
    options.slotCount = 256
    options.limit = EduDevice.defaultMask
    let bounce = try BounceMapping(platform: served.machine.platform, options: options)
    let edu = try EduDevice(served.device(bounce.mapping))
    var high = try StreamingBuffer(
      byteCount: 4000, in: served.machine.platform, placement: .high)
    var destination = try StreamingBuffer(
      byteCount: 4000, in: served.machine.platform, placement: .high)
    var span = high.mutableBytes
    for index in 0..<4000 {
      span.storeBytes(of: UInt8(truncatingIfNeeded: index), toByteOffset: index, as: UInt8.self)
    }
    try edu.copy(&high, to: &destination)
    let result = destination.bytes
    // SAFETY: offsets run over the span's own bytes.
    #expect(
      (0..<4000).allSatisfy {
        unsafe result.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
          == UInt8(truncatingIfNeeded: $0)
      })
    #expect(bounce.statistics.bytesIn > 0)
    edu.device.remove()
    let record = served.finish()
    #expect(record.complaints == [] && record.mapsWithDescriptor == 2 && record.unmaps == 2)
  }

  @Test func `an access outside of memory is refused, and the device goes on`() throws {
    let accesses = Mutex<[VFIOUserMachine.Access]>([])
    let served = try ServedEdu { configuration in
      configuration.memoryAccess = .messages
      configuration.accessObserver = { seen in accesses.withLock { $0.append(seen) } }
    }
    let edu = try EduDevice(served.device(), mask: .bits64)
    // The first byte beyond memory, and bytes on both sides of its end.
    try edu.read(to: DMAAddress(rawValue: 64 << 20), byteCount: 8)
    try edu.write(from: DMAAddress(rawValue: 64 << 20 - 4), byteCount: 8)
    try edu.read(to: DMAAddress(rawValue: .max - 7), byteCount: 8)
    #expect(served.record.dmaErrors == [14, 14, 14])
    #expect(accesses.withLock { $0.filter(\.isRefused).count } == 3)
    try copy(served, edu, byteCount: 100)
    edu.device.remove()
    #expect(served.finish().complaints == [])
  }

  @Test func `registers the server shares are memory, the others messages`() throws {
    let served = try ServedEdu()
    let device = try served.device()
    let window = try device.mapBAR(2)
    // 0x3000 bytes, and a BAR is a power of two.
    #expect(window.byteCount == 0x4000)
    #expect(served.machine.isMapped(bar: 2, offset: 0x1000))
    #expect(!served.machine.isMapped(bar: 2, offset: 0))
    #expect(!served.machine.isMapped(bar: 2, offset: 0x2000))
    let before = served.machine.messageCount
    window.write(0x1122_3344_5566_7788 as UInt64, at: 0x1ff8)
    window.write(0x99 as UInt8, at: 0x1fff)
    #expect(window.read(UInt32.self, at: 0x1ffc) == 0x9922_3344)
    #expect(window.read(UInt16.self, at: 0x1ff8) == 0x7788)
    #expect(served.machine.messageCount == before)
    // Beyond the region nobody answers, and nobody is asked.
    #expect(window.read(UInt32.self, at: 0x3000) == .max)
    window.write(1 as UInt32, at: 0x3ffc)
    #expect(served.machine.messageCount == before)
    // Registers the server does not have.
    #expect(window.read(UInt32.self, at: 0x2000) == .max)
    #expect(served.machine.refusalCount == 1)
    #expect(served.machine.lastRefusal == .refused(.regionRead, code: 22))
    #expect(served.machine.failure == nil)
    device.remove()
    #expect(served.finish().complaints == [])
  }

  @Test func `without descriptors all registers are messages`() throws {
    var options = EduServer.Options()
    options.tamper = { command, reply in if command == 5 { reply.descriptors = [] } }
    let served = try ServedEdu(options)
    let window = try served.device().mapBAR(2)
    #expect(!served.machine.isMapped(bar: 2, offset: 0x1000))
    window.write(0xabcd_ef01 as UInt32, at: 0x1000)
    #expect(window.read(UInt32.self, at: 0x1000) == 0xabcd_ef01)
    #expect(served.finish().complaints == [])
  }

  @Test(arguments: [false, true], [false, true])
  func `MSI-X vectors are set up one by one or all at once, with or without a table`(
    _ isFixedSet: Bool, _ hasTable: Bool
  ) throws {
    var options = EduServer.Options()
    options.isFixedSet = isFixedSet
    options.hasTableRegisters = hasTable
    options.isMaskable = !isFixedSet
    let served = try ServedEdu(options)
    let device = try served.device()
    let count = Mutex(0)
    let other = try device.enableMSIX(vector: 2)
    let interrupt = try device.enableMSIX(vector: 0) { count.withLock { $0 += 1 } }
    #expect(throws: PCIError.noVector(index: 4, count: 4)) {
      _ = try device.enableMSIX(vector: 4)
    }
    device.enableBusMastering()
    let registers = try device.mapBAR(0)
    for number in 1...3 {
      // A transfer of nothing that interrupts when it is done.
      registers.write(0x40000 as UInt64, at: 0x80)
      registers.write(0 as UInt64, at: 0x88)
      registers.write(0 as UInt64, at: 0x90)
      registers.write(7 as UInt64, at: 0x98)
      try interrupt.wait(nanoseconds: 1_000_000_000)
      #expect(count.withLock { $0 } == number)
      #expect(!interrupt.deliver() && !other.deliver())
    }
    #expect(served.machine.failure == nil && served.machine.refusalCount == 0)
    device.remove()
    let record = served.finish()
    #expect(record.complaints == [])
    #expect(record.unmaskedVectors == (isFixedSet ? [] : [2, 0]))
  }

  @Test func `a reset is a message, and a device without one says so`() throws {
    let served = try ServedEdu()
    try served.machine.reset()
    #expect(served.finish().resetCount == 1)
    #expect(throws: VFIOUserError.stopped) { try served.machine.reset() }
    var options = EduServer.Options()
    options.hasReset = false
    let without = try ServedEdu(options)
    #expect(throws: VFIOUserError.noReset) { try without.machine.reset() }
    #expect(without.finish().resetCount == 0)
  }

  @Test(arguments: [
    "", "{}", #"{"capabilities":{}}"#,
    #"{"capabilities":{"max_msg_fds":1,"max_data_xfer_size":4,"pgsizes":4096}}"#,
    #"{ "other":[1,-2.5e3,"x\"y",null], "capabilities":{"migration":{"pgsize":4096},"#
      + #""twin_socket":{"supported":false},"write_multiple":true,"max_dma_maps":65535}}"#,
  ])
  func `capabilities that are absent, small or unknown do not matter`(_ text: String) throws {
    var options = EduServer.Options()
    options.capabilities = text
    options.minor = 0
    let served = try ServedEdu(options)
    do {
      let edu = try EduDevice(served.device(), completion: .interrupt)
      try copy(served, edu, byteCount: 300)
      edu.device.remove()
    }
    #expect(served.machine.failure == nil)
    #expect(served.finish().complaints == [])
  }

  @Test func `when the server dies, registers read as all ones and calls fail at once`() throws {
    let isDying = Mutex(false)
    var options = EduServer.Options()
    options.tamper = { _, reply in if isDying.withLock({ $0 }) { reply.closes = true } }
    let served = try ServedEdu(options)
    let device = try served.device()
    let registers = try device.mapBAR(0)
    #expect(registers.read(UInt32.self, at: 0) == 0x0100_00ed)
    isDying.withLock { $0 = true }
    // Its last answer arrives, the next one does not.
    #expect(registers.read(UInt32.self, at: 0) == 0x0100_00ed)
    #expect(registers.read(UInt32.self, at: 0) == .max)
    #expect(served.machine.failure == .closed)
    let clock = ContinuousClock()
    let time = clock.measure {
      for _ in 0..<100 { #expect(registers.read(UInt64.self, at: 0x80) == .max) }
      registers.write(1 as UInt32, at: 4)
    }
    #expect(time < .milliseconds(500))
    #expect(device.vendorID == 0xffff)
    #expect(throws: PCIError.noDevice(VFIOUserMachine.deviceAddress)) { _ = try served.device() }
    // Memory is the machine's own and stays.
    #expect(throws: Never.self) {
      _ = try StreamingBuffer(byteCount: 4096, in: served.machine.platform)
    }
    _ = served.finish()
  }
}
