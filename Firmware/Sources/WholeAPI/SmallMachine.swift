import DMA
import PCI

/// A machine of 160 pages and one PCI function, in memory of the program.
@safe
final class SmallMachine {
  static let pageCount = 160
  /// Physical addresses start here, so that they are never CPU addresses.
  static let physicalStart: UInt64 = 0x10_0000

  let state: UnsafeMutablePointer<SmallMachineState>
  /// The registers of its remapping unit.
  let unit: SmallUnit
  let platform: Platform
  let pci: PCIHost

  init(isCoherent: Bool = true) {
    let state = UnsafeMutablePointer<SmallMachineState>.allocate(capacity: 1)
    // SAFETY: freshly allocated; ended by the owner.
    unsafe state.initialize(to: SmallMachineState())
    // Kept by the owner: domains end with the machine, and tell their unit.
    unit = SmallUnit()
    let owner = unsafe SmallMachineOwner(state, unit)
    unsafe self.state = state
    platform = unsafe Platform(
      operations: smallPlatformOperations, context: UnsafeMutableRawPointer(state), owner: owner,
      lowestLimit: 0xff_ffff,
      highestAddress: Self.physicalStart + UInt64(Self.pageCount) * 4096 - 1,
      isCoherent: isCoherent)
    pci = unsafe PCIHost(
      platform: platform, operations: smallPCIOperations,
      context: UnsafeMutableRawPointer(state), owner: owner)
  }

  var usedPageCount: Int { unsafe state.pointee.usedPageCount }
  var maintenanceCount: Int { unsafe state.pointee.maintenanceCount }
}

@safe
final class SmallMachineOwner {
  let state: UnsafeMutablePointer<SmallMachineState>
  let unit: SmallUnit

  init(_ state: UnsafeMutablePointer<SmallMachineState>, _ unit: SmallUnit) {
    unsafe self.state = state
    self.unit = unit
  }

  deinit {
    unsafe state.pointee.memory.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }
}

@safe
struct SmallMachineState {
  let memory: UnsafeMutableRawPointer
  var isUsed = [160 of Bool](repeating: false)
  var ticks: UInt64 = 0
  var maintenanceCount = 0
  var configuration = [256 of UInt8](repeating: 0)
  /// The function's registers, reached by calls.
  var registers = [16 of UInt64](repeating: 0)
  var pendingMessages: UInt64 = 0

  init() {
    unsafe memory = .allocate(byteCount: SmallMachine.pageCount * 4096, alignment: 65536)
    // Vendor, device, a list of capabilities: MSI at 0x40, MSI-X at 0x60 with its table in BAR 0.
    let bytes: [10 of (Int, UInt8)] = [
      (0, 0x34), (1, 0x12), (2, 0xe8), (3, 0x11), (6, 0x10), (0x34, 0x40), (0x40, 0x05),
      (0x41, 0x60), (0x60, 0x11), (0x62, 1),
    ]
    for index in 0..<10 { configuration[bytes[index].0] = bytes[index].1 }
    // 64-bit messages.
    configuration[0x42] = 0x80
  }

  func isFree(_ page: Int, _ count: Int) -> Bool {
    for index in page..<page + count where isUsed[index] { return false }
    return true
  }

  var usedPageCount: Int {
    var count = 0
    for index in 0..<160 where isUsed[index] { count += 1 }
    return count
  }

  static func at(_ context: UnsafeMutableRawPointer) -> UnsafeMutablePointer<SmallMachineState> {
    // SAFETY: the tables are only used with such a state.
    unsafe context.assumingMemoryBound(to: SmallMachineState.self)
  }
}

private var smallPlatformOperations: PlatformOperations {
  unsafe PlatformOperations(
    allocatePages: { context, byteCount, alignment, limit, _, numbers in
      let state = unsafe SmallMachineState.at(context)
      let count = byteCount / 4096
      let step = max(1, alignment / 4096)
      var page = 0
      while page + count <= SmallMachine.pageCount {
        let physical = SmallMachine.physicalStart + UInt64(page) * 4096
        if unsafe state.pointee.isFree(page, count) && physical + UInt64(byteCount) - 1 <= limit {
          for index in page..<page + count { unsafe state.pointee.isUsed[index] = true }
          let start = unsafe state.pointee.memory + page * 4096
          unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
          unsafe numbers[0] = UInt64(UInt(bitPattern: start))
          unsafe numbers[1] = physical
          return DMAStatus.success.rawValue
        }
        page += step
      }
      unsafe numbers[0] = UInt64(byteCount)
      unsafe numbers[1] = limit
      return DMAStatus.outOfMemory.rawValue
    },
    freePages: { context, _, physicalAddress, byteCount, _ in
      let page = Int((physicalAddress - SmallMachine.physicalStart) / 4096)
      for index in page..<page + byteCount / 4096 {
        unsafe SmallMachineState.at(context).pointee.isUsed[index] = false
      }
    },
    resolve: { _, _, _, numbers in
      unsafe numbers[0] = UInt64(MemoryKind.user.rawValue)
      return DMAStatus.notDMAable.rawValue
    },
    maintainCache: { context, _, _, _ in
      unsafe SmallMachineState.at(context).pointee.maintenanceCount += 1
    },
    now: { context in
      unsafe SmallMachineState.at(context).pointee.ticks += 1000
      return unsafe SmallMachineState.at(context).pointee.ticks
    },
    relax: { context in unsafe SmallMachineState.at(context).pointee.ticks += 1000 },
    relaxAfter: { context, waited in
      unsafe SmallMachineState.at(context).pointee.ticks += 1000 + waited / 8
    },
    pin: { context, address, byteCount, numbers in
      guard byteCount <= 4096 else {
        unsafe numbers[0] = UInt64(MemoryKind.stack.rawValue)
        return DMAStatus.notDMAable.rawValue
      }
      unsafe numbers[0] = SmallMachine.physicalStart * 2 + UInt64(address & 4095)
      return DMAStatus.success.rawValue
    },
    unpin: { _, _, _, _ in },
    isTimeReal: false)
}

var smallPCIOperations: PCIOperations {
  unsafe PCIOperations(
    readConfiguration: { context, address, offset, width in
      guard address == 0x08, offset + width <= 256 else { return .max }
      var value: UInt32 = 0
      for index in (0..<width).reversed() {
        value =
          unsafe value << 8
          | UInt32(SmallMachineState.at(context).pointee.configuration[offset + index])
      }
      return value
    },
    writeConfiguration: { context, address, offset, width, value in
      guard address == 0x08, offset + width <= 256 else { return }
      for index in 0..<width {
        var byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
        // BAR 0 has 4 KiB; the other BARs do not exist.
        let place = offset + index
        if place == 0x10 { byte = 0 }
        if place == 0x11 { byte &= 0xf0 }
        if place >= 0x14 && place < 0x28 { byte = 0 }
        unsafe SmallMachineState.at(context).pointee.configuration[place] = byte
      }
    },
    mapBAR: { _, _, index, _, _, numbers in
      unsafe numbers[0] = 0
      unsafe numbers[1] = UInt64(index)
      return DMAStatus.success.rawValue
    },
    allocateMessage: { _, _, index, numbers in
      unsafe numbers[0] = 0xfee0_0000
      unsafe numbers[1] = UInt64(index) + 1
      unsafe numbers[2] = UInt64(index)
      return DMAStatus.success.rawValue
    },
    freeMessage: { _, _ in },
    takeInterrupt: { context, handle in
      let isPending = unsafe SmallMachineState.at(context).pointee.pendingMessages >> handle & 1
      unsafe SmallMachineState.at(context).pointee.pendingMessages &= ~(1 << handle)
      return Int32(isPending)
    },
    registers: RegisterOperations(
      read: { context, _, offset, _ in
        unsafe SmallMachineState.at(context).pointee.registers[offset / 8 % 16]
      },
      write: { context, _, offset, _, value in
        unsafe SmallMachineState.at(context).pointee.registers[offset / 8 % 16] = value
      }))
}
