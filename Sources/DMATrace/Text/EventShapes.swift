import DMA

/// What an event's name says about it: old names, new names, and names from other tools.
struct EventShape {
  var kind: TraceEvent.Kind
  var family: DMAEvent.Family
  /// The event exists to say that the call failed.
  var failed = false

  /// The shape of a name without its system prefix; nil for names that are not ours.
  static func named(_ name: String) -> EventShape? {
    switch name {
    case "dma_map_page": EventShape(kind: .map, family: .single)
    case "dma_map_resource": EventShape(kind: .map, family: .resource)
    case "dma_map_phys": EventShape(kind: .map, family: .physical)
    case "dma_unmap_page": EventShape(kind: .unmap, family: .single)
    case "dma_unmap_resource": EventShape(kind: .unmap, family: .resource)
    case "dma_unmap_phys": EventShape(kind: .unmap, family: .physical)
    case "dma_map_sg": EventShape(kind: .mapScatter, family: .scatter)
    case "dma_map_sg_err": EventShape(kind: .mapScatter, family: .scatter, failed: true)
    case "dma_unmap_sg": EventShape(kind: .unmapScatter, family: .scatter)
    case "dma_alloc": EventShape(kind: .allocate, family: .coherent)
    case "dma_alloc_pages": EventShape(kind: .allocate, family: .pages)
    case "dma_alloc_sgt": EventShape(kind: .allocate, family: .noncontiguous)
    case "dma_alloc_sgt_err":
      EventShape(kind: .allocate, family: .noncontiguous, failed: true)
    case "dma_free": EventShape(kind: .free, family: .coherent)
    case "dma_free_pages": EventShape(kind: .free, family: .pages)
    case "dma_free_sgt": EventShape(kind: .free, family: .noncontiguous)
    case "dma_sync_single_for_cpu": EventShape(kind: .syncForCPU, family: .single)
    case "dma_sync_single_for_device": EventShape(kind: .syncForDevice, family: .single)
    case "dma_sync_sg_for_cpu": EventShape(kind: .syncScatterForCPU, family: .scatter)
    case "dma_sync_sg_for_device": EventShape(kind: .syncScatterForDevice, family: .scatter)
    case "swiotlb_bounced": EventShape(kind: .bounced, family: .none)
    case "map": EventShape(kind: .translationAdded, family: .none)
    case "unmap": EventShape(kind: .translationRemoved, family: .none)
    case "add_device_to_group": EventShape(kind: .deviceJoined, family: .none)
    case "remove_device_from_group": EventShape(kind: .deviceLeft, family: .none)
    case "attach_device_to_domain": EventShape(kind: .deviceAttached, family: .none)
    case "io_page_fault": EventShape(kind: .fault, family: .none)
    case "tracing_mark_write", "print": EventShape(kind: .mark, family: .none)
    default: nil
    }
  }
}

/// `DMA_ATTR_*` names as the kernel prints them, by bit (include/linux/dma-mapping.h).
enum AttributeNames {
  static let byBit: [(bit: UInt32, name: StaticString)] = [
    (1, "WEAK_ORDERING"), (2, "WRITE_COMBINE"), (4, "NO_KERNEL_MAPPING"), (5, "SKIP_CPU_SYNC"),
    (6, "FORCE_CONTIGUOUS"), (7, "ALLOC_SINGLE_PAGES"), (8, "NO_WARN"), (9, "PRIVILEGED"),
    (10, "MMIO"), (11, "CACHE_CLEAN"),
  ]
  static let skipCPUSync: UInt32 = 1 << 5
}
