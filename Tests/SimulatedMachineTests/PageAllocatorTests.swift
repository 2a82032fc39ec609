import DMA
import PCI
import SimulatedMachine
import Testing

/// Pages as the platform's operations hand them out.
private struct Pages {
  var cpuAddress: UInt
  var physicalAddress: UInt64
  var byteCount: Int
}

extension SimulatedMachine {
  fileprivate func take(
    _ byteCount: Int, alignment: Int = 4096, limit: UInt64 = .max, _ options: PageOptions = []
  ) throws(DMAError) -> Pages {
    let core = unsafe platform.unsafeCore
    var numbers = DMAStatusNumbers()
    let status = unsafe numbers.withWords {
      unsafe core.pointee.operations.allocatePages(
        core.pointee.context, byteCount, alignment, limit, options.rawValue, $0)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    return Pages(
      cpuAddress: UInt(numbers.first), physicalAddress: numbers.second, byteCount: byteCount)
  }

  fileprivate func give(_ pages: Pages) {
    let core = unsafe platform.unsafeCore
    unsafe core.pointee.operations.freePages(
      core.pointee.context, pages.cpuAddress, pages.physicalAddress, pages.byteCount, 0)
  }
}

struct PageAllocatorTests {
  @Test func `memory comes from the widest zone the limit lets in`() throws {
    let machine = try SimulatedMachine()
    #expect(try machine.take(4096).physicalAddress >= 4 << 30)
    let below4G = try machine.take(4096, limit: 0xffff_ffff).physicalAddress
    #expect(below4G >= 16 << 20 && below4G < 4 << 30)
    let below31Bits = try machine.take(4096, limit: 0x7fff_ffff).physicalAddress
    #expect(below31Bits >= 16 << 20 && below31Bits < 2 << 30)
    let isa = try machine.take(4096, limit: 0xff_ffff).physicalAddress
    #expect(isa >= 1 << 20 && isa < 16 << 20)
    #expect(try machine.take(4096, limit: 0x1ff_ffff, .high).physicalAddress == 0x1ff_f000)
    #expect(try machine.take(4096, .high).physicalAddress == 7 << 30 - 4096)
  }

  @Test func `narrower zones serve when wider ones are full`() throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 64 << 20
    let machine = try SimulatedMachine(configuration)
    var fromISA = 0
    var taken: [Pages] = []
    while let pages = try? machine.take(1 << 20) {
      if pages.physicalAddress < 16 << 20 {
        fromISA += 1
      } else {
        #expect(fromISA == 0)
      }
      taken.append(pages)
    }
    // The first megabyte is firmware's.
    #expect(taken.count == 63 && fromISA == 15)
    #expect(machine.freeByteCount == 0)
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: .max)) {
      try machine.take(4096)
    }
    for pages in taken { machine.give(pages) }
    #expect(machine.freeByteCount == machine.memoryByteCount)
    // All of it merged again.
    #expect(try machine.take(32 << 20).physicalAddress == 32 << 20)
  }

  @Test func `a machine without low memory has none for narrow masks`() throws {
    var configuration = SimulatedMachine.Configuration()
    configuration.has24BitZone = false
    var machine = try SimulatedMachine(configuration)
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: 0xff_ffff)) {
      try machine.take(4096, limit: 0xff_ffff)
    }
    #expect(try machine.take(4096, limit: 0xffff_ffff).physicalAddress == 16 << 20)
    configuration.has32BitZone = false
    machine = try SimulatedMachine(configuration)
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: 0xffff_ffff)) {
      try machine.take(4096, limit: 0xffff_ffff)
    }
    #expect(try machine.take(4096).physicalAddress == 4 << 30)
    configuration.has24BitZone = true
    machine = try SimulatedMachine(configuration)
    #expect(try machine.take(4096, limit: 0xffff_ffff).physicalAddress == 1 << 20)
  }

  @Test func `random allocations are aligned, within limits, zeroed and never overlap`() throws {
    var random = TestRandom("random allocations")
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = 6 << 30
    let machine = try SimulatedMachine(configuration)
    var live: [Pages] = []
    for _ in 0..<4000 {
      if live.isEmpty || Bool.random(using: &random) {
        let count = Int.random(in: 1...(Bool.random(using: &random) ? 4 : 300), using: &random)
        let alignment = 4096 << Int.random(in: 0...8, using: &random)
        let limit = UInt64.max >> UInt64.random(in: 28...39, using: &random)
        let options: PageOptions = Bool.random(using: &random) ? .high : []
        let pages: Pages
        do throws(DMAError) {
          pages = try machine.take(count * 4096, alignment: alignment, limit: limit, options)
        } catch {
          #expect(error == .outOfMemory(byteCount: count * 4096, limit: limit))
          continue
        }
        let natural = UInt64(count).nextPowerOf2 * 4096
        #expect(pages.physicalAddress % natural == 0)
        #expect(pages.physicalAddress % UInt64(alignment) == 0)
        #expect(UInt64(pages.cpuAddress) % max(natural, UInt64(alignment)) == 0)
        #expect(pages.physicalAddress + UInt64(pages.byteCount) - 1 <= limit)
        let memory = unsafe UnsafeMutablePointer<UInt64>(bitPattern: pages.cpuAddress)
        let words = pages.byteCount / 8
        for index in [0, words / 2, words - 1] {
          #expect(unsafe memory?[index] == 0)
          unsafe memory?[index] = .max
        }
        live.append(pages)
      } else {
        machine.give(live.remove(at: Int.random(in: 0..<live.count, using: &random)))
      }
    }
    live.sort { $0.physicalAddress < $1.physicalAddress }
    for (left, right) in zip(live, live.dropFirst()) {
      #expect(left.physicalAddress + UInt64(left.byteCount) <= right.physicalAddress)
    }
    let used = live.reduce(0) { $0 + UInt64($1.byteCount) }
    #expect(machine.freeByteCount == machine.memoryByteCount - used)
    for pages in live { machine.give(pages) }
    #expect(machine.freeByteCount == machine.memoryByteCount)
  }

  @Test func `freed pages come back zeroed`() throws {
    let machine = try SimulatedMachine()
    for byteCount in [4096, 5 * 4096, 4 << 20] {
      let first = try machine.take(byteCount)
      for offset in stride(from: 0, to: byteCount, by: 4096) {
        unsafe UnsafeMutablePointer<UInt8>(bitPattern: first.cpuAddress + UInt(offset))?.pointee = 7
      }
      machine.give(first)
      let second = try machine.take(byteCount)
      #expect(first.physicalAddress == second.physicalAddress)
      for offset in stride(from: 0, to: byteCount, by: 4096) {
        #expect(
          unsafe UnsafePointer<UInt8>(bitPattern: second.cpuAddress + UInt(offset))?.pointee == 0)
      }
      machine.give(second)
    }
  }

  @Test func `what a device wrote into free pages is not handed out`() throws {
    let edu = try EduMachine()
    edu.device.enableBusMastering()
    let first = try edu.machine.take(4096, limit: 0xfff_ffff)
    edu.machine.give(first)
    // The page after it was never used: a stray write lands there.
    let stray = first.physicalAddress + 4096
    edu.device.disableBusMastering()
    try edu.transfer(from: stray, to: 0x40000, byteCount: 8, toMemory: false)
    edu.device.enableBusMastering()
    try edu.transfer(from: 0x40000, to: stray, byteCount: 8, toMemory: true)
    let pages = try edu.machine.take(8192, limit: 0xfff_ffff)
    #expect(pages.physicalAddress == first.physicalAddress)
    #expect(unsafe UnsafePointer<UInt64>(bitPattern: pages.cpuAddress + 4096)?.pointee == 0)
  }

  @Test func `pages freed twice end the program`() async {
    await #expect(processExitsWith: .failure) {
      let machine = try SimulatedMachine()
      let pages = try machine.take(8192)
      machine.give(pages)
      machine.give(pages)
    }
  }

  @Test func `pages freed with another size end the program`() async {
    await #expect(processExitsWith: .failure) {
      let machine = try SimulatedMachine()
      var pages = try machine.take(8192)
      pages.byteCount = 4096
      machine.give(pages)
    }
  }

  @Test func `impossible requests are typed errors`() throws {
    let machine = try SimulatedMachine()
    let size = Int(machine.memoryByteCount)
    #expect(throws: DMAError.tooLarge(byteCount: size + 4096, limit: size)) {
      try machine.take(size + 4096)
    }
    #expect(throws: DMAError.outOfMemory(byteCount: 4096, limit: 4094)) {
      try machine.take(4096, limit: 4094)
    }
    #expect(throws: DMAError.self) { try machine.take(4096, alignment: 12) }
    #expect(throws: DMAError.self) { try machine.take(0) }
    #expect(throws: SimulatedMachineError.invalidMemorySize(1 << 20)) {
      var configuration = SimulatedMachine.Configuration()
      configuration.memoryByteCount = 1 << 20
      _ = try SimulatedMachine(configuration)
    }
  }

  @Test func `R7 and R8 allocated pages of every order are classified and resolve`() throws {
    let machine = try SimulatedMachine()
    for order in 0...10 {
      let pages = try machine.take(4096 << order)
      #expect(machine.classify(pages.cpuAddress, byteCount: pages.byteCount) == .pages)
      #expect(machine.classify(pages.cpuAddress + 1, byteCount: pages.byteCount) == .unknown)
      machine.give(pages)
      #expect(machine.classify(pages.cpuAddress) == .unknown)
    }
    #expect(machine.classify(0) == .unknown)
    #expect(machine.classify(.max) == .unknown)
  }
}

extension UInt64 {
  fileprivate var nextPowerOf2: UInt64 {
    self <= 1 ? 1 : 1 << UInt64(64 - (self - 1).leadingZeroBitCount)
  }
}
