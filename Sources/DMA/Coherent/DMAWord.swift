internal import DMASupport

/// A value that may live in memory a device writes: every bit pattern is valid, and there is no
/// padding to leak.
///
/// Whoever conforms a struct promises both; `BitwiseCopyable` alone is not enough (`Bool` is
/// bitwise copyable, and most of its bit patterns are not a `Bool`).
public protocol DMARepresentable: BitwiseCopyable {}

/// A word that CPU and device exchange in one access.
public protocol DMAWord: DMARepresentable, FixedWidthInteger, Sendable {
  /// Reads memory in one access of this width, each time it is called.
  static func volatileLoad(at address: UInt) -> Self
  /// Writes memory in one access of this width, each time it is called.
  static func volatileStore(_ value: Self, at address: UInt)
}

extension UInt8: DMAWord {
  public static func volatileLoad(at address: UInt) -> UInt8 { dma_volatile_load8(address) }
  public static func volatileStore(_ value: UInt8, at address: UInt) {
    dma_volatile_store8(address, value)
  }
}

extension UInt16: DMAWord {
  public static func volatileLoad(at address: UInt) -> UInt16 { dma_volatile_load16(address) }
  public static func volatileStore(_ value: UInt16, at address: UInt) {
    dma_volatile_store16(address, value)
  }
}

extension UInt32: DMAWord {
  public static func volatileLoad(at address: UInt) -> UInt32 { dma_volatile_load32(address) }
  public static func volatileStore(_ value: UInt32, at address: UInt) {
    dma_volatile_store32(address, value)
  }
}

extension UInt64: DMAWord {
  public static func volatileLoad(at address: UInt) -> UInt64 { dma_volatile_load64(address) }
  public static func volatileStore(_ value: UInt64, at address: UInt) {
    dma_volatile_store64(address, value)
  }
}

/// A field of a descriptor by its offset: what a key path would be if Embedded Swift had them.
@frozen
public struct DMAField<Root: DMARepresentable, Word: DMAWord>: Sendable {
  /// Bytes from the descriptor's start.
  public let offset: Int

  /// A field that lies whole and aligned inside its descriptor; anything else traps.
  @inlinable
  public init(at offset: Int) {
    precondition(
      offset >= 0 && offset + MemoryLayout<Word>.size <= MemoryLayout<Root>.stride
        && offset % MemoryLayout<Word>.alignment == 0,
      "a field lies whole and aligned inside of its descriptor")
    self.offset = offset
  }
}
