import DMA
import DMAMapping
import PCI
import SimulatedMachine
import Testing

/// A variable of the program itself.
nonisolated(unsafe) private var programVariable: UInt64 = 1

extension SimulatedMachine {
  /// What the core gets when it asks whether memory may be used by its address.
  fileprivate func resolve(_ address: UInt, _ byteCount: Int) throws(DMAError) -> UInt64 {
    let core = unsafe platform.unsafeCore
    var numbers = DMAStatusNumbers()
    let status = unsafe numbers.withWords {
      unsafe core.pointee.operations.resolve(core.pointee.context, address, byteCount, $0)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    return numbers.first
  }
}

struct MemoryKindTests {
  @Test func `R7 every kind of address is told apart`() throws {
    let machine = try SimulatedMachine()
    let pages = try machine.allocatePages(byteCount: 8192)
    let object = try machine.allocateObject(byteCount: 100)
    let area = try machine.allocateVirtual(byteCount: 5000)
    let image = try machine.loadImage(byteCount: 4096)
    let stack = try machine.allocateStack()
    let user = try machine.allocateUser(byteCount: 4096)
    let found = [pages.address, object.address, area.address, image.address, stack.address]
      .map { machine.classify($0) }
    #expect(found == [.pages, .slab, .vmalloc, .image, .stack])
    #expect(machine.classify(user.address) == .user)
    #expect(machine.classify(machine.registerAddresses.lowerBound + 0x1000) == .mmio)
    #expect(machine.classify(machine.linearBase + 0xfee0_0000) == .mmio)
    #expect(machine.classify(0) == .unknown)
    // Behind an area is nothing, and bytes of two kinds are of none.
    #expect(machine.classify(area.address + 8192) == .unknown)
    #expect(machine.classify(area.address + 4096, byteCount: 4097) == .unknown)
    #expect(machine.classify(pages.address, byteCount: 8193) == .unknown)
  }

  @Test func `R9 objects are accepted at any interior address and length`() throws {
    let machine = try SimulatedMachine()
    for byteCount in [1, 8, 96, 100, 192, 513, 2048] {
      let object = try machine.allocateObject(byteCount: byteCount)
      for start in [0, byteCount / 3, byteCount - 1] {
        let physical = try machine.resolve(object.address + UInt(start), byteCount - start)
        #expect(physical == UInt64(object.address - machine.linearBase) + UInt64(start))
      }
      #expect(throws: DMAError.notDMAable(.unknown)) {
        try machine.resolve(object.address, 4096)
      }
    }
  }

  @Test func `an object that was freed is nothing any more`() throws {
    let machine = try SimulatedMachine()
    let other = try machine.allocateObject(byteCount: 64)
    var address: UInt = 0
    do {
      let object = try machine.allocateObject(byteCount: 64)
      address = object.address
      #expect(address == other.address + 64)
    }
    #expect(machine.classify(address) == .unknown)
    let again = try machine.allocateObject(byteCount: 64)
    #expect(again.address == address)
    _ = other
  }

  @Test func `random objects never overlap, are zeroed, and give their pages back`() throws {
    var random = TestRandom("random objects")
    let machine = try SimulatedMachine()
    let before = machine.freeByteCount
    var live: [(address: UInt, byteCount: Int, slot: Int)] = []
    var slots: [SimulatedMemoryBox] = []
    for _ in 0..<6000 {
      if live.count < 1500, Int.random(in: 0..<3, using: &random) > 0 {
        let byteCount =
          Int.random(in: 1...2048, using: &random) >> Int.random(in: 0...8, using: &random)
        let limit: UInt64 = Bool.random(using: &random) ? .max : 0xff_ffff
        let box = try SimulatedMemoryBox(
          machine.allocateObject(byteCount: max(1, byteCount), limit: limit))
        #expect(UInt64(box.address - machine.linearBase) + UInt64(max(1, byteCount)) - 1 <= limit)
        #expect(box.isZero())
        box.fill(0xee)
        live.append((box.address, max(1, byteCount), slots.count))
        slots.append(box)
      } else if !live.isEmpty {
        let gone = live.remove(at: Int.random(in: 0..<live.count, using: &random))
        slots[gone.slot].end()
      }
    }
    live.sort { $0.address < $1.address }
    for (left, right) in zip(live, live.dropFirst()) {
      #expect(left.address + UInt(left.byteCount) <= right.address)
    }
    for one in live { slots[one.slot].end() }
    #expect(machine.freeByteCount == before)
  }

  @Test func `R10 addresses of vmalloc memory are refused`() throws {
    let machine = try SimulatedMachine()
    let area = try machine.allocateVirtual(byteCount: 3 * 4096)
    #expect(throws: DMAError.notDMAable(.vmalloc)) { try machine.resolve(area.address, 64) }
    #expect(throws: DMAError.notDMAable(.vmalloc)) {
      try machine.resolve(area.address + 4096, 8192)
    }
  }

  @Test func `R11 the pages underneath vmalloc memory carry the data`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let machine = edu.machine
    var area = try machine.allocateVirtual(byteCount: 16 * 4096)
    var bytes = area.mutableBytes
    for word in 0..<16 * 512 {
      bytes.storeBytes(of: UInt64(word) &* 0x9e37_79b9, toByteOffset: word * 8, as: UInt64.self)
    }
    let entries = try machine.walk(area.address + 40, byteCount: 16 * 4096 - 80)
    #expect(entries.count > 8)
    #expect(entries.reduce(0) { $0 + $1.byteCount } == 16 * 4096 - 80)
    var word = 5
    for entry in entries {
      // Each piece may be used by its linear address.
      #expect(try machine.resolve(entry.cpuAddress, entry.byteCount) == entry.physicalAddress)
      for offset in stride(from: 0, to: entry.byteCount, by: 8) {
        let seen = unsafe UnsafePointer<UInt64>(bitPattern: entry.cpuAddress + UInt(offset))?
          .pointee
        #expect(seen == UInt64(word) &* 0x9e37_79b9)
        word += 1
      }
    }
    // The other way round: what is written to the pages shows in the area.
    unsafe UnsafeMutablePointer<UInt64>(bitPattern: entries[3].cpuAddress)?.pointee = 0xabcd
    let offset = entries[0..<3].reduce(40) { $0 + $1.byteCount }
    #expect(unsafe area.bytes.unsafeLoad(fromByteOffset: offset, as: UInt64.self) == 0xabcd)
  }

  @Test func `R11 neighbouring pages are not the rule in vmalloc memory`() throws {
    let machine = try SimulatedMachine()
    for _ in 0..<20 {
      let area = try machine.allocateVirtual(byteCount: 8 * 4096)
      #expect(try machine.walk(area.address, byteCount: 8 * 4096).count >= 4)
    }
    let pages = try machine.allocatePages(byteCount: 4 * 4096)
    #expect(try machine.walk(pages.address, byteCount: 4 * 4096).count == 1)
  }

  @Test func `R12 addresses of images are refused, the program's own included`() throws {
    let machine = try SimulatedMachine()
    let image = try machine.loadImage(byteCount: 8192)
    #expect(throws: DMAError.notDMAable(.image)) { try machine.resolve(image.address, 16) }
    #expect(throws: DMAError.notDMAable(.image)) { try machine.walk(image.address, byteCount: 16) }
    unsafe withUnsafePointer(to: &programVariable) { variable in
      let address = UInt(bitPattern: variable)
      #expect(throws: DMAError.notDMAable(.image)) { try machine.resolve(address, 8) }
    }
  }

  @Test func `R13 addresses of stacks are refused, this one's included`() throws {
    let machine = try SimulatedMachine()
    let stack = try machine.allocateStack()
    #expect(throws: DMAError.notDMAable(.stack)) { try machine.resolve(stack.address + 64, 16) }
    var local: UInt64 = 0
    unsafe withUnsafePointer(to: &local) { variable in
      let address = UInt(bitPattern: variable)
      #expect(throws: DMAError.notDMAable(.stack)) { try machine.resolve(address, 8) }
    }
  }

  @Test func `R14 treating an image as linear memory would name the wrong page`() throws {
    let machine = try SimulatedMachine()
    var image = try machine.loadImage(byteCount: 4096)
    var bytes = image.mutableBytes
    bytes.storeBytes(of: 0x1234_5678, toByteOffset: 0, as: UInt32.self)
    let naive = UInt64(bitPattern: Int64(image.address) - Int64(machine.linearBase))
    let highest = unsafe machine.platform.unsafeCore.pointee.highestAddress
    #expect(naive > highest)
  }

  @Test func `R14 buffers of the block and network subsystems are always accepted`() throws {
    let machine = try SimulatedMachine()
    for sectorCount in [1, 3, 8, 100] {
      let buffer = try machine.allocateBlockBuffer(sectorCount: sectorCount)
      #expect(try machine.resolve(buffer.address, sectorCount * 512) % 512 == 0)
    }
    for frameByteCount in [1, 60, 1514, 2048, 9014] {
      let buffer = try machine.allocateNetworkBuffer(frameByteCount: frameByteCount)
      #expect(try machine.resolve(buffer.address, frameByteCount) % 4 == 2)
    }
  }

  @Test func `user memory and registers are refused with their kind`() throws {
    let machine = try SimulatedMachine()
    let user = try machine.allocateUser(byteCount: 4096)
    #expect(throws: DMAError.notDMAable(.user)) { try machine.resolve(user.address, 16) }
    #expect(throws: DMAError.notDMAable(.mmio)) {
      try machine.resolve(machine.registerAddresses.lowerBound, 16)
    }
  }

  @Test func `areas give everything back`() throws {
    let machine = try SimulatedMachine()
    let before = machine.freeByteCount
    do {
      let areas = [
        try SimulatedMemoryBox(machine.allocateVirtual(byteCount: 100_000)),
        try SimulatedMemoryBox(machine.allocateStack()),
        try SimulatedMemoryBox(machine.loadImage(byteCount: 1)),
      ]
      #expect(before - machine.freeByteCount == (25 + 4 + 1) * 4096)
      for area in areas { area.end() }
    }
    #expect(machine.freeByteCount == before)
    #expect(throws: DMAError.emptyRequest) { _ = try machine.allocateVirtual(byteCount: 0) }
    #expect(throws: DMAError.self) { _ = try machine.allocateVirtual(byteCount: 7 << 30) }
    #expect(machine.freeByteCount == before)
  }
}

/// Keeps a piece of memory where arrays can hold it.
private final class SimulatedMemoryBox {
  private var memory: SimulatedMemory?
  let address: UInt
  let byteCount: Int

  init(_ memory: consuming SimulatedMemory) {
    address = memory.address
    byteCount = memory.byteCount
    self.memory = consume memory
  }

  func end() { memory = nil }

  func isZero() -> Bool {
    (0..<byteCount).allSatisfy {
      unsafe UnsafePointer<UInt8>(bitPattern: address + UInt($0))?.pointee == 0
    }
  }

  func fill(_ byte: UInt8) {
    for index in 0..<byteCount {
      unsafe UnsafeMutablePointer<UInt8>(bitPattern: address + UInt(index))?.pointee = byte
    }
  }
}
