import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

private var threaded: SimulatedMachine.Configuration {
  var configuration = SimulatedMachine.Configuration()
  configuration.execution = .threaded
  return configuration
}

struct ThreadTests {
  @Test func `devices on a thread of their own work without being waited for`() throws {
    var options = Edu.Configuration()
    options.latency = 1_000
    let edu = try EduMachine(threaded, options)
    edu.device.enableBusMastering()
    try edu.device.dma.setMask(DMAMask(bitCount: 28))
    let memory = try CoherentBuffer<UInt64>(count: 2, for: edu.device.dma)
    for round in 1...200 as ClosedRange<UInt64> {
      memory[0] = round
      try edu.transfer(from: memory.address.rawValue, to: 0x40000, byteCount: 8, toMemory: false)
      try edu.transfer(
        from: 0x40000, to: memory.address.rawValue + 8, byteCount: 8, toMemory: true)
      #expect(memory[1] == round)
    }
    #expect(edu.machine.incidentCount == 0)
  }

  @Test func `interrupts of such devices arrive, and time is the host's`() throws {
    let edu = try EduMachine(threaded)
    edu.device.enableBusMastering()
    let interrupt = try edu.device.enableMSI()
    edu.registers.write(0x80 as UInt32, at: 0x20)
    let start = edu.machine.platform.nanoseconds
    edu.registers.write(5 as UInt32, at: 8)
    try interrupt.wait(nanoseconds: 5_000_000_000)
    #expect(edu.registers.read(UInt32.self, at: 8) == 120)
    #expect(edu.machine.platform.nanoseconds - start >= 20_000)
  }

  @Test func `such a machine ends while its devices are busy`() throws {
    for _ in 0..<50 {
      var options = Edu.Configuration()
      options.latency = 1
      let edu = try EduMachine(threaded, options)
      edu.device.enableBusMastering()
      edu.registers.write(0x200_0000 as UInt64, at: 0x80)
      edu.registers.write(0x40000 as UInt64, at: 0x88)
      edu.registers.write(4096 as UInt64, at: 0x90)
      edu.registers.write(1 as UInt64, at: 0x98)
    }
  }

  @Test func `pulling a busy device out takes it away for good`() throws {
    for _ in 0..<20 {
      var options = Edu.Configuration()
      options.latency = 100
      let edu = try EduMachine(threaded, options)
      edu.device.enableBusMastering()
      let memory = try CoherentBuffer<UInt64>(count: 512, for: edu.device.dma)
      edu.registers.write(0x40000 as UInt64, at: 0x80)
      edu.registers.write(memory.address.rawValue, at: 0x88)
      edu.registers.write(4096 as UInt64, at: 0x90)
      edu.registers.write(3 as UInt64, at: 0x98)
      try edu.machine.detach(edu.device.address)
      // Whatever it did is done: nothing changes from here on.
      memory[0] = 9
      let end = edu.machine.platform.nanoseconds + 1_000_000
      while edu.machine.platform.nanoseconds < end { edu.machine.platform.relax() }
      #expect(memory[0] == 9)
    }
  }

  @Test func `many threads allocate and free pages and objects at once`() async throws {
    let machine = try SimulatedMachine()
    let before = machine.freeByteCount
    let failures = await withTaskGroup(of: Int.self) { group in
      for task in 0..<4 { group.addTask { allocateAndFree(machine, task) } }
      return await group.reduce(0, +)
    }
    #expect(failures == 0)
    #expect(machine.freeByteCount == before)
  }
}

/// Writes into fresh pages and objects and looks again; how often that went wrong.
private func allocateAndFree(_ machine: SimulatedMachine, _ task: Int) -> Int {
  var failures = 0
  for round in 0..<2000 {
    do throws(DMAError) {
      var pages = try machine.allocatePages(byteCount: 4096 * (1 + (round + task) % 5))
      var object = try machine.allocateObject(byteCount: 8 + (round * 7 + task) % 1000)
      let mark = UInt64(task << 32 | round)
      var bytes = pages.mutableBytes
      bytes.storeBytes(of: mark, toByteOffset: 0, as: UInt64.self)
      var small = object.mutableBytes
      small.storeBytes(of: mark, toByteOffset: 0, as: UInt64.self)
      let isOurs =
        unsafe pages.bytes.unsafeLoad(as: UInt64.self) == mark
        && object.bytes.unsafeLoad(as: UInt64.self) == mark
      if !isOurs { failures += 1 }
    } catch {
      failures += 1
    }
  }
  return failures
}
