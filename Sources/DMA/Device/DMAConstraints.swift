/// What a device's DMA engine can take, besides its mask.
///
/// The defaults are Linux's for PCI: 64 KiB segments that do not cross 4 GiB.
@frozen
public struct DMAConstraints: Equatable, Sendable {
  /// The longest segment of a scatter list, in bytes.
  public var segmentByteCountMax: Int
  /// Segments never cross a multiple of this plus one: 2^k - 1.
  public var segmentBoundaryMask: UInt64
  /// The most segments the device takes in one list.
  public var segmentCountMax: Int
  /// Low address bits that a bounced copy must keep: 2^k - 1 or 0.
  public var minimumAlignmentMask: UInt64

  /// - Throws: `DMAError.invalidBoundary` and `DMAError.invalidAlignment` when a mask is not one
  ///   less than a power of two; `DMAError.emptyRequest` for a length or count of zero.
  public init(
    segmentByteCountMax: Int = 65536, segmentBoundaryMask: UInt64 = 0xffff_ffff,
    segmentCountMax: Int = .max, minimumAlignmentMask: UInt64 = 0
  ) throws(DMAError) {
    guard segmentByteCountMax > 0, segmentCountMax > 0 else { throw .emptyRequest }
    guard segmentBoundaryMask & (segmentBoundaryMask &+ 1) == 0 else {
      throw .invalidBoundary(Int(truncatingIfNeeded: segmentBoundaryMask), blockByteCount: 1)
    }
    guard minimumAlignmentMask & (minimumAlignmentMask &+ 1) == 0 else {
      throw .invalidAlignment(Int(truncatingIfNeeded: minimumAlignmentMask), limit: .max)
    }
    self.segmentByteCountMax = segmentByteCountMax
    self.segmentBoundaryMask = segmentBoundaryMask
    self.segmentCountMax = segmentCountMax
    self.minimumAlignmentMask = minimumAlignmentMask
  }

  /// Linux's defaults for a PCI device.
  public static var pci: DMAConstraints { DMAConstraints(trusted: ()) }

  init(trusted: Void) {
    segmentByteCountMax = 65536
    segmentBoundaryMask = 0xffff_ffff
    segmentCountMax = .max
    minimumAlignmentMask = 0
  }

  /// The constraints of a device behind a bridge that has its own: the narrower of each.
  public func restricted(by parent: DMAConstraints) -> DMAConstraints {
    var result = self
    result.segmentByteCountMax = min(segmentByteCountMax, parent.segmentByteCountMax)
    result.segmentBoundaryMask = min(segmentBoundaryMask, parent.segmentBoundaryMask)
    result.segmentCountMax = min(segmentCountMax, parent.segmentCountMax)
    result.minimumAlignmentMask = max(minimumAlignmentMask, parent.minimumAlignmentMask)
    return result
  }
}
