// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include "vfio_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

static int open_retrying(const char *path) {
  int file;
  do {
    file = open(path, O_RDWR | O_CLOEXEC);
  } while (file < 0 && errno == EINTR);
  return result(file);
}

int vfio_host_container_open(const char *path) {
  int container = open_retrying(path);
  if (container < 0) return container;
  int version = ioctl(container, VFIO_GET_API_VERSION);
  if (version == VFIO_API_VERSION) return container;
  int code = version < 0 ? errno : EPROTO;
  close(container);
  return -code;
}

int vfio_host_container_has_type1v2(int container) {
  return ioctl(container, VFIO_CHECK_EXTENSION, (unsigned long)VFIO_TYPE1v2_IOMMU) > 0;
}

int vfio_host_container_set_type1v2(int container) {
  return result(ioctl(container, VFIO_SET_IOMMU, (unsigned long)VFIO_TYPE1v2_IOMMU));
}

int vfio_host_group_open(const char *path) { return open_retrying(path); }

int vfio_host_group_flags(int group) {
  struct vfio_group_status status = {.argsz = sizeof status};
  if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0) return -errno;
  return (status.flags & VFIO_GROUP_FLAGS_VIABLE ? 1 : 0) |
         (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET ? 2 : 0);
}

int vfio_host_group_join(int group, int container) {
  return result(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}

int vfio_host_group_device(int group, const char *name) {
  return result(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name));
}

// Capabilities hang behind a struct as a list of offsets; each names the next, zero ends it.
static const struct vfio_info_cap_header *find_capability(const void *info, uint32_t size,
                                                          uint32_t first, uint16_t id) {
  uint32_t offset = first;
  // A list that is longer than the bytes can hold is a loop.
  for (uint32_t steps = size / sizeof(struct vfio_info_cap_header); offset != 0 && steps > 0;
       steps--) {
    if (offset > size - sizeof(struct vfio_info_cap_header)) return NULL;
    const struct vfio_info_cap_header *header =
        (const struct vfio_info_cap_header *)((const char *)info + offset);
    if (header->id == id) return header;
    offset = header->next;
  }
  return NULL;
}

// Asks twice: the first answer says how much room the whole one needs.
static void *ask(int file, unsigned long request, size_t size, uint32_t index, int *code) {
  for (int round = 0; round < 4; round++) {
    uint32_t *info = calloc(1, size);
    if (info == NULL) {
      *code = ENOMEM;
      return NULL;
    }
    info[0] = (uint32_t)size;
    // vfio_region_info has its index behind argsz and flags; vfio_iommu_type1_info ignores it.
    if (request == VFIO_DEVICE_GET_REGION_INFO) info[2] = index;
    if (ioctl(file, request, info) < 0) {
      *code = errno;
      free(info);
      return NULL;
    }
    if (info[0] <= size) return info;
    size = info[0];
    free(info);
  }
  *code = EPROTO;
  return NULL;
}

int vfio_host_iommu_info(int container, struct vfio_host_iommu *out) {
  int code = 0;
  struct vfio_iommu_type1_info *info =
      ask(container, VFIO_IOMMU_GET_INFO, sizeof *info, 0, &code);
  if (info == NULL) return -code;
  memset(out, 0, sizeof *out);
  out->entries_available = UINT32_MAX;
  out->page_sizes = info->flags & VFIO_IOMMU_INFO_PGSIZES ? info->iova_pgsizes : 4096;
  if (info->flags & VFIO_IOMMU_INFO_CAPS) {
    const struct vfio_info_cap_header *header = find_capability(
        info, info->argsz, info->cap_offset, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
    if (header != NULL) {
      const struct vfio_iommu_type1_info_cap_iova_range *ranges =
          (const struct vfio_iommu_type1_info_cap_iova_range *)header;
      for (uint32_t i = 0; i < ranges->nr_iovas && i < VFIO_HOST_RANGE_MAX; i++) {
        out->first[i] = ranges->iova_ranges[i].start;
        out->last[i] = ranges->iova_ranges[i].end;
        out->range_count = i + 1;
      }
    }
    header = find_capability(info, info->argsz, info->cap_offset,
                             VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
    if (header != NULL) {
      out->entries_available = ((const struct vfio_iommu_type1_info_dma_avail *)header)->avail;
    }
  }
  free(info);
  return 0;
}

int vfio_host_map(int container, uintptr_t address, uint64_t bus_address, uint64_t size,
                  uint32_t permissions) {
  struct vfio_iommu_type1_dma_map map = {
      .argsz = sizeof map,
      .flags = (permissions & 1 ? VFIO_DMA_MAP_FLAG_READ : 0) |
               (permissions & 2 ? VFIO_DMA_MAP_FLAG_WRITE : 0),
      .vaddr = address,
      .iova = bus_address,
      .size = size,
  };
  return result(ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}

int64_t vfio_host_unmap(int container, uint64_t bus_address, uint64_t size) {
  struct vfio_iommu_type1_dma_unmap unmap = {
      .argsz = sizeof unmap, .iova = bus_address, .size = size};
  if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0) return -errno;
  return (int64_t)unmap.size;
}

int vfio_host_device_flags(int device) {
  struct vfio_device_info info = {.argsz = sizeof info};
  if (ioctl(device, VFIO_DEVICE_GET_INFO, &info) < 0) return -errno;
  return (info.flags & VFIO_DEVICE_FLAGS_RESET ? 1 : 0) |
         (info.flags & VFIO_DEVICE_FLAGS_PCI ? 2 : 0);
}

int vfio_host_region_info(int device, uint32_t index, struct vfio_host_region *region) {
  int code = 0;
  struct vfio_region_info *info =
      ask(device, VFIO_DEVICE_GET_REGION_INFO, sizeof *info, index, &code);
  if (info == NULL) return -code;
  memset(region, 0, sizeof *region);
  region->size = info->size;
  region->offset = info->offset;
  region->is_readable = (info->flags & VFIO_REGION_INFO_FLAG_READ) != 0;
  region->is_writable = (info->flags & VFIO_REGION_INFO_FLAG_WRITE) != 0;
  if (info->flags & VFIO_REGION_INFO_FLAG_MMAP) {
    region->map_size = info->size;
    if (info->flags & VFIO_REGION_INFO_FLAG_CAPS) {
      const struct vfio_info_cap_header *header = find_capability(
          info, info->argsz, info->cap_offset, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
      if (header != NULL) {
        const struct vfio_region_info_cap_sparse_mmap *sparse =
            (const struct vfio_region_info_cap_sparse_mmap *)header;
        region->map_offset = sparse->nr_areas > 0 ? sparse->areas[0].offset : 0;
        region->map_size = sparse->nr_areas > 0 ? sparse->areas[0].size : 0;
      }
    }
  }
  free(info);
  return 0;
}

int vfio_host_interrupt_count(int device, uint32_t index) {
  struct vfio_irq_info info = {.argsz = sizeof info, .index = index};
  if (ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0) return -errno;
  return (int)info.count;
}

int vfio_host_interrupt_set(int device, uint32_t index, const int32_t *events, uint32_t count) {
  size_t size = sizeof(struct vfio_irq_set) + count * sizeof(int32_t);
  struct vfio_irq_set *set = calloc(1, size);
  if (set == NULL) return -ENOMEM;
  set->argsz = (uint32_t)size;
  set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  set->index = index;
  set->count = count;
  memcpy(set->data, events, count * sizeof(int32_t));
  int status = result(ioctl(device, VFIO_DEVICE_SET_IRQS, set));
  free(set);
  return status;
}

static int set_without_data(int device, uint32_t index, uint32_t action, uint32_t count) {
  struct vfio_irq_set set = {
      .argsz = sizeof set,
      .flags = VFIO_IRQ_SET_DATA_NONE | action,
      .index = index,
      .count = count,
  };
  return result(ioctl(device, VFIO_DEVICE_SET_IRQS, &set));
}

int vfio_host_interrupt_disable(int device, uint32_t index) {
  return set_without_data(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0);
}

int vfio_host_interrupt_unmask(int device, uint32_t index) {
  return set_without_data(device, index, VFIO_IRQ_SET_ACTION_UNMASK, 1);
}

int vfio_host_reset(int device) { return result(ioctl(device, VFIO_DEVICE_RESET)); }
