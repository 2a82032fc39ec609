internal import CSimulatedHost

/// What a disk's contents are kept in: subclass it for a medium of another kind.
///
/// The controller calls it one command at a time, with ranges inside of `byteCount`.
@safe
open class NVMeStorage {
  /// How an access to a medium ended.
  public enum Outcome: Equatable, Sendable {
    /// All bytes moved.
    case done
    /// There is no room left for what was written.
    case full
    /// The medium failed, with the host's error number; 0 when bytes are missing.
    case failed(code: Int)
  }

  /// How many bytes it holds.
  public let byteCount: UInt64
  /// Whether writes are refused.
  public let isReadOnly: Bool

  public init(byteCount: UInt64, isReadOnly: Bool = false) {
    self.byteCount = byteCount
    self.isReadOnly = isReadOnly
  }

  /// Fills `buffer` with the bytes from `offset` on.
  open func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
    .failed(code: 0)
  }

  /// Where the bytes from `offset` on are, for a medium that is memory of this process: the
  /// controller then moves them from there, without a copy of its own; nil for any other.
  ///
  /// They stay there, and readable, while the object lives.
  open func memory(at offset: UInt64, byteCount: Int) -> UnsafeRawBufferPointer? { nil }

  /// Stores the bytes of `buffer` from `offset` on.
  open func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) -> Outcome {
    .failed(code: 0)
  }

  /// Makes bytes zero.
  open func writeZeroes(at offset: UInt64, byteCount: UInt64) -> Outcome {
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)
    defer { unsafe chunk.deallocate() }
    _ = unsafe chunk.initializeMemory(as: UInt8.self, repeating: 0)
    var done: UInt64 = 0
    while done < byteCount {
      let count = Int(min(UInt64(chunk.count), byteCount - done))
      let part = unsafe UnsafeRawBufferPointer(rebasing: chunk[..<count])
      let outcome = unsafe write(at: offset + done, from: part)
      guard outcome == .done else { return outcome }
      done += UInt64(count)
    }
    return .done
  }

  /// Makes what was written safe against a loss of power.
  open func flush() -> Outcome { .done }
}

/// A disk whose contents are this process's memory: zeroes at first, gone with the object.
///
/// Only what is written takes memory.
@safe
public final class NVMeMemory: NVMeStorage {
  private let start: UInt

  /// - Throws: `SimulatedMachineError.host` when the host has no addresses left.
  public init(zeroes byteCount: UInt64, isReadOnly: Bool = false) throws(SimulatedMachineError) {
    start = simulated_host_private(max(byteCount, 1))
    // ENOMEM.
    guard start != 0 else { throw .host(code: 12) }
    super.init(byteCount: byteCount, isReadOnly: isReadOnly)
  }

  deinit { simulated_host_release(start, max(byteCount, 1)) }

  public override func read(
    at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) -> Outcome {
    guard let to = buffer.baseAddress else { return .done }
    guard contains(offset, buffer.count) else { return .failed(code: 0) }
    simulated_host_copy(UInt(bitPattern: to), start + UInt(offset), buffer.count)
    return .done
  }

  public override func write(
    at offset: UInt64, from buffer: UnsafeRawBufferPointer
  ) -> Outcome {
    guard let from = buffer.baseAddress else { return .done }
    guard contains(offset, buffer.count) else { return .failed(code: 0) }
    simulated_host_copy(start + UInt(offset), UInt(bitPattern: from), buffer.count)
    return .done
  }

  public override func memory(at offset: UInt64, byteCount: Int) -> UnsafeRawBufferPointer? {
    guard contains(offset, byteCount) else { return nil }
    // SAFETY: the range is the object's own.
    return unsafe UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: start + UInt(offset)), count: byteCount)
  }

  private func contains(_ offset: UInt64, _ count: Int) -> Bool {
    offset <= byteCount && UInt64(count) <= byteCount - offset
  }
}
