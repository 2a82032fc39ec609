internal import Synchronization

/// Where message interrupts arrive: words of RAM that no driver is ever given.
///
/// A message is a store to an address. Where there is no interrupt controller to receive it, a
/// word of memory does: not zero, it has fired.
@safe
final class InterruptPage: Sendable {
  /// Inside of the first megabyte, which the page allocator leaves alone.
  static let physicalAddress: UInt64 = 0x1000
  static let byteCount = 4096
  static let vectorCount = byteCount / MemoryLayout<UInt32>.stride

  // Shared with QEMU; only accessed atomically.
  nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt32>>
  private let isTaken = HostLock([Bool](repeating: false, count: vectorCount))

  /// - Parameter cpuAddress: of the page; valid as long as this object.
  init(unsafeCPUAddress cpuAddress: UInt) {
    guard let words = unsafe UnsafeMutablePointer<Atomic<UInt32>>(bitPattern: cpuAddress) else {
      preconditionFailure("the interrupt page has an address")
    }
    unsafe self.words = words
  }

  /// Takes a vector that nobody has; nil when all are taken.
  func allocate() -> Int? {
    let found = isTaken.withLock { isTaken -> Int? in
      guard let vector = isTaken.firstIndex(of: false) else { return nil }
      isTaken[vector] = true
      return vector
    }
    // A device may have fired it once more after it was given back.
    if let found { _ = take(found) }
    return found
  }

  /// Gives a vector back.
  func free(_ vector: Int) { isTaken.withLock { $0[vector] = false } }

  /// Whether the vector has fired since the last call; forgets it.
  func take(_ vector: Int) -> Bool {
    precondition(vector >= 0 && vector < Self.vectorCount, "vector out of range")
    // Acquiring: what the device stored before its interrupt is seen after it.
    return unsafe words[vector].exchange(0, ordering: .acquiring) != 0
  }

  /// What the device is told to store, and where.
  static func message(_ vector: Int) -> (address: UInt64, data: UInt16) {
    (physicalAddress + UInt64(vector * MemoryLayout<UInt32>.stride), UInt16(vector + 1))
  }
}
