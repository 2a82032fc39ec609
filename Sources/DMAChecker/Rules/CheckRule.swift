/// What a finding says was done wrong.
///
/// The first ones are the kinds of the kernel's own DMA debugging (`kernelWording`), the others
/// have no counterpart there. Documentation/checker-rules.md is the same list as a table.
public enum CheckRule: UInt8, CaseIterable, Sendable {
  /// A mapping failed, and its error value was released as if it were one.
  case releaseOfFailedMapping = 1
  /// Memory was released that had already been released.
  case doubleRelease
  /// Memory was released that was never mapped for this device.
  case releaseOfUnknown
  /// A mapping of one device was released for another.
  case releaseForWrongDevice
  /// A release gives another size than the mapping has.
  case sizeDiffers
  /// Memory was released with a function of another family.
  case wrongFunction
  /// A free gives another CPU address than the allocation returned.
  case cpuAddressDiffers
  /// A list was unmapped with another count than it was mapped with.
  case entryCountDiffers
  /// A release gives another direction than the mapping has.
  case directionDiffers
  /// A mapping was used without testing whether it had failed.
  case errorNotChecked
  /// Memory of a stack was mapped for a device.
  case mapOfStack
  /// Code, constants or variables of the kernel or a driver were mapped for a device.
  case mapOfKernelImage
  /// An address that is no memory for DMA was mapped for a device.
  case mapOfInvalidArea
  /// Memory that is only virtually contiguous was mapped as one piece.
  case mapOfVmalloc
  /// A segment is longer than the device can take.
  case segmentTooLong
  /// A segment crosses a boundary the device cannot cross.
  case segmentAcrossBoundary
  /// Two mappings the device may write share a cache line.
  case overlappingCacheLine
  /// A cache line is part of more than seven mappings the device may write.
  case tooManyOverlaps
  /// Memory was synced that is not mapped for this device.
  case syncOfUnknown
  /// A mapping was synced after it had been released.
  case syncAfterRelease
  /// A sync reaches outside its mapping.
  case syncOutside
  /// A sync gives another direction than the mapping has.
  case syncDirection
  /// Memory the device cannot write was synced for the CPU as if it had.
  case syncReadOnly
  /// Memory the device cannot read was synced for the device as if it would.
  case syncWriteOnly
  /// A list was synced with another count than it was mapped with.
  case syncEntryCount
  /// Memory was still mapped when the driver had left.
  case leak
  /// An address lies beyond what the device's mask can reach.
  case beyondMask
  /// A map of no bytes was asked for.
  case zeroLengthMap
  /// A mask was changed while mappings made under the old one were live.
  case maskChangedWhileMapped
  /// A device whose mask had been refused was used for DMA all the same.
  case refusedMaskUsed
  /// A live mapping was dropped; its memory is held back until the device is quiet.
  case mappingDropped
  /// Memory that only the device may read changed while it was mapped.
  case memoryChanged
  /// Memory was freed while it was mapped for a device.
  case memoryFreed
  /// A device used memory after its mapping had ended.
  case deviceUseAfterUnmap
  /// A device's access starts inside a mapping and leaves it.
  case deviceOutside
  /// A device wrote to memory mapped for reading.
  case deviceWroteReadOnly
  /// A device read memory mapped for writing.
  case deviceReadWriteOnly
  /// A device used an address that is mapped for another.
  case deviceUsedOthers
  /// A device used an address that is not mapped for it.
  case deviceUsedUnmapped
  /// A device used memory between a sync for the CPU and one for the device.
  case deviceUsedCPUOwned
  /// A device that may not master the bus tried to reach memory.
  case deviceNotMaster
  /// An IOMMU or a bus refused an access that fits a live mapping.
  case deviceFault
  /// A pool was destroyed with blocks in use.
  case poolBusy
  /// A block of a pool was freed twice.
  case poolDoubleFree
  /// Something was freed to a pool that is no block of it.
  case poolFreeOfUnknown
  /// A block of one pool was freed to another.
  case poolFreeToWrongPool
  /// A free block of a pool was written.
  case poolBlockWritten
  /// The CPU touched memory while a device owned it.
  case cpuTouchedMapped
}
