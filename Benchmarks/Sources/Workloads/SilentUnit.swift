import DMA
import DMAMapping

/// An IOMMU without hardware: it is told of everything and does nothing, so that what is measured
/// is the work of the domain.
final class SilentUnit {
  // Made once, never changed.
  nonisolated(unsafe) private static let operations: UnsafePointer<IOMMUUnitOperations> = {
    let table = UnsafeMutablePointer<IOMMUUnitOperations>.allocate(capacity: 1)
    table.initialize(
      to: IOMMUUnitOperations(
        beginDomain: { _, _, _, numbers in
          numbers[0] = 1
          return DMAStatus.success.rawValue
        },
        endDomain: { _, _ in DMAStatus.success.rawValue },
        attach: { _, _, _, _ in DMAStatus.success.rawValue },
        detach: { _, _, _, _ in DMAStatus.success.rawValue },
        invalidateRange: invalidateNothing,
        invalidateDomain: { _, _ in DMAStatus.success.rawValue }))
    return UnsafePointer(table)
  }()

  var unit: IOMMUUnit {
    IOMMUUnit(
      operations: Self.operations, context: Unmanaged.passUnretained(self).toOpaque(), owner: self,
      levels: 4, lastAddress: 1 << 48 - 1, walksCoherently: true, cachesAbsentEntries: false)
  }
}

/// A C function itself: not entered through another one, as the peer's is not.
@c(workloads_invalidate_nothing)
func invalidateNothing(
  _ context: UnsafeMutableRawPointer, _ domain: UInt32, _ first: UInt64, _ byteCount: UInt64,
  _ withTables: UInt32
) -> Int32 { DMAStatus.success.rawValue }
