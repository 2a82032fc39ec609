import DMA

func useAddresses(_ seen: inout Expectations) {
  let address = DMAAddress(rawValue: 0x1000)
  seen.expect(address.advanced(by: 16).rawValue == 0x1010)
  seen.expect(address < address.advanced(by: 1))
  seen.expect(isText(address.description, "0x1000"))
  let physical = PhysicalAddress(rawValue: 0x2000)
  seen.expect(physical < PhysicalAddress(rawValue: 0x2001))
  seen.expect(isText(physical.description, "phys 0x2000"))
  var hasher = Hash()
  hasher.add(address)
  seen.expect(hasher.value != 0)

  let mask = DMAMask(bitCount: 28)
  seen.expect(mask.rawValue == 0xfff_ffff && mask.bitCount == 28)
  seen.expect(DMAMask(rawValue: 0xf0) == nil)
  seen.expect(DMAMask.bits24 != DMAMask.bits32 && DMAMask.bits64.bitCount == 64)
  seen.expect(isText(mask.description, "0xfffffff (28 bits)"))

  seen.expect(DMADirection.toDevice.deviceReads && !DMADirection.toDevice.deviceWrites)
  seen.expect(DMADirection.fromDevice.deviceWrites && DMADirection.bidirectional.deviceReads)
  seen.expect(DMADirection(scsiDataDirection: 3) == nil)
  seen.expect(isText(DMADirection.bidirectional.description, "BIDIRECTIONAL"))
  seen.expect(value(of: ToDevice.self) == .toDevice && value(of: FromDevice.self) == .fromDevice)
  seen.expect(value(of: Bidirectional.self) == .bidirectional)
  seen.expect(readable(ToDevice.self) && writable(FromDevice.self))

  for kind in 0..<UInt8(8) {
    let kind = MemoryKind(rawValue: kind) ?? .unknown
    seen.expect(kind.isDMAable == (kind == .pages || kind == .slab))
    seen.expect(kind.description.utf8.count > 0)
  }
  seen.expect(MemoryKind.vmalloc != .image && MemoryKind.stack != .user && MemoryKind.mmio != .slab)
}

private func value<Direction: TransferDirection>(of _: Direction.Type) -> DMADirection {
  Direction.value
}
private func readable<Direction: DeviceReads>(_: Direction.Type) -> Bool {
  Direction.value.deviceReads
}
private func writable<Direction: DeviceWrites>(_: Direction.Type) -> Bool {
  Direction.value.deviceWrites
}

/// Compares byte by byte: `String ==` would need Unicode tables.
func isText(_ text: String, _ expected: StaticString) -> Bool {
  guard text.utf8.count == expected.utf8CodeUnitCount else { return false }
  var index = 0
  for byte in text.utf8 {
    guard unsafe byte == expected.utf8Start[index] else { return false }
    index += 1
  }
  return true
}

/// A hash without the standard library's seed, which needs random numbers of the port.
struct Hash {
  var value: UInt64 = 0xcbf2_9ce4_8422_2325
  mutating func add(_ address: DMAAddress) {
    value = (value ^ address.rawValue) &* 0x100_0000_01b3
  }
}

func useErrors(_ seen: inout Expectations) {
  let mask = DMAMask.bits24
  let address = DMAAddress(rawValue: 1)
  let errors: [DMAError] = [
    .emptyRequest, .sizeOverflow(count: 1, stride: 2), .tooLarge(byteCount: 1, limit: 2),
    .outOfMemory(byteCount: 1, limit: 2), .outOfReach(first: address, last: address, mask: mask),
    .unsupportedMask(mask, required: .bits32), .outOfAddressSpace(byteCount: 1, limit: 2),
    .bouncePoolFull(byteCount: 1, totalSlots: 2, usedSlots: 3),
    .tooManySegments(count: 1, limit: 2), .notDMAable(.stack), .wouldBlock, .timedOut,
    .forbiddenInInterrupt, .deviceRemoved, .invalidAlignment(3, limit: 4),
    .invalidBoundary(3, blockByteCount: 4), .outOfBounds(offset: 1, byteCount: 2, limit: 3),
    .wrongDevice, .wrongSize(expected: 1, given: 2), .wrongCPUAddress,
    .wrongDirection(expected: .toDevice, given: .fromDevice), .notMapped(address),
    .machine(code: 5), .wrongFunction(made: .single, given: .scatter),
    .wrongEntryCount(expected: 1, given: 2),
    .segmentAcrossBoundary(first: address, last: address, boundary: 0xffff), .notInPool(address),
    .blockNotAllocated(address), .poolBusy(blockCount: 1),
  ]
  var transient = 0
  for error in errors {
    seen.expect(error.description.utf8.count > 0)
    if error.isTransient { transient += 1 }
  }
  seen.expect(transient == 4)

  let statuses: [DMAStatus] = [
    .emptyRequest, .tooLarge, .outOfMemory, .outOfReach, .outOfAddressSpace, .bouncePoolFull,
    .tooManySegments, .notDMAable, .notMapped, .wrongSize, .invalidAlignment, .machine,
    .deviceRemoved, .segmentAcrossBoundary, .refused,
  ]
  for status in statuses {
    var numbers = DMAStatusNumbers(1, 2, 3)
    let error = DMAError(status: status, numbers: numbers)
    seen.expect(error.description.utf8.count > 0 && status != .success)
    let again = unsafe numbers.withWords { words in
      unsafe words[2] = 9
      return status.rawValue
    }
    seen.expect(again == status && numbers.first == 1 && numbers.second == 2 && numbers.third == 9)
  }
}

/// A descriptor as drivers write them.
struct Descriptor: DMARepresentable {
  var address: UInt64
  var byteCount: UInt32
  var flags: UInt16
  var status: UInt16
}

extension DMAField where Root == Descriptor, Word == UInt64 {
  static var address: Self { Self(at: 0) }
}
extension DMAField where Root == Descriptor, Word == UInt32 {
  static var byteCount: Self { Self(at: 8) }
}
extension DMAField where Root == Descriptor, Word == UInt16 {
  static var status: Self { Self(at: 14) }
}

private func bitCount<Word: DMAWord>(_: Word.Type) -> Int { Word.bitWidth }

func useWords(_ seen: inout Expectations) {
  seen.expect(bitCount(UInt8.self) == 8 && bitCount(UInt64.self) == 64)
  let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
  unsafe memory.initialize(to: 0)
  let place = UInt(bitPattern: memory)
  UInt64.volatileStore(0x8877_6655_4433_2211, at: place)
  DMABarrier.write()
  seen.expect(UInt8.volatileLoad(at: place) == 0x11)
  seen.expect(UInt16.volatileLoad(at: place) == 0x2211)
  DMABarrier.read()
  UInt8.volatileStore(0, at: place)
  UInt16.volatileStore(0x99, at: place + 2)
  UInt32.volatileStore(7, at: place + 4)
  DMABarrier.full()
  seen.expect(UInt32.volatileLoad(at: place) == 0x0099_2200)
  seen.expect(UInt64.volatileLoad(at: place) == 0x0000_0007_0099_2200)
  unsafe memory.deallocate()
  seen.expect(DMAField<Descriptor, UInt32>.byteCount.offset == 8)
}

func useContexts(_ seen: inout Expectations) {
  seen.expect(ExecutionContext.current == .process && !ExecutionContext.current.isAtomic)
  let lock = DMASpinLock()
  let inLock = lock.withLock { ExecutionContext.current }
  seen.expect(inLock == .spinLockHeld && inLock.isAtomic)
  let inInterrupt = ExecutionContext.withInterrupt { ExecutionContext.current }
  seen.expect(inInterrupt == .interrupt)
}

func useInFlightTable(_ seen: inout Expectations) {
  struct Command: ~Copyable { let number: Int }
  var table = InFlightTable<Command>(capacity: 2)
  seen.expect(table.nextID == 0 && table.capacity == 2)
  let first = table.start(Command(number: 10))
  let second = table.start(Command(number: 20))
  seen.expect(table.isFull && table.count == 2)
  if let command = table.complete(second) { seen.expect(command.number == 20) }
  let isGone = table.complete(second) == nil
  seen.expect(isGone && !table.isFull)
  if let command = table.complete(first) { seen.expect(command.number == 10) }
  seen.expect(table.count == 0)
}
