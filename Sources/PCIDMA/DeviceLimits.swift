public import CPCIDMA
internal import DMA

// What else a device's engine cannot do, under the later names.

/// The device that one of these calls means.
private func limited(_ dev: UnsafeRawPointer?, _ call: StaticString) -> DeviceBox? {
  // Bit 48: given as a struct device.
  unsafe lookUp(dev, Place(nil, UInt64(SWIFTDMA_CALL_DEVICE) << 48), call)
}

@c @implementation
public func dma_get_required_mask(_ dev: UnsafeMutablePointer<CPCIDMA.device>?) -> UInt64 {
  unsafe limited(dev, "dma_get_required_mask")?.dma.requiredMask.rawValue ?? 0
}

@c @implementation
public func dma_max_mapping_size(_ dev: UnsafeMutablePointer<CPCIDMA.device>?) -> Int {
  unsafe limited(dev, "dma_max_mapping_size")?.dma.maxMappingSize ?? 0
}

@c @implementation
public func dma_set_max_seg_size(
  _ dev: UnsafeMutablePointer<CPCIDMA.device>?, _ size: UInt32
) -> Int32 {
  guard let box = unsafe limited(dev, "dma_set_max_seg_size") else { return -Errno.noDevice }
  guard size > 0 else { return fail(Errno.invalid) }
  box.dma.constraints.segmentByteCountMax = Int(size)
  return 0
}

@c @implementation
public func dma_get_max_seg_size(_ dev: UnsafeMutablePointer<CPCIDMA.device>?) -> UInt32 {
  unsafe UInt32(
    clamping: limited(dev, "dma_get_max_seg_size")?.dma.constraints.segmentByteCountMax ?? 0)
}

@c @implementation
public func dma_set_seg_boundary(
  _ dev: UnsafeMutablePointer<CPCIDMA.device>?, _ mask: UInt
) -> Int32 {
  guard let box = unsafe limited(dev, "dma_set_seg_boundary") else { return -Errno.noDevice }
  guard mask != 0, mask & (mask &+ 1) == 0 else { return fail(Errno.invalid) }
  box.dma.constraints.segmentBoundaryMask = UInt64(mask)
  return 0
}

@c @implementation
public func dma_get_seg_boundary(_ dev: UnsafeMutablePointer<CPCIDMA.device>?) -> UInt {
  unsafe UInt(
    truncatingIfNeeded: limited(dev, "dma_get_seg_boundary")?.dma.constraints.segmentBoundaryMask
      ?? 0)
}
