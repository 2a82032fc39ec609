/// What an address belongs to (R7): only some memory may be used for DMA.
@frozen
public enum MemoryKind: UInt8, Equatable, Sendable {
  /// Nothing the machine knows.
  case unknown = 0
  /// Page-allocator memory: may be used (R8).
  case pages = 1
  /// Objects cut from pages by a slab-like allocator: may be used (R9).
  case slab = 2
  /// Virtually contiguous, physically scattered: may not be used by its address (R10).
  case vmalloc = 3
  /// Code, constants and variables of the kernel image or of a driver: may not be used (R12).
  case image = 4
  /// A stack: may not be used (R13).
  case stack = 5
  /// An address of a user process: may not be used.
  case user = 6
  /// Device registers: not memory.
  case mmio = 7

  /// Whether memory of this kind may be mapped by its address.
  public var isDMAable: Bool { self == .pages || self == .slab }
}

extension MemoryKind: CustomStringConvertible {
  /// A word for reports.
  public var description: String {
    switch self {
    case .unknown: "unknown"
    case .pages: "page-allocator"
    case .slab: "slab"
    case .vmalloc: "vmalloc"
    case .image: "kernel image"
    case .stack: "stack"
    case .user: "user"
    case .mmio: "MMIO"
    }
  }
}
