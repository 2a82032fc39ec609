import DMA
import DMAMapping
import Glibc
import PCI
import SimulatedMachine
import Testing

struct MachineTests {
  @Test func `the highest address of memory lies above the hole`() throws {
    let machine = try SimulatedMachine()
    #expect(unsafe machine.platform.unsafeCore.pointee.highestAddress == 7 << 30 - 1)
    #expect(unsafe machine.platform.unsafeCore.pointee.lowestLimit == 0xff_ffff)
  }

  @Test func `the same seed gives the same times and another one others`() throws {
    func times(_ seed: UInt64) throws -> [UInt64] {
      var configuration = SimulatedMachine.Configuration()
      configuration.seed = seed
      let edu = try EduMachine(configuration)
      edu.device.enableBusMastering()
      return try (0..<8).map { _ in
        try edu.transfer(from: 0x200_0000, to: 0x40000, byteCount: 64, toMemory: false)
        return edu.machine.platform.nanoseconds
      }
    }
    #expect(try times(5) == times(5))
    #expect(try times(5) != times(6))
  }

  @Test func `time passes with nothing to do, and by looking`() throws {
    let machine = try SimulatedMachine()
    let start = machine.platform.nanoseconds
    machine.platform.relax()
    #expect(machine.platform.nanoseconds > start)
    #expect(throws: DMAError.timedOut) {
      try machine.platform.wait(nanoseconds: 10_000_000_000) { false }
    }
    let before = machine.platform.nanoseconds
    var rounds = 0
    while machine.platform.nanoseconds - before < 100_000, rounds < 1_000_000 { rounds += 1 }
    #expect(rounds < 1_000_000)
  }

  @Test func `configuration space answers to sizing as hardware does`() throws {
    let edu = try EduMachine()
    let device = edu.device
    let bar: UInt32 = device.readConfiguration(at: PCIRegister.bar0)
    #expect(bar != 0 && bar & 0xf_ffff == 0)
    device.writeConfiguration(UInt32.max, at: PCIRegister.bar0)
    #expect(device.readConfiguration(UInt32.self, at: PCIRegister.bar0) == 0xfff0_0000)
    device.writeConfiguration(UInt32.max, at: PCIRegister.bar0 + 4)
    #expect(device.readConfiguration(UInt32.self, at: PCIRegister.bar0 + 4) == 0)
    device.writeConfiguration(bar, at: PCIRegister.bar0)
    #expect(edu.registers.read(UInt32.self, at: 0) == 0x0100_00ed)
    // Identity cannot be written; nobody answers elsewhere.
    device.writeConfiguration(0 as UInt32, at: 0)
    #expect(device.vendorID == 0x1234)
    #expect(
      edu.machine.pci.readConfiguration(UInt32.self, PCIAddress(bus: 0, device: 31), at: 0) == .max)
    #expect(
      edu.machine.pci.readConfiguration(UInt32.self, PCIAddress(bus: 1, device: 1), at: 0) == .max)
  }

  @Test func `registers answer only where their BAR is and while decoding is on`() throws {
    let edu = try EduMachine()
    let bar: UInt32 = edu.device.readConfiguration(at: PCIRegister.bar0)
    edu.device.writeConfiguration(bar + 0x10_0000, at: PCIRegister.bar0)
    #expect(edu.registers.read(UInt32.self, at: 0) == .max)
    let moved = try edu.device.mapBAR(0)
    #expect(moved.read(UInt32.self, at: 0) == 0x0100_00ed)
    edu.device.writeConfiguration(0 as UInt16, at: PCIRegister.command)
    #expect(moved.read(UInt32.self, at: 0) == .max)
  }

  @Test func `several devices have places of their own and interrupts of their own`() throws {
    let machine = try SimulatedMachine()
    for _ in 0..<3 { try machine.attach(Edu()) }
    let mapping = DirectMapping.make(for: machine.platform)
    let devices = try machine.pci.scan().map {
      try PCIDevice(host: machine.pci, address: $0, mapping: mapping)
    }
    #expect(devices.count == 3)
    let windows = try devices.map { try $0.mapBAR(0) }
    let interrupts = try devices.map {
      $0.enableBusMastering()
      return try $0.enableMSI()
    }
    for (index, window) in windows.enumerated() { window.write(UInt32(index), at: 4) }
    for (index, window) in windows.enumerated() {
      #expect(window.read(UInt32.self, at: 4) == ~UInt32(index))
    }
    windows[1].write(1 as UInt32, at: 0x60)
    #expect(interrupts.map { $0.deliver() } == [false, true, false])
  }

  @Test func `a vector that was given back fires for nobody`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    do { _ = try edu.device.enableMSI() }
    edu.registers.write(1 as UInt32, at: 0x60)
    #expect(edu.machine.spuriousInterruptCount == 1)
    let next = try edu.device.enableMSI()
    #expect(!next.deliver())
  }

  @Test func `vectors run out with a typed error and come back`() throws {
    let edu = try EduMachine()
    var interrupts: [PCIInterrupt] = []
    #expect(throws: PCIError.machine(.machine(code: 28))) {
      while true { interrupts.append(try edu.device.enableMSI()) }
    }
    #expect(interrupts.count == 8 * 224)
    interrupts.removeLast()
    interrupts.append(try edu.device.enableMSI())
  }

  @Test func `a device that is pulled out reads as all ones and reaches nothing`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let memory = try CoherentBuffer<UInt64>(count: 1, for: edu.device.dma)
    edu.registers.write(0x40000 as UInt64, at: 0x80)
    edu.registers.write(memory.address.rawValue, at: 0x88)
    edu.registers.write(8 as UInt64, at: 0x90)
    memory[0] = 42
    edu.registers.write(3 as UInt64, at: 0x98)
    try edu.machine.detach(edu.device.address)
    #expect(edu.registers.read(UInt64.self, at: 0x98) == .max)
    #expect(edu.device.vendorID == 0xffff)
    for _ in 0..<100 { edu.machine.platform.relax() }
    #expect(memory[0] == 42)
    #expect(throws: SimulatedMachineError.noDevice(edu.device.address)) {
      try edu.machine.detach(edu.device.address)
    }
  }

  @Test func `places on the bus and devices are used once`() throws {
    let machine = try SimulatedMachine()
    let edu = Edu()
    let address = PCIAddress(bus: 0, device: 5, function: 0)
    #expect(try machine.attach(edu, at: address) == address)
    #expect(throws: SimulatedMachineError.slotTaken(address)) {
      try machine.attach(Edu(), at: address)
    }
    #expect(throws: SimulatedMachineError.deviceInUse) { try machine.attach(edu) }
    #expect(throws: SimulatedMachineError.noSlot) {
      try machine.attach(Edu(), at: PCIAddress(bus: 1, device: 0))
    }
    #expect(machine.pci.scan() == [address])
  }

  @Test func `buffers outlive their machine`() throws {
    var buffer: StreamingBuffer
    do {
      let machine = try SimulatedMachine()
      buffer = try StreamingBuffer(byteCount: 4096, in: machine.platform)
    }
    var bytes = buffer.mutableBytes
    bytes.storeBytes(of: 5, toByteOffset: 0, as: UInt64.self)
    #expect(unsafe buffer.bytes.unsafeLoad(as: UInt64.self) == 5)
  }

  @Test func `a 64 GiB machine stays small`() throws {
    let before = residentByteCount()
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 64 << 30
    var options = Edu.Configuration()
    options.mask = .max
    let edu = try EduMachine(configuration, options)
    edu.device.enableBusMastering()
    try edu.device.dma.setMask(.bits64)
    let buffer = try StreamingBuffer(
      byteCount: 4096, in: edu.machine.platform, placement: .high)
    let mapping = try buffer.map(FromDevice.self, for: edu.device.dma).get()
    #expect(mapping.address.rawValue == 65 << 30 - 4096)
    try edu.transfer(from: 0x40000, to: mapping.address.rawValue, byteCount: 4096, toMemory: true)
    _ = mapping.unmap()
    #expect(residentByteCount() - before < 16 << 20)
  }
}

/// Resident bytes of this process, shared pages included.
private func residentByteCount() -> Int {
  guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard unsafe fgets(&line, 128, file) != nil else { return 0 }
  let fields = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }.split(separator: 32)
  guard fields.count > 1 else { return 0 }
  return (Int(String(decoding: fields[1], as: UTF8.self)) ?? 0) * 4096
}
