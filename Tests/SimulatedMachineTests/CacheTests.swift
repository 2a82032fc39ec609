import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// An `edu` on a machine whose caches devices do not see.
private func makeMachine() throws -> EduMachine {
  var configuration = SimulatedMachine.Configuration()
  configuration.isCoherent = false
  var options = Edu.Configuration()
  options.mask = .max
  let edu = try EduMachine(configuration, options)
  edu.device.enableBusMastering()
  try edu.device.dma.setMask(.bits64)
  return edu
}

extension EduMachine {
  /// Has the device write these words to memory.
  fileprivate func deviceWrites(_ words: [UInt64], at address: UInt64) throws {
    let source = try CoherentBuffer<UInt64>(count: words.count, for: device.dma)
    for (index, word) in words.enumerated() { source[index] = word }
    let count = words.count * 8
    try transfer(from: source.address.rawValue, to: 0x40000, byteCount: count, toMemory: false)
    try transfer(from: 0x40000, to: address, byteCount: count, toMemory: true)
  }

  /// What the device reads.
  fileprivate func deviceReads(_ address: UInt64) throws -> UInt64 {
    let target = try CoherentBuffer<UInt64>(count: 1, for: device.dma)
    try transfer(from: address, to: 0x40000, byteCount: 8, toMemory: false)
    try transfer(from: 0x40000, to: target.address.rawValue, byteCount: 8, toMemory: true)
    return target[0]
  }

  fileprivate func maintain(_ address: UInt, _ byteCount: Int, _ operation: CacheOperation) {
    let core = unsafe machine.platform.unsafeCore
    unsafe core.pointee.operations.maintainCache(
      core.pointee.context, address, byteCount, operation.rawValue)
  }
}

private func word(_ address: UInt) -> UInt64? {
  unsafe UnsafePointer<UInt64>(bitPattern: address)?.pointee
}

private func store(_ value: UInt64, _ address: UInt) {
  unsafe UnsafeMutablePointer<UInt64>(bitPattern: address)?.pointee = value
}

struct CacheTests {
  @Test func `what a device writes is not seen until the cache is invalidated`() throws {
    let edu = try makeMachine()
    let memory = try edu.machine.allocatePages(byteCount: 4096)
    let physical = UInt64(memory.address - edu.machine.linearBase)
    try edu.deviceWrites([7, 8], at: physical)
    #expect(word(memory.address) == 0)
    edu.maintain(memory.address, 8, .invalidate)
    // The whole line came.
    #expect(word(memory.address) == 7)
    #expect(word(memory.address + 8) == 8)
  }

  @Test func `what the CPU writes is not seen until the cache is cleaned`() throws {
    let edu = try makeMachine()
    let memory = try edu.machine.allocatePages(byteCount: 4096)
    let physical = UInt64(memory.address - edu.machine.linearBase)
    store(5, memory.address)
    #expect(try edu.deviceReads(physical) == 0)
    edu.maintain(memory.address, 1, .clean)
    #expect(try edu.deviceReads(physical) == 5)
  }

  @Test func `cleaning writes back only what the CPU changed`() throws {
    let edu = try makeMachine()
    let memory = try edu.machine.allocatePages(byteCount: 4096)
    let physical = UInt64(memory.address - edu.machine.linearBase)
    try edu.deviceWrites([1], at: physical)
    // The CPU's stale line is not dirty.
    edu.maintain(memory.address, 64, .clean)
    #expect(try edu.deviceReads(physical) == 1)
    // A dirty word in the same line takes the device's with it: false sharing.
    store(9, memory.address + 32)
    edu.maintain(memory.address, 64, .clean)
    #expect(try edu.deviceReads(physical) == 0)
    #expect(try edu.deviceReads(physical + 32) == 9)
  }

  @Test func `invalidating loses what was not cleaned`() throws {
    let edu = try makeMachine()
    let memory = try edu.machine.allocatePages(byteCount: 4096)
    store(5, memory.address)
    edu.maintain(memory.address, 8, .invalidate)
    #expect(word(memory.address) == 0)
    store(6, memory.address)
    edu.maintain(memory.address, 8, [.clean, .invalidate])
    #expect(word(memory.address) == 6)
  }

  @Test func `coherent memory needs no maintenance`() throws {
    let edu = try makeMachine()
    let memory = try CoherentBuffer<UInt64>(count: 4, for: edu.device.dma)
    memory[0] = 3
    #expect(try edu.deviceReads(memory.address.rawValue) == 3)
    try edu.deviceWrites([4], at: memory.address.rawValue)
    #expect(memory[0] == 4)
  }

  @Test func `streaming mappings carry data both ways`() throws {
    let edu = try makeMachine()
    var buffer = try StreamingBuffer(byteCount: 4096, in: edu.machine.platform)
    var bytes = buffer.mutableBytes
    bytes.storeBytes(of: 11, toByteOffset: 0, as: UInt64.self)
    let out = try buffer.map(ToDevice.self, for: edu.device.dma).get()
    #expect(try edu.deviceReads(out.address.rawValue) == 11)
    let back = try out.unmap().map(FromDevice.self, for: edu.device.dma).get()
    try edu.deviceWrites([12], at: back.address.rawValue)
    let result = back.unmap()
    #expect(unsafe result.bytes.unsafeLoad(as: UInt64.self) == 12)
  }

  @Test func `vmalloc memory goes through the same cache as the linear map`() throws {
    let edu = try makeMachine()
    let area = try edu.machine.allocateVirtual(byteCount: 3 * 4096)
    let entry = try #require(try edu.machine.walk(area.address, byteCount: 8).first)
    store(21, area.address)
    #expect(word(entry.cpuAddress) == 21)
    #expect(try edu.deviceReads(entry.physicalAddress) == 0)
    edu.maintain(area.address, 3 * 4096, .clean)
    #expect(try edu.deviceReads(entry.physicalAddress) == 21)
  }

  @Test func `pages that were used come back zeroed for everybody`() throws {
    let edu = try makeMachine()
    for byteCount in [4096, 4 << 20] {
      var physical: UInt64 = 0
      do {
        let memory = try edu.machine.allocatePages(byteCount: byteCount)
        physical = UInt64(memory.address - edu.machine.linearBase)
        store(1, memory.address)
        edu.maintain(memory.address, 8, .clean)
        store(2, memory.address)
      }
      let memory = try edu.machine.allocatePages(byteCount: byteCount)
      #expect(UInt64(memory.address - edu.machine.linearBase) == physical)
      #expect(word(memory.address) == 0)
      #expect(try edu.deviceReads(physical) == 0)
      edu.maintain(memory.address, 64, .clean)
      #expect(try edu.deviceReads(physical) == 0)
    }
  }

  @Test func `an IOMMU that does not see caches says so and reads memory`() throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.isCoherent = false
    configuration.iommu = .vtd()
    let edu = try EduMachine(configuration)
    edu.device.enableBusMastering()
    let unit = try #require(edu.machine.iommuRegisters)
    #expect(unit.read(UInt64.self, at: 0x10) & 1 == 0)
    // A root table that the CPU wrote and did not clean: for the unit it is empty.
    let root = try edu.machine.allocatePages(byteCount: 4096)
    store(UInt64(root.address - edu.machine.linearBase) | 1, root.address)
    unit.write(UInt64(root.address - edu.machine.linearBase), at: 0x20)
    unit.write(1 << 30 as UInt32, at: 0x18)
    unit.write(1 << 31 as UInt32, at: 0x18)
    try edu.transfer(from: 0x1000, to: 0x40000, byteCount: 8, toMemory: false)
    #expect(edu.machine.takeIncidents().map(\.reason) == [.translationFault(reason: 1)])
    edu.maintain(root.address, 4096, .clean)
    try edu.transfer(from: 0x1000, to: 0x40000, byteCount: 8, toMemory: false)
    #expect(edu.machine.takeIncidents().map(\.reason) == [.translationFault(reason: 2)])
  }
}
