internal import DMA
internal import Synchronization

/// Turns messages written to the interrupt window into vectors, as local APICs do.
///
/// A vector is free, or handed out; a message for one that is not handed out is spurious and only
/// counted. Address bits 19:12 name the processor, data bits 7:0 the vector (Intel SDM vol. 3,
/// 11.11).
@safe
final class InterruptController {
  static let window: ClosedRange<UInt64> = 0xfee0_0000...0xfeef_ffff
  /// Vectors 0 to 31 are the processor's own exceptions.
  private static let firstVector = 32
  private static let processorCount = 8
  private static let wordCount = processorCount * 4

  private struct State: ~Copyable {
    /// One bit a vector: handed out.
    var taken: [32 of UInt64] = .init(repeating: 0)
  }

  private let lock = RawSpinLock()
  private let state: UnsafeMutablePointer<State>
  /// One bit a vector: its message has come and nobody has taken it.
  private let pending: UnsafeMutablePointer<Atomic<UInt64>>
  private let spurious = Atomic<UInt64>(0)

  init() {
    unsafe state = .allocate(capacity: 1)
    unsafe pending = .allocate(capacity: Self.wordCount)
    // SAFETY: freshly allocated for what is stored.
    unsafe state.initialize(to: State())
    for index in 0..<Self.wordCount { unsafe (pending + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe pending.deinitialize(count: Self.wordCount)
    unsafe pending.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// A free vector: processor << 8 | number, or nil when all are taken.
  func allocate() -> UInt64? {
    lock.withLock {
      for index in 0..<Self.wordCount {
        // The first 32 vectors of each processor are not for devices.
        let reserved: UInt64 = index % 4 == 0 ? 1 << UInt64(Self.firstVector) - 1 : 0
        // SAFETY: the state lives as long as this object; the lock is held.
        let free = unsafe ~(state.pointee.taken[index] | reserved)
        guard free != 0 else { continue }
        let bit = free.trailingZeroBitCount
        unsafe state.pointee.taken[index] |= 1 << UInt64(bit)
        // Relaxed: a message left from the vector's last owner is dropped before it is known.
        unsafe pending[index].bitwiseAnd(~(1 << UInt64(bit)), ordering: .relaxed)
        return UInt64(index * 64 + bit)
      }
      return nil
    }
  }

  /// Gives a vector back; one that is not taken is left alone.
  func free(_ handle: UInt64) {
    guard handle < UInt64(Self.wordCount * 64) else { return }
    lock.withLock {
      // SAFETY: as above; the handle is in range.
      unsafe state.pointee.taken[Int(handle / 64)] &= ~(1 << (handle % 64))
    }
  }

  /// The message that fires a vector.
  static func message(_ handle: UInt64) -> (address: UInt64, data: UInt64) {
    (window.lowerBound | (handle >> 8) << 12, handle & 0xff)
  }

  /// A message from a device.
  func receive(address: UInt64, data: UInt32) {
    let processor = Int(address >> 12 & 0xff)
    let vector = Int(data & 0xff)
    let isTaken =
      processor < Self.processorCount
      && lock.withLock {
        unsafe state.pointee.taken[processor * 4 + vector / 64] >> UInt64(vector % 64) & 1 != 0
      }
    guard isTaken else {
      spurious.add(1, ordering: .relaxed)
      return
    }
    // Releasing: what the device wrote before its message is seen by who takes it.
    unsafe pending[processor * 4 + vector / 64]
      .bitwiseOr(1 << UInt64(vector % 64), ordering: .releasing)
  }

  /// Whether a vector fired since the last call.
  func take(_ handle: UInt64) -> Bool {
    guard handle < UInt64(Self.wordCount * 64) else { return false }
    let bit: UInt64 = 1 << (handle % 64)
    let word = unsafe pending + Int(handle / 64)
    // SAFETY: the handle is in range. Looking first keeps waiting loops off the shared line.
    guard unsafe word.pointee.load(ordering: .relaxed) & bit != 0 else { return false }
    // Acquiring: pairs with receive.
    return unsafe word.pointee.bitwiseAnd(~bit, ordering: .acquiring).oldValue & bit != 0
  }

  /// Messages that no one had asked for.
  var spuriousCount: UInt64 { spurious.load(ordering: .relaxed) }
}

// SAFETY: the state is only touched with the lock held; pending words are atomic.
extension InterruptController: @unchecked Sendable {}
