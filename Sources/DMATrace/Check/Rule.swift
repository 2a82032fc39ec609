import DMA

/// What a finding says was done wrong.
public enum Rule: String, Sendable, CaseIterable {
  case invalidAddress = "release-of-failed-mapping"
  case doubleRelease = "double-release"
  case unknownRelease = "release-of-unknown"
  case wrongDevice = "release-for-wrong-device"
  case wrongFunction = "release-with-wrong-function"
  case sizeDiffers = "release-with-different-size"
  case directionDiffers = "release-with-different-direction"
  case cpuAddressDiffers = "free-with-different-cpu-address"
  case entryCountDiffers = "unmap-sg-with-different-count"
  case syncAfterRelease = "sync-after-release"
  case syncOutside = "sync-outside-mapping"
  case syncUnknown = "sync-of-unknown"
  case syncDirection = "sync-with-different-direction"
  case syncReadOnly = "sync-for-cpu-of-device-read-only"
  case syncWriteOnly = "sync-for-device-of-device-write-only"
  case overlappingCacheLine = "overlapping-cache-line"
  case kernelImage = "map-of-kernel-image"
  case beyondMask = "address-beyond-mask"
  case segmentTooLong = "sg-segment-too-long"
  case segmentAcrossBoundary = "sg-segment-across-boundary"
  case neverSynced = "bounced-data-never-synced"
  case leak

  /// The rule in one sentence.
  public var summary: String {
    switch self {
    case .invalidAddress: "a mapping failed, and its error value was released as if it were one"
    case .doubleRelease: "memory was released that had already been released"
    case .unknownRelease: "memory was released that was never mapped for this device"
    case .wrongDevice: "a mapping of one device was released for another"
    case .wrongFunction: "memory was released with a function of another family"
    case .sizeDiffers: "a release gives another size than the mapping has"
    case .directionDiffers: "a release gives another direction than the mapping has"
    case .cpuAddressDiffers: "a free gives another CPU address than the allocation returned"
    case .entryCountDiffers:
      "a list was unmapped with another count than it was mapped with (use nents, not the result)"
    case .syncAfterRelease: "a mapping was synced after it had been released"
    case .syncOutside: "a sync reaches outside its mapping"
    case .syncUnknown: "memory was synced that is not mapped for this device"
    case .syncDirection: "a sync gives another direction than the mapping has"
    case .syncReadOnly: "memory the device cannot write was synced for the CPU"
    case .syncWriteOnly: "memory the device cannot read was synced for the device"
    case .overlappingCacheLine: "two mappings the device may write share a cache line"
    case .kernelImage: "the kernel's own code or constants were mapped for a device"
    case .beyondMask: "an address lies beyond what the device's mask can reach"
    case .segmentTooLong: "a segment is longer than the device can take"
    case .segmentAcrossBoundary: "a segment crosses a boundary the device cannot cross"
    case .neverSynced: "bounced data was released without ever being copied back"
    case .leak: "memory was still mapped when the driver had left"
    }
  }

  /// What the kernel's own debugging says about it; nil when it says nothing.
  public var kernelWording: String? {
    switch self {
    case .invalidAddress: "device driver tries to free an invalid DMA memory address"
    case .doubleRelease, .unknownRelease, .wrongDevice:
      "device driver tries to free DMA memory it has not allocated"
    case .wrongFunction: "device driver frees DMA memory with wrong function"
    case .sizeDiffers: "device driver frees DMA memory with different size"
    case .directionDiffers: "device driver frees DMA memory with different direction"
    case .cpuAddressDiffers: "device driver frees DMA memory with different CPU address"
    case .entryCountDiffers: "device driver frees DMA sg list with different entry count"
    case .syncAfterRelease, .syncOutside, .syncUnknown:
      "device driver tries to sync DMA memory it has not allocated"
    case .syncDirection: "device driver syncs DMA memory with different direction"
    case .syncReadOnly: "device driver syncs device read-only DMA memory for cpu"
    case .syncWriteOnly: "device driver syncs device write-only DMA memory to device"
    case .overlappingCacheLine:
      "cacheline tracking EEXIST, overlapping mappings aren't supported"
    case .kernelImage: "device driver maps memory from kernel text or rodata"
    case .segmentTooLong: "mapping sg segment longer than device claims to support"
    case .segmentAcrossBoundary: "mapping sg segment across boundary"
    case .leak: "device driver has pending DMA allocations while released from device"
    case .beyondMask, .neverSynced: nil
    }
  }

  /// What usually mends it.
  public var advice: String {
    switch self {
    case .invalidAddress: "test the result with dma_mapping_error() and do not unmap a failure"
    case .doubleRelease: "release once: clear the stored address when it is released"
    case .unknownRelease: "release only what this device mapped"
    case .wrongDevice: "pass the same struct device to map and unmap"
    case .wrongFunction: "release with the function that belongs to the mapping's"
    case .sizeDiffers: "store the mapped length and pass it to the release"
    case .directionDiffers: "pass the direction of the mapping to the release"
    case .cpuAddressDiffers: "pass the pointer the allocation returned"
    case .entryCountDiffers: "unmap with the nents given to dma_map_sg()"
    case .syncAfterRelease: "sync before the release"
    case .syncOutside: "keep offset and length inside the mapping"
    case .syncUnknown: "sync only what is mapped"
    case .syncDirection: "sync with the mapping's direction"
    case .syncReadOnly, .syncWriteOnly: "map with DMA_BIDIRECTIONAL or drop the sync"
    case .overlappingCacheLine: "align buffers to the cache line (dma_get_cache_alignment())"
    case .kernelImage: "copy the bytes into allocated memory and map that"
    case .beyondMask: "set the mask the device really has before mapping"
    case .segmentTooLong: "set dma_set_max_seg_size(), or build shorter lists"
    case .segmentAcrossBoundary: "set dma_set_seg_boundary()"
    case .neverSynced: "call dma_sync_*_for_cpu() before reading, or drop SKIP_CPU_SYNC"
    case .leak: "release everything in the driver's remove function"
    }
  }

  /// Whether events that were lost could explain it.
  var dependsOnCompleteness: Bool {
    switch self {
    case .invalidAddress, .kernelImage, .beyondMask, .segmentTooLong, .segmentAcrossBoundary:
      false
    default: true
    }
  }

  /// Whether one mapping or release that was not seen would explain it.
  var missesCall: Bool {
    switch self {
    case .doubleRelease, .unknownRelease, .wrongDevice, .syncAfterRelease, .syncUnknown,
      .overlappingCacheLine:
      true
    default: false
    }
  }
}
