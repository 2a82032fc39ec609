// SPDX-License-Identifier: Apache-2.0
//
// What Linux's VFIO needs and Swift cannot import: ioctl numbers, structs with flexible ends, and
// the calls that Swift's Glibc module lacks. Every function returns -errno when it fails.
// The interface is that of <linux/vfio.h>.

#ifndef VFIO_HOST_H
#define VFIO_HOST_H

#include <stddef.h>
#include <stdint.h>

// MARK: Containers and groups

/// Opens the container and checks its version; a descriptor.
int vfio_host_container_open(const char *path);
/// 1 when the container speaks type 1, version 2.
int vfio_host_container_has_type1v2(int container);
int vfio_host_container_set_type1v2(int container);
int vfio_host_group_open(const char *path);
/// Bit 0: viable; bit 1: has a container.
int vfio_host_group_flags(int group);
int vfio_host_group_join(int group, int container);
int vfio_host_group_device(int group, const char *name);

// MARK: What the IOMMU can

#define VFIO_HOST_RANGE_MAX 32

struct vfio_host_iommu {
  /// Sizes of pages, a bit each.
  uint64_t page_sizes;
  /// Mappings that can still be made; UINT32_MAX when the kernel does not say.
  uint32_t entries_available;
  uint32_t range_count;
  uint64_t first[VFIO_HOST_RANGE_MAX];
  uint64_t last[VFIO_HOST_RANGE_MAX];
};

int vfio_host_iommu_info(int container, struct vfio_host_iommu *info);
/// Permissions: bit 0 the device reads, bit 1 it writes.
int vfio_host_map(int container, uintptr_t address, uint64_t bus_address, uint64_t size,
                  uint32_t permissions);
/// How many bytes were unmapped.
int64_t vfio_host_unmap(int container, uint64_t bus_address, uint64_t size);

// MARK: Devices

struct vfio_host_region {
  uint64_t size;
  uint64_t offset;
  /// The part that can be mapped; a size of zero when none can.
  uint64_t map_offset;
  uint64_t map_size;
  int is_readable;
  int is_writable;
};

/// Bit 0: it can be reset; bit 1: it is a PCI function.
int vfio_host_device_flags(int device);
int vfio_host_region_info(int device, uint32_t index, struct vfio_host_region *region);
/// How many vectors an interrupt kind has (0 wire, 1 MSI, 2 MSI-X, 3 error, 4 request).
int vfio_host_interrupt_count(int device, uint32_t index);
/// Sets all vectors of a kind; -1 leaves a vector silent.
int vfio_host_interrupt_set(int device, uint32_t index, const int32_t *events, uint32_t count);
int vfio_host_interrupt_disable(int device, uint32_t index);
int vfio_host_interrupt_unmask(int device, uint32_t index);
int vfio_host_reset(int device);

// MARK: The host

/// An event counter that does not block.
int vfio_host_event_create(void);
/// 1 when the event was signalled since the last call.
int vfio_host_event_take(int event);
/// Lets a descriptor name nothing from now on, without giving its number to somebody else.
void vfio_host_retire(int descriptor);
/// Waits until one of the descriptors has something to read, at most so long.
void vfio_host_wait(const int32_t *descriptors, size_t count, uint64_t nanoseconds);
/// Maps part of a file for reading and writing; 0 when it cannot, with the errno in `code`.
uintptr_t vfio_host_file_map(int file, uint64_t offset, uint64_t size, int *code);
/// Memory that a fork does not hand on; `huge` asks for pages of 2 MiB. 0 when it cannot.
///
/// Begins at a multiple of `alignment`.
uintptr_t vfio_host_memory_create(uint64_t size, uint64_t alignment, int huge, int *code);
void vfio_host_memory_end(uintptr_t address, uint64_t size);
/// Marks memory so that a fork does not hand it on, or unmarks it.
int vfio_host_memory_keep(uintptr_t address, uint64_t size, int keep);
int vfio_host_memory_lock(uintptr_t address, uint64_t size);
void vfio_host_memory_clear(uintptr_t address, uint64_t size);
/// How often this process was made by a fork since the first call.
uint32_t vfio_host_fork_count(void);
/// The bounds of the calling thread's stack.
int vfio_host_stack_bounds(uintptr_t *first, uint64_t *size);
/// The soft limit of locked memory in bytes; UINT64_MAX for none.
uint64_t vfio_host_memory_lock_limit(void);

#endif
