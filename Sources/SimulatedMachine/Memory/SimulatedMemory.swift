public import DMA
internal import MachineMemory

/// A piece of a simulated machine's memory of some kind, as kernel code would hold it.
///
/// Freed when the value goes. Whether it may be used for DMA by its address depends on its kind.
@safe
public struct SimulatedMemory: ~Copyable {
  /// What it is.
  public let kind: MemoryKind
  /// Where the CPU sees it.
  public let address: UInt
  /// How many bytes there are: what was asked for.
  public let byteCount: Int
  /// Bytes before `address` that are part of the allocation.
  let headroom: Int
  let core: MachineCore

  init(kind: MemoryKind, start: UInt, headroom: Int = 0, byteCount: Int, core: MachineCore) {
    self.kind = kind
    self.address = start + UInt(headroom)
    self.byteCount = byteCount
    self.headroom = headroom
    self.core = core
  }

  deinit {
    let start = address - UInt(headroom)
    switch kind {
    case .slab: core.slabs.free(start)
    case .pages:
      if let physicalAddress = core.memory.physicalAddress(start) {
        core.allocator.free(physicalAddress: physicalAddress, byteCount: headroom + byteCount)
      }
    default: core.areas.free(start)
    }
  }

  /// The bytes, to read.
  public var bytes: RawSpan {
    @_lifetime(borrow self) get {
      // SAFETY: the memory lives as long as self, which is borrowed while the span lives; its
      // address is never zero.
      let start = unsafe UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes, to change.
  public var mutableBytes: MutableRawSpan {
    @_lifetime(&self) mutating get {
      // SAFETY: as above; self is borrowed exclusively while the span lives.
      let start = unsafe UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
      let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: byteCount)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }
}

// SAFETY: the value owns its memory alone.
extension SimulatedMemory: @unchecked Sendable {}
