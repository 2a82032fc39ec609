import DMA
import Startup

/// Message-signalled interrupts without an interrupt controller: each vector is a word in RAM.
///
/// A message is a memory write like any other (PCI 3.0, 6.8): pointed at RAM, it leaves its data
/// there, and whoever waits for the device finds it. No vector table, no handler behind the
/// driver's back.
@safe
struct MessageWords {
  static let count = 64

  /// The page of words, as the CPU reads it; 0 until the first vector.
  private var base: UInt = 0
  private(set) var physicalAddress: UInt64 = 0
  /// Bit set: the word is a vector's.
  private var used: UInt64 = 0

  /// Gives out a word, and makes its page at the first.
  static func allocate(
    _ state: UnsafeMutablePointer<MachineState>, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> Int32 {
    let status = unsafe makePage(state, numbers)
    guard status == DMAStatus.success.rawValue else { return status }
    return unsafe state.pointee.messages.allocate(numbers)
  }

  /// Makes the page of words, once.
  static func makePage(
    _ state: UnsafeMutablePointer<MachineState>, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> Int32 {
    guard unsafe state.pointee.messages.base == 0 else { return DMAStatus.success.rawValue }
    // Capabilities with 32 address bits must reach it.
    let status = unsafe bareOperations.allocatePages(
      UnsafeMutableRawPointer(state), 4096, 4096, 0xffff_ffff, PageOptions.uncached.rawValue,
      numbers)
    guard status == DMAStatus.success.rawValue else { return status }
    unsafe state.pointee.messages.base = UInt(numbers[0])
    unsafe state.pointee.messages.physicalAddress = numbers[1]
    return status
  }

  private mutating func allocate(_ numbers: UnsafeMutablePointer<UInt64>) -> Int32 {
    let slot = (~used).trailingZeroBitCount
    guard slot < Self.count else {
      // ENOSPC.
      unsafe numbers[0] = 28
      return DMAStatus.machine.rawValue
    }
    used |= 1 << UInt64(slot)
    UInt32.volatileStore(0, at: base + UInt(slot) * 4)
    DMABarrier.write()
    unsafe numbers[0] = physicalAddress + UInt64(slot) * 4
    // Not zero, so that a written word can be told from a quiet one.
    unsafe numbers[1] = UInt64(slot) + 1
    unsafe numbers[2] = UInt64(slot)
    return DMAStatus.success.rawValue
  }

  mutating func free(_ handle: UInt64) {
    precondition(
      handle < UInt64(Self.count) && used & 1 << handle != 0, "a vector is freed once")
    used &= ~(1 << handle)
  }

  /// Whether the word was written since the last call.
  ///
  /// A second message between the load and the store is not lost: the caller looks at its device
  /// only after this returns 1.
  func take(_ handle: UInt64) -> Int32 {
    let place = base + UInt(handle) * 4
    guard UInt32.volatileLoad(at: place) != 0 else { return 0 }
    UInt32.volatileStore(0, at: place)
    // The message came after the data it announces.
    DMABarrier.full()
    return 1
  }
}
