import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// A device of the tests' own: writing a vector number to register 0 signals it, register 8 starts
/// work that stores the time in memory.
private final class Bell: SimulatedDevice {
  enum Interrupts {
    case msi(Int)
    case msix(Int)
  }

  private var target: UInt64 = 0
  private var value: UInt64

  init(_ interrupts: Interrupts, value: UInt64 = 0) {
    self.value = value
    let identity = PCIIdentity(vendorID: 0x1af4, deviceID: 0x5be1, classCode: 0x088000)
    let bars = [
      SimulatedBAR(index: 0, byteCount: 4096),
      SimulatedBAR(index: 2, byteCount: 1 << 16, is64Bit: true),
    ]
    switch interrupts {
    case .msi(let count): super.init(identity: identity, bars: bars, msiVectorCount: count)
    case .msix(let count):
      super.init(
        identity: identity, bars: bars,
        msix: MSIXLayout(bar: 2, vectorCount: count, tableOffset: 0x1000, pendingOffset: 0x8000))
    }
  }

  override func readRegister(bar: Int, offset: Int, byteCount: Int) -> UInt64 {
    bar == 2 ? UInt64(offset) : value
  }

  override func writeRegister(_ value: UInt64, bar: Int, offset: Int, byteCount: Int) {
    if offset == 0 { signal(vector: Int(value)) }
    if offset == 8 {
      target = value
      schedule(after: 1000)
    }
  }

  override func step(now: UInt64, tag: UInt64) {
    unsafe withUnsafeBytes(of: now) { _ = unsafe writeMemory(target, from: $0) }
  }
}

private struct BellMachine {
  let machine: SimulatedMachine
  let device: PCIDevice
  let registers: RegisterWindow

  init(_ interrupts: Bell.Interrupts) throws {
    machine = try SimulatedMachine()
    let address = try machine.attach(Bell(interrupts))
    device = try PCIDevice(
      host: machine.pci, address: address, mapping: DirectMapping.make(for: machine.platform))
    device.enableBusMastering()
    registers = try device.mapBAR(0)
  }
}

struct DeviceModelTests {
  @Test func `a 64-bit BAR takes two registers and is sized as hardware's`() throws {
    let bell = try BellMachine(.msix(4))
    let low: UInt32 = bell.device.readConfiguration(at: PCIRegister.bar0 + 8)
    #expect(low & 15 == 4)
    bell.device.writeConfiguration(UInt32.max, at: PCIRegister.bar0 + 8)
    bell.device.writeConfiguration(UInt32.max, at: PCIRegister.bar0 + 12)
    #expect(bell.device.readConfiguration(UInt32.self, at: PCIRegister.bar0 + 8) == 0xffff_0004)
    #expect(bell.device.readConfiguration(UInt32.self, at: PCIRegister.bar0 + 12) == .max)
    // Above 4 GiB it answers as well.
    bell.device.writeConfiguration(0xd000_0000 as UInt32, at: PCIRegister.bar0 + 8)
    bell.device.writeConfiguration(0x12 as UInt32, at: PCIRegister.bar0 + 12)
    let window = try bell.device.mapBAR(2)
    #expect(window.byteCount == 1 << 16)
    #expect(window.read(UInt32.self, at: 0x44) == 0x44)
  }

  @Test func `MSI-X vectors are told apart, masked and left pending`() throws {
    let bell = try BellMachine(.msix(4))
    let interrupts = try (0..<4).map { try bell.device.enableMSIX(vector: $0) }
    bell.registers.write(2 as UInt32, at: 0)
    #expect(interrupts.map { $0.deliver() } == [false, false, true, false])
    let table = try bell.device.mapBAR(2)
    table.write(1 as UInt32, at: 0x1000 + 16 + 12)
    bell.registers.write(1 as UInt32, at: 0)
    #expect(!interrupts[1].deliver())
    #expect(table.read(UInt64.self, at: 0x8000) == 2)
    table.write(0 as UInt32, at: 0x1000 + 16 + 12)
    #expect(interrupts[1].deliver())
    #expect(table.read(UInt64.self, at: 0x8000) == 0)
    // The function's mask holds all of them back.
    let capability = try #require(bell.device.capability(PCICapabilityID.msix))
    let control: UInt16 = bell.device.readConfiguration(at: capability + 2)
    bell.device.writeConfiguration(control | 1 << 14, at: capability + 2)
    bell.registers.write(3 as UInt32, at: 0)
    #expect(!interrupts[3].deliver())
    bell.device.writeConfiguration(control, at: capability + 2)
    #expect(interrupts[3].deliver())
    // Vectors that the device does not have do nothing.
    bell.registers.write(9 as UInt32, at: 0)
    #expect(bell.machine.spuriousInterruptCount == 0)
  }

  @Test func `a device with more MSI vectors than are enabled uses the last one`() throws {
    let bell = try BellMachine(.msi(8))
    let capability = try #require(bell.device.capability(PCICapabilityID.msi))
    #expect(bell.device.readConfiguration(UInt16.self, at: capability + 2) >> 1 & 7 == 3)
    let interrupt = try bell.device.enableMSI()
    bell.registers.write(5 as UInt32, at: 0)
    #expect(interrupt.deliver())
    #expect(throws: PCIError.noCapability(id: PCICapabilityID.msix)) {
      try bell.device.enableMSIX(vector: 0)
    }
  }

  @Test func `the seed decides which of several devices comes first`() throws {
    func winner(_ seed: UInt64) throws -> Int {
      var configuration = SimulatedMachine.Configuration()
      configuration.seed = seed
      let machine = try SimulatedMachine(configuration)
      let mapping = DirectMapping.make(for: machine.platform)
      var devices: [PCIDevice] = []
      var windows: [RegisterWindow] = []
      for _ in 0..<2 {
        let address = try machine.attach(Bell(.msi(1)))
        let device = try PCIDevice(host: machine.pci, address: address, mapping: mapping)
        device.enableBusMastering()
        windows.append(try device.mapBAR(0))
        devices.append(device)
      }
      let times = try CoherentBuffer<UInt64>(count: 2, for: devices[0].dma)
      for index in 0..<2 { windows[index].write(times.address(of: index).rawValue, at: 8) }
      try machine.platform.wait(nanoseconds: 1_000_000) { times[0] != 0 && times[1] != 0 }
      return times[0] < times[1] ? 0 : 1
    }
    let winners = try (0..<16 as Range<UInt64>).map { try winner($0) }
    #expect(winners.contains(0) && winners.contains(1))
    #expect(try (0..<16 as Range<UInt64>).map { try winner($0) } == winners)
  }

  @Test func `registers of other devices are not memory`() throws {
    let bell = try BellMachine(.msi(1))
    let other = try bell.machine.attach(Edu())
    let bar = bell.machine.pci.readConfiguration(
      UInt32.self, other, at: PCIRegister.bar0)
    bell.registers.write(UInt64(bar), at: 8)
    for _ in 0..<100 where bell.machine.incidentCount == 0 { bell.machine.platform.relax() }
    #expect(bell.machine.takeIncidents().map(\.reason) == [.noMemory])
  }
}
