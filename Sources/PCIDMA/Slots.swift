internal import CPCIDMA
internal import DMA

/// Which slot of each kind is used next: the one that was used longest ago, so that an address that
/// is held too long stays unknown as long as possible.
///
/// Everything here is behind one lock: creating and ending things is rare.
@safe
struct SlotBooks: ~Copyable {
  var nextPool = 0
  var nextDevice = 0
  var nextMachine = 0
  var nextModel = 0
  /// Live devices in the order in which they came.
  var devices: [DeviceBox] = []
  /// Live machines, oldest first.
  var machines: [MachineBox] = []
  /// The machine whose memory kmalloc uses.
  var current: MachineBox?
}

/// The one lock and its books.
@safe
final class Registry: @unchecked Sendable {
  // SAFETY (Sendable): the books are only touched with the lock held.
  private let lock = RawSpinLock()
  private var books = SlotBooks()

  static let shared = Registry()

  func with<R>(_ body: (inout SlotBooks) -> R) -> R {
    lock.lock()
    defer { lock.unlock() }
    return body(&books)
  }

  var current: MachineBox? { with { $0.current } }

  func live(_ pointer: UnsafeRawPointer?) -> MachineBox? {
    guard let slot = unsafe swiftdma_find_machine(pointer), let object = unsafe slot.pointee.object
    else {
      return nil
    }
    // SAFETY: a live slot holds its object.
    return unsafe Unmanaged<MachineBox>.fromOpaque(object).takeUnretainedValue()
  }
}

extension SlotBooks {
  /// A free slot for a pool; nil when all are taken.
  mutating func takePool() -> UnsafeMutablePointer<pci_pool>? {
    let count = Int(SWIFTDMA_POOL_COUNT)
    for step in 0..<count {
      let index = (nextPool + step) % count
      guard let slot = unsafe swiftdma_pool_slot(index) else { return nil }
      guard unsafe swiftdma_state(&slot.pointee.state) == SlotState.free else { continue }
      nextPool = index + 1
      return unsafe slot
    }
    return nil
  }

  mutating func takeDevice() -> UnsafeMutablePointer<swiftdma_device_slot>? {
    let count = Int(SWIFTDMA_DEVICE_COUNT)
    for step in 0..<count {
      let index = (nextDevice + step) % count
      guard let slot = unsafe swiftdma_device_slot_at(index) else { return nil }
      guard unsafe swiftdma_state(&slot.pointee.state) == SlotState.free else { continue }
      nextDevice = index + 1
      return unsafe slot
    }
    return nil
  }

  mutating func takeMachine() -> UnsafeMutablePointer<swiftdma_machine>? {
    let count = Int(SWIFTDMA_MACHINE_COUNT)
    for step in 0..<count {
      let index = (nextMachine + step) % count
      guard let slot = unsafe swiftdma_machine_slot(index) else { return nil }
      guard unsafe swiftdma_state(&slot.pointee.state) == SlotState.free else { continue }
      nextMachine = index + 1
      return unsafe slot
    }
    return nil
  }

  mutating func takeModel() -> UnsafeMutablePointer<swiftdma_model>? {
    let count = Int(SWIFTDMA_MODEL_COUNT)
    for step in 0..<count {
      let index = (nextModel + step) % count
      guard let slot = unsafe swiftdma_model_slot(index) else { return nil }
      guard unsafe swiftdma_state(&slot.pointee.state) == SlotState.free else { continue }
      nextModel = index + 1
      return unsafe slot
    }
    return nil
  }
}

/// What a slot's state word says.
enum SlotState {
  static var free: UInt32 { 0 }
  static var live: UInt32 { 1 }
}
