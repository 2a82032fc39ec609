internal import DMASupport

/// How registers are reached where they are not memory of this process: a simulated device, a
/// device behind a socket.
@safe
public struct RegisterOperations {
  /// (context, window, offset, bytes 1, 2, 4 or 8): the register's value; all ones when nobody
  /// answers, as on a bus.
  public typealias Read =
    @convention(c) (UnsafeMutableRawPointer, UInt64, Int, Int) -> UInt64
  /// (context, window, offset, bytes 1, 2, 4 or 8, value).
  public typealias Write =
    @convention(c) (UnsafeMutableRawPointer, UInt64, Int, Int, UInt64) -> Void

  public var read: Read
  public var write: Write

  public init(read: @escaping Read, write: @escaping Write) {
    unsafe self.read = read
    unsafe self.write = write
  }
}

/// A device's registers: a window of little-endian words.
///
/// Each call is exactly one access of its width. A write comes after everything the CPU stored
/// before it, as seen by devices, so that a doorbell never overtakes its descriptor; a read is
/// done before any load after it. Offsets outside of the window, or not aligned to the width,
/// trap. Valid as long as its machine; any thread, any context.
@safe
public struct RegisterWindow {
  /// Not zero: the registers are memory at this address.
  private let base: UInt
  private let operations: UnsafePointer<RegisterOperations>?
  private let context: UnsafeMutableRawPointer?
  private let window: UInt64
  /// Bytes from the first register to the end.
  public let byteCount: Int

  /// Registers that are memory of this process.
  public init(unsafeBase base: UInt, byteCount: Int) {
    precondition(base != 0, "registers have an address")
    self.base = base
    unsafe self.operations = nil
    unsafe self.context = nil
    self.window = 0
    self.byteCount = byteCount
  }

  /// Registers that are reached by calls.
  ///
  /// - Parameter window: tells the functions which registers are meant.
  public init(
    operations: UnsafePointer<RegisterOperations>, context: UnsafeMutableRawPointer,
    window: UInt64, byteCount: Int
  ) {
    self.base = 0
    unsafe self.operations = operations
    unsafe self.context = context
    self.window = window
    self.byteCount = byteCount
  }

  private func check(_ offset: Int, _ width: Int) {
    precondition(
      offset >= 0 && offset <= byteCount - width && offset % width == 0,
      "a register lies whole and aligned inside of its window")
  }

  /// Reads one word.
  public func read<Word: DMAWord>(_ type: Word.Type = Word.self, at offset: Int) -> Word {
    let width = MemoryLayout<Word>.size
    check(offset, width)
    let value: Word
    if base != 0 {
      value = Word.volatileLoad(at: base + UInt(offset))
    } else if let operations = unsafe operations, let context = unsafe context {
      // SAFETY: the machine keeps table and context valid as long as its windows.
      value = Word(
        truncatingIfNeeded: unsafe operations.pointee.read(context, window, offset, width))
    } else {
      value = .max
    }
    dma_barrier_read()
    return value
  }

  /// Writes one word, after everything stored before it.
  public func write<Word: DMAWord>(_ value: Word, at offset: Int) {
    let width = MemoryLayout<Word>.size
    check(offset, width)
    dma_barrier_write()
    if base != 0 {
      Word.volatileStore(value, at: base + UInt(offset))
    } else if let operations = unsafe operations, let context = unsafe context {
      // SAFETY: as in read.
      unsafe operations.pointee.write(
        context, window, offset, width, UInt64(truncatingIfNeeded: value))
    }
  }
}

// SAFETY: plain data; machines make their functions callable from any thread.
extension RegisterWindow: @unchecked Sendable {}
