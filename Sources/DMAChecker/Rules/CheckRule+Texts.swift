extension CheckRule {
  /// The name in reports; trace checks call the same things the same.
  public var name: StaticString {
    switch self {
    case .releaseOfFailedMapping:
      "release-of-failed-mapping"
    case .doubleRelease:
      "double-release"
    case .releaseOfUnknown:
      "release-of-unknown"
    case .releaseForWrongDevice:
      "release-for-wrong-device"
    case .sizeDiffers:
      "release-with-different-size"
    case .wrongFunction:
      "release-with-wrong-function"
    case .cpuAddressDiffers:
      "free-with-different-cpu-address"
    case .entryCountDiffers:
      "unmap-sg-with-different-count"
    case .directionDiffers:
      "release-with-different-direction"
    case .errorNotChecked:
      "mapping-error-not-checked"
    case .mapOfStack:
      "map-of-stack"
    case .mapOfKernelImage:
      "map-of-kernel-image"
    case .mapOfInvalidArea:
      "map-of-invalid-area"
    case .mapOfVmalloc:
      "map-of-vmalloc"
    case .segmentTooLong:
      "sg-segment-too-long"
    case .segmentAcrossBoundary:
      "sg-segment-across-boundary"
    case .overlappingCacheLine:
      "overlapping-cache-line"
    case .tooManyOverlaps:
      "too-many-overlapping-mappings"
    case .syncOfUnknown:
      "sync-of-unknown"
    case .syncAfterRelease:
      "sync-after-release"
    case .syncOutside:
      "sync-outside-mapping"
    case .syncDirection:
      "sync-with-different-direction"
    case .syncReadOnly:
      "sync-for-cpu-of-device-read-only"
    case .syncWriteOnly:
      "sync-for-device-of-device-write-only"
    case .syncEntryCount:
      "sync-sg-with-different-count"
    case .leak:
      "leak"
    case .beyondMask:
      "address-beyond-mask"
    case .zeroLengthMap:
      "zero-length-map"
    case .maskChangedWhileMapped:
      "mask-changed-while-mapped"
    case .refusedMaskUsed:
      "map-with-refused-mask"
    case .mappingDropped:
      "mapping-dropped"
    case .memoryChanged:
      "memory-changed-while-mapped"
    case .memoryFreed:
      "memory-freed-while-mapped"
    case .deviceUseAfterUnmap:
      "device-use-after-unmap"
    case .deviceOutside:
      "device-access-outside-mapping"
    case .deviceWroteReadOnly:
      "device-write-to-read-only"
    case .deviceReadWriteOnly:
      "device-read-of-write-only"
    case .deviceUsedOthers:
      "device-access-of-other-device"
    case .deviceUsedUnmapped:
      "device-access-of-unmapped"
    case .deviceUsedCPUOwned:
      "device-access-while-cpu-owns"
    case .deviceNotMaster:
      "device-access-without-bus-mastering"
    case .deviceFault:
      "device-fault"
    case .poolBusy:
      "pool-destroyed-with-blocks"
    case .poolDoubleFree:
      "pool-double-free"
    case .poolFreeOfUnknown:
      "pool-free-of-unknown"
    case .poolFreeToWrongPool:
      "pool-free-to-wrong-pool"
    case .poolBlockWritten:
      "pool-block-written-while-free"
    case .cpuTouchedMapped:
      "cpu-touch-while-mapped"
    }
  }
}

extension CheckRule {
  /// The rule in one sentence.
  public var summary: StaticString {
    switch self {
    case .releaseOfFailedMapping:
      "a mapping failed, and its error value was released as if it were one"
    case .doubleRelease:
      "memory was released that had already been released"
    case .releaseOfUnknown:
      "memory was released that was never mapped for this device"
    case .releaseForWrongDevice:
      "a mapping of one device was released for another"
    case .sizeDiffers:
      "a release gives another size than the mapping has"
    case .wrongFunction:
      "memory was released with a function of another family"
    case .cpuAddressDiffers:
      "a free gives another CPU address than the allocation returned"
    case .entryCountDiffers:
      "a list was unmapped with another count than it was mapped with"
    case .directionDiffers:
      "a release gives another direction than the mapping has"
    case .errorNotChecked:
      "a mapping was used without testing whether it had failed"
    case .mapOfStack:
      "memory of a stack was mapped for a device"
    case .mapOfKernelImage:
      "code, constants or variables of the kernel or a driver were mapped for a device"
    case .mapOfInvalidArea:
      "an address that is no memory for DMA was mapped for a device"
    case .mapOfVmalloc:
      "memory that is only virtually contiguous was mapped as one piece"
    case .segmentTooLong:
      "a segment is longer than the device can take"
    case .segmentAcrossBoundary:
      "a segment crosses a boundary the device cannot cross"
    case .overlappingCacheLine:
      "two mappings the device may write share a cache line"
    case .tooManyOverlaps:
      "a cache line is part of more than seven mappings the device may write"
    case .syncOfUnknown:
      "memory was synced that is not mapped for this device"
    case .syncAfterRelease:
      "a mapping was synced after it had been released"
    case .syncOutside:
      "a sync reaches outside its mapping"
    case .syncDirection:
      "a sync gives another direction than the mapping has"
    case .syncReadOnly:
      "memory the device cannot write was synced for the CPU as if it had"
    case .syncWriteOnly:
      "memory the device cannot read was synced for the device as if it would"
    case .syncEntryCount:
      "a list was synced with another count than it was mapped with"
    case .leak:
      "memory was still mapped when the driver had left"
    case .beyondMask:
      "an address lies beyond what the device's mask can reach"
    case .zeroLengthMap:
      "a map of no bytes was asked for"
    case .maskChangedWhileMapped:
      "a mask was changed while mappings made under the old one were live"
    case .refusedMaskUsed:
      "a device whose mask had been refused was used for DMA all the same"
    case .mappingDropped:
      "a live mapping was dropped; its memory is held back until the device is quiet"
    case .memoryChanged:
      "memory that only the device may read changed while it was mapped"
    case .memoryFreed:
      "memory was freed while it was mapped for a device"
    case .deviceUseAfterUnmap:
      "a device used memory after its mapping had ended"
    case .deviceOutside:
      "a device's access starts inside a mapping and leaves it"
    case .deviceWroteReadOnly:
      "a device wrote to memory mapped for reading"
    case .deviceReadWriteOnly:
      "a device read memory mapped for writing"
    case .deviceUsedOthers:
      "a device used an address that is mapped for another"
    case .deviceUsedUnmapped:
      "a device used an address that is not mapped for it"
    case .deviceUsedCPUOwned:
      "a device used memory between a sync for the CPU and one for the device"
    case .deviceNotMaster:
      "a device that may not master the bus tried to reach memory"
    case .deviceFault:
      "an IOMMU or a bus refused an access that fits a live mapping"
    case .poolBusy:
      "a pool was destroyed with blocks in use"
    case .poolDoubleFree:
      "a block of a pool was freed twice"
    case .poolFreeOfUnknown:
      "something was freed to a pool that is no block of it"
    case .poolFreeToWrongPool:
      "a block of one pool was freed to another"
    case .poolBlockWritten:
      "a free block of a pool was written"
    case .cpuTouchedMapped:
      "the CPU touched memory while a device owned it"
    }
  }
}

extension CheckRule {
  /// What the kernel's own debugging says about it; nil when it says nothing.
  public var kernelWording: StaticString? {
    switch self {
    case .releaseOfFailedMapping:
      "device driver tries to free an invalid DMA memory address"
    case .doubleRelease:
      "device driver tries to free DMA memory it has not allocated"
    case .releaseOfUnknown:
      "device driver tries to free DMA memory it has not allocated"
    case .releaseForWrongDevice:
      "device driver tries to free DMA memory it has not allocated"
    case .sizeDiffers:
      "device driver frees DMA memory with different size"
    case .wrongFunction:
      "device driver frees DMA memory with wrong function"
    case .cpuAddressDiffers:
      "device driver frees DMA memory with different CPU address"
    case .entryCountDiffers:
      "device driver frees DMA sg list with different entry count"
    case .directionDiffers:
      "device driver frees DMA memory with different direction"
    case .errorNotChecked:
      "device driver failed to check map error"
    case .mapOfStack:
      "device driver maps memory from stack"
    case .mapOfKernelImage:
      "device driver maps memory from kernel text or rodata"
    case .mapOfInvalidArea:
      "device driver maps memory from invalid area"
    case .mapOfVmalloc:
      "device driver maps memory from vmalloc area"
    case .segmentTooLong:
      "mapping sg segment longer than device claims to support"
    case .segmentAcrossBoundary:
      "mapping sg segment across boundary"
    case .overlappingCacheLine:
      "cacheline tracking EEXIST, overlapping mappings aren't supported"
    case .tooManyOverlaps:
      "exceeded 7 overlapping mappings of cacheline"
    case .syncOfUnknown:
      "device driver tries to sync DMA memory it has not allocated"
    case .syncAfterRelease:
      "device driver tries to sync DMA memory it has not allocated"
    case .syncOutside:
      "device driver syncs DMA memory outside allocated range"
    case .syncDirection:
      "device driver syncs DMA memory with different direction"
    case .syncReadOnly:
      "device driver syncs device read-only DMA memory for cpu"
    case .syncWriteOnly:
      "device driver syncs device write-only DMA memory to device"
    case .syncEntryCount:
      "device driver syncs DMA sg list with different entry count"
    case .leak:
      "device driver has pending DMA allocations while released from device"
    default: nil
    }
  }
}

extension CheckRule {
  /// What usually mends it.
  public var advice: StaticString {
    switch self {
    case .releaseOfFailedMapping:
      "test the result of the map and do not unmap a failure"
    case .doubleRelease:
      "release once: clear the stored address when it is released"
    case .releaseOfUnknown:
      "release only what this device mapped, by the address the map returned"
    case .releaseForWrongDevice:
      "pass the same device to map and unmap"
    case .sizeDiffers:
      "store the mapped length and pass it to the release"
    case .wrongFunction:
      "release with the function that belongs to the mapping's"
    case .cpuAddressDiffers:
      "pass the pointer the allocation returned"
    case .entryCountDiffers:
      "unmap with the number of entries given to the map, not with its result"
    case .directionDiffers:
      "pass the direction of the mapping to the release"
    case .errorNotChecked:
      "test the result of every map before the device gets it"
    case .mapOfStack:
      "use a buffer from the page allocator"
    case .mapOfKernelImage:
      "copy the bytes into allocated memory and map that"
    case .mapOfInvalidArea:
      "map memory from the page allocator, by the address it gave"
    case .mapOfVmalloc:
      "map its pages as a scatter list"
    case .segmentTooLong:
      "set the segment size the device has, or build shorter lists"
    case .segmentAcrossBoundary:
      "set the segment boundary the device has"
    case .overlappingCacheLine:
      "align buffers to the cache line"
    case .tooManyOverlaps:
      "unmap what is no longer used; align buffers to the cache line"
    case .syncOfUnknown:
      "sync only what is mapped"
    case .syncAfterRelease:
      "sync before the release"
    case .syncOutside:
      "keep offset and length inside the mapping"
    case .syncDirection:
      "sync with the mapping's direction"
    case .syncReadOnly:
      "map both ways or drop the sync"
    case .syncWriteOnly:
      "map both ways or drop the sync"
    case .syncEntryCount:
      "sync with the number of entries given to the map"
    case .leak:
      "release everything before the device is removed"
    case .beyondMask:
      "set the mask the device really has before mapping"
    case .zeroLengthMap:
      "do not map when there is nothing to transfer"
    case .maskChangedWhileMapped:
      "set masks once, before the first mapping"
    case .refusedMaskUsed:
      "use another way to move the data, or leave the device alone"
    case .mappingDropped:
      "keep the mapping until the device is done, then unmap it"
    case .memoryChanged:
      "write before the map, or between a sync for the CPU and one for the device"
    case .memoryFreed:
      "unmap before freeing"
    case .deviceUseAfterUnmap:
      "wait for the device, then unmap"
    case .deviceOutside:
      "give the device the mapped length"
    case .deviceWroteReadOnly:
      "map FROM_DEVICE or BIDIRECTIONAL, or mend the descriptor"
    case .deviceReadWriteOnly:
      "map TO_DEVICE or BIDIRECTIONAL, or mend the descriptor"
    case .deviceUsedOthers:
      "give each device addresses from its own mappings"
    case .deviceUsedUnmapped:
      "give the device only addresses that a mapping returned"
    case .deviceUsedCPUOwned:
      "sync for the device before it goes on"
    case .deviceNotMaster:
      "enable bus mastering before starting transfers, and stop them before disabling it"
    case .deviceFault:
      "look at the mapping's direction and at the unit's tables"
    case .poolBusy:
      "free all blocks first"
    case .poolDoubleFree:
      "free once: clear the stored address when it is freed"
    case .poolFreeOfUnknown:
      "free blocks with both addresses as allocated"
    case .poolFreeToWrongPool:
      "free to the pool the block came from"
    case .poolBlockWritten:
      "look for a device that still had the block, or a pointer that was kept"
    case .cpuTouchedMapped:
      "sync for the CPU or unmap first; the place is the instruction"
    }
  }
}
