import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// A machine with an `edu` behind an IOMMU, and tables built by hand as the specification says.
private final class Remapped {
  let edu: EduMachine
  let unit: RegisterWindow
  /// Root, context, and one table for each of the three levels.
  let tables: CoherentBuffer<UInt64>
  let memory: CoherentBuffer<UInt64>
  var requester: UInt64 { UInt64(edu.device.address.packed) }

  static let address: UInt64 = 0x1234_5000

  init(levels: Int = 3, width: Int = 39) throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.iommu = .vtd(addressWidth: width)
    var options = Edu.Configuration()
    options.mask = .max
    edu = try EduMachine(configuration, options)
    edu.device.enableBusMastering()
    unit = try #require(edu.machine.iommuRegisters)
    tables = try CoherentBuffer<UInt64>(count: 6 * 512, for: edu.device.dma)
    memory = try CoherentBuffer<UInt64>(count: 512, for: edu.device.dma)
    let base = tables.address.rawValue
    tables[0] = (base + 4096) | 1
    let context = 512 + Int(edu.device.address.packed & 0xff) * 2
    tables[context] = (base + 2 * 4096) | 1
    tables[context + 1] = UInt64(levels - 2) | 7 << 8
    for level in 0..<levels - 1 {
      tables[slot(level, levels)] = (base + UInt64(3 + level) * 4096) | 3
    }
    tables[slot(levels - 1, levels)] = memory.address.rawValue | 3
    unit.write(base, at: 0x20)
    command(1 << 30)
    command(1 << 31)
  }

  /// The word of the table at a depth that leads to `address`.
  func slot(_ depth: Int, _ levels: Int) -> Int {
    let shift = UInt64(12 + 9 * (levels - 1 - depth))
    return (2 + depth) * 512 + Int(Self.address >> shift & 511)
  }

  func command(_ bit: UInt32) {
    let status = unit.read(UInt32.self, at: 0x1c) & 0x96ff_ffff
    unit.write(status | bit, at: 0x18)
    #expect(unit.read(UInt32.self, at: 0x1c) & bit == bit)
  }

  func invalidate(_ granularity: UInt64, address: UInt64 = 0) {
    unit.write(address, at: 0xf0)
    unit.write(1 << 63 | granularity << 60 | 7 << 32 as UInt64, at: 0xf8)
    #expect(unit.read(UInt64.self, at: 0xf8) >> 63 == 0)
  }

  func write(_ value: UInt64 = Remapped.address, byteCount: Int = 8) throws {
    try edu.transfer(from: 0x40000, to: value, byteCount: byteCount, toMemory: true)
  }

  func read(_ value: UInt64 = Remapped.address, byteCount: Int = 8) throws {
    try edu.transfer(from: value, to: 0x40000, byteCount: byteCount, toMemory: false)
  }

  /// Takes the fault record at an index: address, source, reason, whether it was a read.
  func takeFault(_ index: Int = 0) -> (
    address: UInt64, source: UInt64, reason: UInt64, isRead: Bool
  )? {
    let low: UInt64 = unit.read(at: 0x220 + index * 16)
    let high: UInt64 = unit.read(at: 0x228 + index * 16)
    guard high >> 63 == 1 else { return nil }
    unit.write(1 << 63 as UInt64, at: 0x228 + index * 16)
    return (low, high & 0xffff, high >> 32 & 0xff, high >> 62 & 1 == 1)
  }
}

struct IOMMUTests {
  @Test func `the unit's capabilities are VT-d's`() throws {
    let machine = try Remapped()
    let capability: UInt64 = machine.unit.read(at: 8)
    #expect(capability >> 8 & 0x1f == 2)
    #expect(capability >> 16 & 0x3f == 38)
    #expect((capability >> 24 & 0x3ff) * 16 == 0x220)
    let extended: UInt64 = machine.unit.read(at: 0x10)
    #expect((extended >> 8 & 0x3ff) * 16 == 0xf0)
    #expect(extended & 3 == 3)
    #expect(machine.unit.read(UInt32.self, at: 0) == 0x10)
  }

  @Test(arguments: [(3, 39), (3, 48), (4, 48)])
  func `a device reaches what the tables map`(_ levels: Int, _ width: Int) throws {
    let machine = try Remapped(levels: levels, width: width)
    machine.memory[0] = 0x1122_3344
    try machine.read()
    try machine.write(Remapped.address + 64)
    #expect(machine.memory[8] == 0x1122_3344)
    #expect(machine.edu.machine.incidentCount == 0)
  }

  @Test func `an unmapped read faults with its address and source`() throws {
    let machine = try Remapped()
    try machine.read(0x777_7000 + 8)
    let fault = try #require(machine.takeFault())
    #expect(fault.address == 0x777_7000)
    #expect(fault.source == machine.requester)
    #expect(fault.reason == 6 && fault.isRead)
    #expect(
      machine.edu.machine.takeIncidents().map(\.reason) == [.translationFault(reason: 6)])
    // The device read all ones and noticed nothing.
    try machine.write()
    #expect(machine.memory[0] == .max)
  }

  @Test func `the fault status names the first record and clears with it`() throws {
    let machine = try Remapped()
    #expect(machine.unit.read(UInt32.self, at: 0x34) == 0)
    for _ in 0..<9 { try machine.read(0x777_7000) }
    // Eight records and an overflow.
    #expect(machine.unit.read(UInt32.self, at: 0x34) == 3)
    for index in 0..<8 { #expect(machine.takeFault(index) != nil) }
    #expect(machine.unit.read(UInt32.self, at: 0x34) == 1)
    machine.unit.write(1 as UInt32, at: 0x34)
    #expect(machine.unit.read(UInt32.self, at: 0x34) == 0)
    try machine.read(0x777_7000)
    #expect(machine.unit.read(UInt32.self, at: 0x34) == 2)
  }

  @Test func `a write through a read-only mapping faults and memory stays`() throws {
    let machine = try Remapped()
    machine.tables[machine.slot(2, 3)] = machine.memory.address.rawValue | 1
    machine.memory[0] = 5
    try machine.write()
    #expect(machine.memory[0] == 5)
    let fault = try #require(machine.takeFault())
    #expect(fault.reason == 5 && !fault.isRead)
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `a cleared entry stays in force until it is invalidated`(_ granularity: UInt64) throws {
    let machine = try Remapped()
    try machine.write()
    machine.tables[machine.slot(2, 3)] = 0
    machine.memory[0] = 77
    // Stale: the device still reaches the memory, and the machine notices.
    try machine.read()
    try machine.write(Remapped.address + 8)
    #expect(machine.memory[1] == 77)
    #expect(
      machine.edu.machine.takeIncidents().map(\.reason) == [.staleTranslation, .staleTranslation])
    machine.invalidate(granularity, address: Remapped.address)
    try machine.write(Remapped.address + 16)
    #expect(machine.memory[2] == 0)
    #expect(try #require(machine.takeFault()).reason == 5)
  }

  @Test func `invalidating other pages or domains leaves a translation alone`() throws {
    let machine = try Remapped()
    try machine.write()
    machine.tables[machine.slot(2, 3)] = 0
    machine.invalidate(3, address: Remapped.address + 4096)
    machine.unit.write(1 << 63 | 2 << 60 | 8 << 32 as UInt64, at: 0xf8)
    try machine.write()
    #expect(machine.edu.machine.takeIncidents().map(\.reason) == [.staleTranslation])
    // Four pages from the aligned start: the page is among them.
    machine.invalidate(3, address: 0x1234_4000 | 2)
    try machine.write()
    #expect(
      machine.edu.machine.takeIncidents().map(\.reason) == [.translationFault(reason: 5)])
  }

  @Test func `a context stays in force until the context cache is invalidated`() throws {
    let machine = try Remapped()
    try machine.write()
    machine.tables[512 + Int(machine.requester & 0xff) * 2] = 0
    machine.invalidate(1)
    try machine.write()
    #expect(machine.takeFault() == nil)
    machine.unit.write(1 << 63 | 1 << 61 as UInt64, at: 0x28)
    machine.invalidate(1)
    try machine.write()
    #expect(try #require(machine.takeFault()).reason == 2)
  }

  @Test func `large pages map two megabytes at once`() throws {
    let machine = try Remapped()
    let large = machine.memory.address.rawValue & ~0x1f_ffff
    machine.tables[machine.slot(1, 3)] = large | 1 << 7 | 3
    let offset = machine.memory.address.rawValue - large
    machine.memory[3] = 9
    try machine.read(Remapped.address & ~0x1f_ffff + offset + 24)
    try machine.write(Remapped.address & ~0x1f_ffff + offset + 32)
    #expect(machine.memory[4] == 9)
    // A misaligned one is reserved.
    machine.tables[machine.slot(1, 3)] = (large | 0x1000) | 1 << 7 | 3
    machine.invalidate(1)
    try machine.read()
    #expect(try #require(machine.takeFault()).reason == 0xc)
  }

  @Test func `broken tables fault with their own reasons`() throws {
    let machine = try Remapped()
    let context = 512 + Int(machine.requester & 0xff) * 2
    func reason() throws -> UInt64 {
      machine.unit.write(1 << 63 | 1 << 61 as UInt64, at: 0x28)
      machine.invalidate(1)
      try machine.read()
      machine.unit.write(1 as UInt32, at: 0x34)
      let reasons = (0..<8).compactMap { machine.takeFault($0)?.reason }
      #expect(reasons.count == 1)
      return reasons.first ?? 0
    }
    let (root, low, high) = (
      machine.tables[0], machine.tables[context], machine.tables[context + 1]
    )
    machine.tables[0] = 0
    #expect(try reason() == 1)
    machine.tables[0] = root | 2
    #expect(try reason() == 0xa)
    machine.tables[0] = 0xf000_0000_0001
    #expect(try reason() == 9)
    machine.tables[0] = root
    machine.tables[context] = low & ~1
    #expect(try reason() == 2)
    machine.tables[context] = low | 1 << 2
    #expect(try reason() == 3)
    machine.tables[context] = low
    machine.tables[context + 1] = high & ~7 | 2
    #expect(try reason() == 3)
    machine.tables[context + 1] = high | 1 << 30
    #expect(try reason() == 0xb)
    machine.tables[context + 1] = high
    machine.tables[machine.slot(0, 3)] = 0xf000_0000_0003
    #expect(try reason() == 7)
    machine.unit.write(1 << 50 as UInt64, at: 0x20)
    machine.command(1 << 30)
    #expect(try reason() == 8)
  }

  @Test func `an address beyond the tables' width faults`() throws {
    let machine = try Remapped()
    try machine.read(1 << 39)
    #expect(try #require(machine.takeFault()).reason == 4)
  }

  @Test func `a function that passes through uses physical addresses`() throws {
    let machine = try Remapped()
    machine.tables[512 + Int(machine.requester & 0xff) * 2] |= 2 << 2
    machine.memory[0] = 3
    try machine.read(machine.memory.address.rawValue)
    try machine.write(machine.memory.address.rawValue + 8)
    #expect(machine.memory[1] == 3)
  }

  @Test func `an access across pages faults only where nothing is mapped`() throws {
    let machine = try Remapped()
    for word in 0..<512 { machine.memory[word] = 1 }
    try machine.read(Remapped.address, byteCount: 16)
    try machine.write(Remapped.address + 4096 - 8, byteCount: 16)
    let fault = try #require(machine.takeFault())
    #expect(fault.address == Remapped.address + 4096)
    #expect(machine.edu.machine.takeIncidents().map(\.byteCount) == [8])
  }

  @Test func `interrupt messages are not translated`() throws {
    let machine = try Remapped()
    let interrupt = try machine.edu.device.enableMSI()
    machine.edu.registers.write(1 as UInt32, at: 0x60)
    #expect(interrupt.deliver())
  }

  @Test func `the invalidation queue does its work in order and says when`() throws {
    let machine = try Remapped()
    let queue = try CoherentBuffer<UInt64>(count: 512, for: machine.edu.device.dma)
    let status = try CoherentBuffer<UInt32>(count: 1, for: machine.edu.device.dma)
    machine.unit.write(queue.address.rawValue, at: 0x90)
    machine.unit.write(0 as UInt64, at: 0x88)
    machine.command(1 << 26)
    try machine.write()
    machine.tables[machine.slot(2, 3)] = 0
    // Page-selective, domain 7; then a wait that stores 42.
    queue[0] = 2 | 3 << 4 | 7 << 16
    queue[1] = Remapped.address
    queue[2] = 5 | 1 << 5 | 42 << 32
    queue[3] = status.address.rawValue
    machine.unit.write(32 as UInt64, at: 0x88)
    #expect(machine.unit.read(UInt64.self, at: 0x80) == 32)
    #expect(status[0] == 42)
    try machine.write()
    #expect(try #require(machine.takeFault()).reason == 5)
    // No descriptor: the queue stops there and says so.
    queue[4] = 15
    machine.unit.write(48 as UInt64, at: 0x88)
    #expect(machine.unit.read(UInt64.self, at: 0x80) == 32)
    #expect(machine.unit.read(UInt32.self, at: 0x34) & 1 << 4 != 0)
  }

  @Test func `a fault sends its message once it is unmasked`() throws {
    let machine = try Remapped()
    #expect(machine.unit.read(UInt32.self, at: 0x38) >> 31 == 1)
    machine.unit.write(0x31 as UInt32, at: 0x3c)
    machine.unit.write(0xfee0_0000 as UInt32, at: 0x40)
    try machine.read(0x777_7000)
    #expect(machine.edu.machine.spuriousInterruptCount == 0)
    #expect(machine.unit.read(UInt32.self, at: 0x38) >> 30 == 3)
    machine.unit.write(0 as UInt32, at: 0x38)
    // Nobody had asked for that vector, so it counts as spurious.
    #expect(machine.edu.machine.spuriousInterruptCount == 1)
    #expect(machine.unit.read(UInt32.self, at: 0x38) == 0)
  }

  @Test func `translation off means physical addresses`() throws {
    let machine = try Remapped()
    machine.unit.write(0 as UInt32, at: 0x18)
    #expect(machine.unit.read(UInt32.self, at: 0x1c) >> 31 == 0)
    machine.memory[0] = 4
    try machine.read(machine.memory.address.rawValue)
    try machine.write(machine.memory.address.rawValue + 8)
    #expect(machine.memory[1] == 4)
    #expect(try SimulatedMachine().iommuRegisters == nil)
  }
}
