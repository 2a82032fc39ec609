import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

struct EduTests {
  @Test func `the device says what QEMU's says`() throws {
    let edu = try EduMachine()
    #expect(edu.device.classCode == 0x00ff00)
    #expect(edu.device.readConfiguration(UInt8.self, at: PCIRegister.revision) == 0x10)
    #expect(edu.registers.byteCount == 1 << 20)
    #expect(edu.registers.read(UInt32.self, at: 0) == 0x0100_00ed)
    edu.registers.write(0x1234_5678 as UInt32, at: 4)
    #expect(edu.registers.read(UInt32.self, at: 4) == ~0x1234_5678)
  }

  @Test func `registers below 0x80 take words of 4 bytes only`() throws {
    let edu = try EduMachine()
    #expect(edu.registers.read(UInt64.self, at: 0) == .max)
    #expect(edu.registers.read(UInt16.self, at: 0) == .max)
    #expect(edu.registers.read(UInt8.self, at: 0x80) == .max)
    edu.registers.write(7 as UInt8, at: 4)
    #expect(edu.registers.read(UInt32.self, at: 4) == 0)
    edu.registers.write(0x1_2345_6789 as UInt64, at: 0x80)
    #expect(edu.registers.read(UInt64.self, at: 0x80) == 0x1_2345_6789)
    #expect(edu.registers.read(UInt32.self, at: 0x80) == 0x2345_6789)
  }

  @Test(arguments: [(0, 1), (1, 1), (5, 120), (12, 479_001_600), (34, 0), (4_000_000_000, 0)])
  func `factorials are computed while the driver waits`(_ number: Int, _ result: Int) throws {
    let edu = try EduMachine()
    edu.registers.write(UInt32(number), at: 8)
    #expect(edu.registers.read(UInt32.self, at: 0x20) & 1 == 1)
    try edu.machine.platform.wait(nanoseconds: 1_000_000) {
      edu.registers.read(UInt32.self, at: 0x20) & 1 == 0
    }
    #expect(edu.registers.read(UInt32.self, at: 8) == UInt32(result))
  }

  @Test func `a factorial signals when it was asked to`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let interrupt = try edu.device.enableMSI()
    edu.registers.write(0x80 as UInt32, at: 0x20)
    edu.registers.write(4 as UInt32, at: 8)
    #expect(!interrupt.deliver())
    try interrupt.wait(nanoseconds: 1_000_000)
    #expect(edu.registers.read(UInt32.self, at: 0x24) == 1)
    edu.registers.write(1 as UInt32, at: 0x64)
    #expect(edu.registers.read(UInt32.self, at: 0x24) == 0)
  }

  @Test func `memory goes through the device's buffer and back`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    try edu.device.dma.setMask(DMAMask(bitCount: 28))
    var source = try StreamingBuffer(byteCount: 4096, for: edu.device.dma)
    var bytes = source.mutableBytes
    for index in 0..<4096 {
      bytes.storeBytes(
        of: UInt8(truncatingIfNeeded: index &* 7), toByteOffset: index, as: UInt8.self)
    }
    let out = try source.map(ToDevice.self, for: edu.device.dma).get()
    try edu.transfer(from: out.address.rawValue, to: 0x40000, byteCount: 4096, toMemory: false)
    _ = out.unmap()
    let target = try StreamingBuffer(byteCount: 4096, for: edu.device.dma)
    let back = try target.map(FromDevice.self, for: edu.device.dma).get()
    try edu.transfer(from: 0x40000, to: back.address.rawValue, byteCount: 4096, toMemory: true)
    let result = back.unmap()
    for index in 0..<4096 {
      #expect(
        unsafe result.bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
          == UInt8(truncatingIfNeeded: index &* 7))
    }
    #expect(edu.machine.incidentCount == 0)
  }

  @Test func `a finished transfer signals by MSI when it was asked to`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let interrupt = try edu.device.enableMSI()
    let memory = try CoherentBuffer<UInt32>(count: 4, for: edu.device.dma)
    memory[0] = 99
    edu.registers.write(memory.address.rawValue, at: 0x80)
    edu.registers.write(0x40000 as UInt64, at: 0x88)
    edu.registers.write(16 as UInt64, at: 0x90)
    // The default mask is 28 bits and this memory is below 4 GiB but may be above that.
    edu.registers.write(5 as UInt64, at: 0x98)
    try interrupt.wait(nanoseconds: 10_000_000)
    #expect(edu.registers.read(UInt32.self, at: 0x24) == 0x100)
    #expect(edu.registers.read(UInt64.self, at: 0x98) & 1 == 0)
    #expect(!interrupt.deliver())
  }

  @Test func `a running transfer cannot be changed`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    edu.registers.write(0x200_0000 as UInt64, at: 0x80)
    edu.registers.write(0x40000 as UInt64, at: 0x88)
    edu.registers.write(16 as UInt64, at: 0x90)
    edu.registers.write(1 as UInt64, at: 0x98)
    edu.registers.write(1 as UInt64, at: 0x80)
    #expect(edu.registers.read(UInt64.self, at: 0x80) == 0x200_0000)
  }

  @Test func `addresses above 28 bits are silently clamped and the machine notices`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let low = try StreamingBuffer(
      byteCount: 4096, in: edu.machine.platform, placement: .below(DMAMask(bitCount: 28)))
    let mapping = try low.map(FromDevice.self, for: edu.device.dma).get()
    let given = mapping.address.rawValue | 1 << 32
    // Fill the device's buffer with something.
    try edu.transfer(from: mapping.address.rawValue, to: 0x40000, byteCount: 8, toMemory: false)
    try edu.transfer(from: 0x40000, to: given, byteCount: 8, toMemory: true)
    let incidents = edu.machine.takeIncidents()
    #expect(incidents.count == 1)
    #expect(incidents.first?.reason == .clamped(given: given))
    #expect(incidents.first?.address == mapping.address.rawValue)
    _ = mapping.unmap()
  }

  @Test func `a wider mask reaches memory above 4 GiB`() throws {
    var options = Edu.Configuration()
    options.mask = .max
    let edu = try EduMachine(.init(), options)
    edu.device.enableBusMastering()
    try edu.device.dma.setMask(.bits64)
    var buffer = try StreamingBuffer(byteCount: 64, in: edu.machine.platform)
    var bytes = buffer.mutableBytes
    bytes.storeBytes(of: 0xfeed_beef, toByteOffset: 0, as: UInt32.self)
    let out = try buffer.map(Bidirectional.self, for: edu.device.dma).get()
    #expect(out.address.rawValue >= 4 << 30)
    try edu.transfer(from: out.address.rawValue, to: 0x40000, byteCount: 4, toMemory: false)
    try edu.transfer(
      from: 0x40000, to: out.address.rawValue + 32, byteCount: 4, toMemory: true)
    let result = out.unmap()
    #expect(unsafe result.bytes.unsafeLoad(fromByteOffset: 32, as: UInt32.self) == 0xfeed_beef)
    #expect(edu.machine.incidentCount == 0)
  }

  @Test(arguments: [(0x40000, 4097), (0x40fff, 2), (0x3ffff, 1), (0x41001, 0), (0, 16)])
  func `a transfer that overruns the device's buffer is refused`(
    _ inner: Int, _ byteCount: Int
  ) throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    try edu.transfer(
      from: 0x200_0000, to: UInt64(inner), byteCount: byteCount, toMemory: false)
    let incidents = edu.machine.takeIncidents()
    #expect(incidents.map(\.reason) == [.outOfDeviceRange])
    #expect(incidents.first?.address == UInt64(inner))
  }

  @Test func `without bus mastering reads give all ones and writes are lost`() throws {
    let edu = try EduMachine()
    try edu.device.dma.setMask(DMAMask(bitCount: 28))
    let memory = try CoherentBuffer<UInt64>(count: 8, for: edu.device.dma)
    memory[0] = 0x1111
    try edu.transfer(from: memory.address.rawValue, to: 0x40000, byteCount: 8, toMemory: false)
    try edu.transfer(from: 0x40000, to: memory.address.rawValue, byteCount: 8, toMemory: true)
    #expect(memory[0] == 0x1111)
    #expect(edu.machine.takeIncidents().map(\.reason) == [.busMasterOff, .busMasterOff])
    edu.device.enableBusMastering()
    try edu.transfer(from: 0x40000, to: memory.address.rawValue, byteCount: 8, toMemory: true)
    // What it read while it was off.
    #expect(memory[0] == .max)
  }

  @Test func `without bus mastering an MSI is lost as well`() throws {
    let edu = try EduMachine()
    let interrupt = try edu.device.enableMSI()
    edu.registers.write(1 as UInt32, at: 0x60)
    #expect(!interrupt.deliver())
    edu.device.enableBusMastering()
    edu.registers.write(1 as UInt32, at: 0x60)
    #expect(interrupt.deliver())
  }

  @Test func `DMA to where nothing is reads all ones and is recorded`() throws {
    var options = Edu.Configuration()
    options.mask = .max
    let edu = try EduMachine(.init(), options)
    edu.device.enableBusMastering()
    // The hole below 4 GiB, and the end of RAM.
    for address in [0xd000_0000, 0x4000_0000_0000, .max - 3, 0xbfff_fffe] as [UInt64] {
      try edu.transfer(from: address, to: 0x40000, byteCount: 8, toMemory: false)
    }
    #expect(
      edu.machine.takeIncidents().map(\.reason) == [.noMemory, .noMemory, .noMemory, .noMemory])
  }
}
