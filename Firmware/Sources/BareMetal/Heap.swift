import Runtime

/// The heap of Swift's objects, which DMA memory never comes from.
public enum Heap {
  /// Allocations since the start: the same before and after means that a path made none.
  public static var allocationCount: UInt64 { runtime_heap_allocation_count() }
  /// Bytes in use.
  public static var usedByteCount: Int { Int(runtime_heap_used()) }
}
