/* SPDX-License-Identifier: Apache-2.0
 *
 * The classic DMA mapping calls, with the names, argument orders and return conventions that Linux
 * 2.4.4 documented, and beside them the dma_* names that came later. Written from the document's
 * description; no kernel source was used.
 *
 * Every call is checked. A wrong one is refused, changes nothing, and is a finding when a checker
 * is on (swiftdma.h). Devices and pools are looked up by address before anything is read: one that
 * is unknown, or was removed, is refused unread.
 */

#ifndef PCI_DMA_H
#define PCI_DMA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Types ------------------------------------------------------------------------------- */

/* What a device is told of memory. 64 bits on every machine; never a CPU pointer. */
typedef uint64_t dma_addr_t;

/* What a failed map returns. Zero is a valid bus address, so it is not the marker. */
#define DMA_MAPPING_ERROR (~(dma_addr_t)0)

/* The mask of a device with n address bits, 1 to 64. */
#define DMA_BIT_MASK(n) (((n) == 64) ? ~(uint64_t)0 : (((uint64_t)1 << (n)) - 1))

/* The direction of a streaming mapping, seen from main memory. */
#define PCI_DMA_BIDIRECTIONAL 0
#define PCI_DMA_TODEVICE 1
#define PCI_DMA_FROMDEVICE 2
/* A placeholder until the direction is known: every call with it is refused. */
#define PCI_DMA_NONE 3

enum dma_data_direction {
  DMA_BIDIRECTIONAL = 0,
  DMA_TO_DEVICE = 1,
  DMA_FROM_DEVICE = 2,
  DMA_NONE = 3
};

/* A SCSI command's data direction, from the host's point of view. */
#define SCSI_DATA_UNKNOWN 0
#define SCSI_DATA_WRITE 1
#define SCSI_DATA_READ 2
#define SCSI_DATA_NONE 3

/* Flags of pools and allocations. Bits that mean nothing here are harmless. */
#ifndef GFP_KERNEL
#define __GFP_WAIT 0x01
#define __GFP_HIGH 0x02
#define __GFP_IO 0x04
#define GFP_ATOMIC (__GFP_HIGH)
#define GFP_KERNEL (__GFP_HIGH | __GFP_WAIT | __GFP_IO)
#define GFP_USER (__GFP_WAIT | __GFP_IO)
#define GFP_BUFFER (__GFP_HIGH | __GFP_WAIT)
#define GFP_NFS (__GFP_HIGH | __GFP_WAIT | __GFP_IO)
/* Memory that 24 address bits reach. */
#define __GFP_DMA 0x08
#define GFP_DMA __GFP_DMA
#endif
#ifndef __GFP_ZERO
/* A block of a pool full of zeroes. */
#define __GFP_ZERO 0x8000
#endif
#define SLAB_ATOMIC GFP_ATOMIC
#define SLAB_KERNEL GFP_KERNEL
#define SLAB_NFS GFP_NFS
#define SLAB_BUFFER GFP_BUFFER
#define SLAB_USER GFP_USER
#define SLAB_DMA GFP_DMA
#define SLAB_LEVEL_MASK 0x0000000fUL
#define SLAB_DEBUG_FREE 0x00000100UL
#define SLAB_DEBUG_INITIAL 0x00000200UL
#define SLAB_RED_ZONE 0x00000400UL
/* Free blocks hold 0xa7; one that was written while free is a finding. */
#define SLAB_POISON 0x00000800UL
#define SLAB_NO_REAP 0x00001000UL
#define SLAB_HWCACHE_ALIGN 0x00002000UL
#define SLAB_CACHE_DMA 0x00004000UL

#define DEVICE_COUNT_RESOURCE 12

/* A range of addresses on the bus: where a device's registers answer. */
struct resource {
  const char *name;
  unsigned long start, end;
  unsigned long flags;
};

#define IORESOURCE_IO 0x00000100UL
#define IORESOURCE_MEM 0x00000200UL
#define IORESOURCE_PREFETCH 0x00001000UL

struct pci_bus {
  unsigned char number;
  void *sysdata;
};

struct pci_driver;

/* What the dma_* calls take: the `dev` member of a struct pci_dev. */
struct device {
  const char *init_name;
  void *driver_data;
};

/*
 * A PCI function. The library makes them (swiftdma.h, pci_find_device); drivers read them, and
 * write dma_mask and driver_data. All other members may be read only.
 */
struct pci_dev {
  struct pci_bus *bus;
  void *sysdata;
  /* Device number in bits 7 to 3, function in bits 2 to 0. */
  unsigned int devfn;
  unsigned short vendor;
  unsigned short device;
  unsigned short subsystem_vendor;
  unsigned short subsystem_device;
  /* Class, subclass and programming interface in 24 bits. C++ reserves the name. */
#ifdef __cplusplus
  unsigned int class_;
#else
  unsigned int class;
#endif
  uint8_t hdr_type;
  uint8_t rom_base_reg;
  struct pci_driver *driver;
  void *driver_data;
  /* The address bits the device implements, 32 when new. May be assigned: the next call on the
   * device takes the value as pci_set_dma_mask would; one the platform cannot serve makes every
   * later map and allocation fail. */
  dma_addr_t dma_mask;
  uint32_t current_state;
  unsigned int irq;
  struct resource resource[DEVICE_COUNT_RESOURCE];
  char name[80];
  char slot_name[8];
  int active;
  struct device dev;
};

struct page;

/*
 * One entry of a scatter list. The driver clears it, sets `address` (or `page` and `offset`) and
 * `length`; mapping and unmapping leave those alone. What the device is given is read with
 * sg_dma_address and sg_dma_len.
 */
struct scatterlist {
  char *address;
  /* Unused here; drivers of the time keep the original of a bounced address in it. */
  char *alt_address;
  unsigned int length;
  /* With a null `address`: the page that the bytes lie in, and where in it they begin. */
  unsigned int offset;
  struct page *page;
  /* Set by mapping. */
  dma_addr_t dma_address;
  unsigned int dma_length;
};

/* Opaque: small blocks of consistent memory. */
struct pci_pool;
#define dma_pool pci_pool

/* --- Masks ------------------------------------------------------------------------------- */

/* Whether DMA can work for a device with this mask: NOT ZERO when it can. Changes nothing. */
int pci_dma_supported(struct pci_dev *hwdev, dma_addr_t mask);
/* Records the mask for all later calls: ZERO when DMA is possible, -EIO when the platform cannot
 * restrict itself so far (the mask is then as it was). The last success counts. */
int pci_set_dma_mask(struct pci_dev *dev, dma_addr_t mask);
/* The same for consistent memory and pools alone. */
int pci_set_consistent_dma_mask(struct pci_dev *dev, uint64_t mask);

/* --- Consistent memory ------------------------------------------------------------------- */

/* Zeroed memory for CPU and device at once, aligned on both sides to the smallest page order that
 * holds `size` bytes. Never waits: any context. NULL when there is none; `dma_handle` is then as it
 * was. A null device is one of a bus without devices: 24 bits. */
void *pci_alloc_consistent(struct pci_dev *hwdev, size_t size, dma_addr_t *dma_handle);
/* Frees it; all four must be as given and returned. Not in an interrupt. */
void pci_free_consistent(struct pci_dev *hwdev, size_t size, void *vaddr, dma_addr_t dma_handle);

/* --- Pools ------------------------------------------------------------------------------- */

/* A pool of blocks of `size` bytes, each a multiple of `align` (a power of two, 0 for none) on both
 * sides; none crosses a multiple of `allocation` (a power of two, 0 for none) on the bus. Never
 * waits. NULL for a bad argument. */
struct pci_pool *pci_pool_create(const char *name, struct pci_dev *dev, size_t size, size_t align,
                                 size_t allocation, int flags);
/* A block: with SLAB_KERNEL it waits for one to be freed, and must not be called in an interrupt
 * or with a spin lock held; with SLAB_ATOMIC it returns NULL at once. Waiting ends with NULL after
 * 10 s of the machine's time; more than 100 ms is a finding. */
void *pci_pool_alloc(struct pci_pool *pool, int flags, dma_addr_t *handle);
/* Frees a block by both its addresses. Any context. */
void pci_pool_free(struct pci_pool *pool, void *vaddr, dma_addr_t addr);
/* Ends a pool. With blocks in use it is refused, reported, and the pool stays. Not in interrupts. */
void pci_pool_destroy(struct pci_pool *pool);

/* --- Streaming mappings ------------------------------------------------------------------ */

/* Gives the device memory of the page or slab allocator. Any context. DMA_MAPPING_ERROR when it
 * cannot: test with dma_mapping_error. */
dma_addr_t pci_map_single(struct pci_dev *hwdev, void *ptr, size_t size, int direction);
/* Gives it back; size and direction as mapped. */
void pci_unmap_single(struct pci_dev *hwdev, dma_addr_t dma_addr, size_t size, int direction);
dma_addr_t pci_map_page(struct pci_dev *hwdev, struct page *page, unsigned long offset, size_t size,
                        int direction);
void pci_unmap_page(struct pci_dev *hwdev, dma_addr_t dma_addr, size_t size, int direction);
/* Maps a list; returns how many segments the device is given (neighbours may be merged), 0 when it
 * cannot: the list is then as it was. */
int pci_map_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nents, int direction);
/* Ends it; `nents` as mapped, not the count that was returned. */
void pci_unmap_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nents, int direction);

/* What the device did becomes visible to the CPU (from-device, bidirectional), or what the CPU did
 * to the device (to-device). Afterwards the memory is the device's again: there is no call that
 * hands it back. A CPU that changes bidirectional memory needs the two calls below. */
void pci_dma_sync_single(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size, int direction);
void pci_dma_sync_sg(struct pci_dev *hwdev, struct scatterlist *sg, int nelems, int direction);

void pci_dma_sync_single_for_cpu(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size,
                                 int direction);
void pci_dma_sync_single_for_device(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size,
                                    int direction);
void pci_dma_sync_sg_for_cpu(struct pci_dev *hwdev, struct scatterlist *sg, int nelems,
                             int direction);
void pci_dma_sync_sg_for_device(struct pci_dev *hwdev, struct scatterlist *sg, int nelems,
                                int direction);

/* Not zero when `dma_addr` is what a failed map returned. */
int pci_dma_mapping_error(struct pci_dev *hwdev, dma_addr_t dma_addr);

/* A mapped segment's bus address (DMA_MAPPING_ERROR where there is none) and its bytes. */
dma_addr_t sg_dma_address(const struct scatterlist *sg);
unsigned int sg_dma_len(const struct scatterlist *sg);
/* The name that the document's text has for sg_dma_len. */
#define sg_dma_length(sg) sg_dma_len(sg)

/* The PCI_DMA_ direction of a SCSI_DATA_ direction; PCI_DMA_NONE for what means nothing. */
int scsi_to_pci_dma_dir(unsigned char scsi_dir);

/* --- The same with later names ----------------------------------------------------------- */

int dma_supported(struct device *dev, uint64_t mask);
int dma_set_mask(struct device *dev, uint64_t mask);
int dma_set_coherent_mask(struct device *dev, uint64_t mask);
int dma_set_mask_and_coherent(struct device *dev, uint64_t mask);
uint64_t dma_get_required_mask(struct device *dev);
size_t dma_max_mapping_size(struct device *dev);
int dma_set_max_seg_size(struct device *dev, unsigned int size);
unsigned int dma_get_max_seg_size(struct device *dev);
int dma_set_seg_boundary(struct device *dev, unsigned long mask);
unsigned long dma_get_seg_boundary(struct device *dev);

void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *dma_handle, int flags);
void dma_free_coherent(struct device *dev, size_t size, void *cpu_addr, dma_addr_t dma_handle);

struct dma_pool *dma_pool_create(const char *name, struct device *dev, size_t size, size_t align,
                                 size_t boundary);
void *dma_pool_alloc(struct dma_pool *pool, int flags, dma_addr_t *handle);
void *dma_pool_zalloc(struct dma_pool *pool, int flags, dma_addr_t *handle);
void dma_pool_free(struct dma_pool *pool, void *vaddr, dma_addr_t addr);
void dma_pool_destroy(struct dma_pool *pool);

/* The results of these must be tested with dma_mapping_error. */
dma_addr_t dma_map_single(struct device *dev, void *ptr, size_t size,
                          enum dma_data_direction direction);
void dma_unmap_single(struct device *dev, dma_addr_t addr, size_t size,
                      enum dma_data_direction direction);
dma_addr_t dma_map_page(struct device *dev, struct page *page, size_t offset, size_t size,
                        enum dma_data_direction direction);
void dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
                    enum dma_data_direction direction);
int dma_map_sg(struct device *dev, struct scatterlist *sg, int nents,
               enum dma_data_direction direction);
void dma_unmap_sg(struct device *dev, struct scatterlist *sg, int nents,
                  enum dma_data_direction direction);
void dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
                             enum dma_data_direction direction);
void dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t size,
                                enum dma_data_direction direction);
void dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sg, int nelems,
                         enum dma_data_direction direction);
void dma_sync_sg_for_device(struct device *dev, struct scatterlist *sg, int nelems,
                            enum dma_data_direction direction);
int dma_mapping_error(struct device *dev, dma_addr_t addr);

/* --- Scatter lists by page --------------------------------------------------------------- */

void sg_init_table(struct scatterlist *sg, unsigned int nents);
void sg_init_one(struct scatterlist *sg, const void *address, unsigned int length);
void sg_set_page(struct scatterlist *sg, struct page *page, unsigned int length,
                 unsigned int offset);
void sg_set_buf(struct scatterlist *sg, const void *address, unsigned int length);
struct page *sg_page(struct scatterlist *sg);
/* Where the CPU has an entry's bytes. */
void *sg_virt(struct scatterlist *sg);
#define sg_next(sg) ((sg) + 1)
#define for_each_sg(list, sg, nents, index) \
  for ((index) = 0, (sg) = (list); (index) < (nents); (index)++, (sg)++)

/* --- State of an unmap, where a driver keeps it ------------------------------------------- */

#define DECLARE_PCI_UNMAP_ADDR(name) dma_addr_t name;
#define DECLARE_PCI_UNMAP_LEN(name) uint32_t name;
#define pci_unmap_addr(ptr, name) ((ptr)->name)
#define pci_unmap_addr_set(ptr, name, value) ((ptr)->name = (value))
#define pci_unmap_len(ptr, name) ((ptr)->name)
#define pci_unmap_len_set(ptr, name, value) ((ptr)->name = (value))

/* --- Where a call stands in its source ---------------------------------------------------- */

/*
 * The macros below add the calling file and line, which findings name. The functions behind them
 * are the same without: through a function pointer, or with SWIFTDMA_NO_CALL_SITES defined.
 *
 * `place` holds the line in its low 32 bits, the length of `file` in the next 16, and then what
 * kind of call it is.
 */
#define SWIFTDMA_CALL_DEVICE 1u     /* the device is a struct device */
#define SWIFTDMA_CALL_TESTED 2u     /* the caller has to test the result */
#define SWIFTDMA_CALL_FOR_CPU 4u    /* syncs */
#define SWIFTDMA_CALL_FOR_DEVICE 8u /* syncs; both: as the document's single call */
#define SWIFTDMA_CALL_STREAMING 16u /* masks */
#define SWIFTDMA_CALL_COHERENT 32u  /* masks */

#define SWIFTDMA_PLACE(kind, file, line)                                       \
  (((uint64_t)(kind) << 48) | ((uint64_t)((sizeof(file) - 1) & 0xffff) << 32) | \
   (uint64_t)(uint32_t)(line))
#define SWIFTDMA_HERE(kind) __FILE__, SWIFTDMA_PLACE(kind, __FILE__, __LINE__)

/* The calls of every transfer: with the shared library too without a stop at the linkage table. */
#if defined(__has_attribute)
#if __has_attribute(noplt)
#define SWIFTDMA_HOT __attribute__((noplt))
#endif
#endif
#ifndef SWIFTDMA_HOT
#define SWIFTDMA_HOT
#endif

int swiftdma_at_supported(const void *dev, uint64_t mask, const char *file, uint64_t place);
int swiftdma_at_set_mask(const void *dev, uint64_t mask, const char *file, uint64_t place);
void *swiftdma_at_alloc(const void *dev, size_t size, dma_addr_t *handle, const char *file,
                        uint64_t place);
void swiftdma_at_free(const void *dev, size_t size, void *address, dma_addr_t handle,
                      const char *file, uint64_t place);
struct pci_pool *swiftdma_at_pool_create(const char *name, const void *dev, size_t size,
                                         size_t align, size_t boundary, int flags,
                                         const char *file, uint64_t place);
SWIFTDMA_HOT
void *swiftdma_at_pool_alloc(struct pci_pool *pool, int flags, dma_addr_t *handle, const char *file,
                             uint64_t place);
SWIFTDMA_HOT
void swiftdma_at_pool_free(struct pci_pool *pool, void *address, dma_addr_t handle,
                           const char *file, uint64_t place);
void swiftdma_at_pool_destroy(struct pci_pool *pool, const char *file, uint64_t place);
SWIFTDMA_HOT
dma_addr_t swiftdma_at_map(const void *dev, void *address, size_t size, int direction,
                           const char *file, uint64_t place);
dma_addr_t swiftdma_at_map_page(const void *dev, struct page *page, size_t offset, size_t size,
                                int direction, const char *file, uint64_t place);
SWIFTDMA_HOT
void swiftdma_at_unmap(const void *dev, dma_addr_t handle, size_t size, int direction,
                       const char *file, uint64_t place);
int swiftdma_at_map_sg(const void *dev, struct scatterlist *sg, int nents, int direction,
                       const char *file, uint64_t place);
void swiftdma_at_unmap_sg(const void *dev, struct scatterlist *sg, int nents, int direction,
                          const char *file, uint64_t place);
void swiftdma_at_sync(const void *dev, dma_addr_t handle, size_t size, int direction,
                      const char *file, uint64_t place);
void swiftdma_at_sync_sg(const void *dev, struct scatterlist *sg, int nents, int direction,
                         const char *file, uint64_t place);
int swiftdma_at_mapping_error(const void *dev, dma_addr_t handle, const char *file, uint64_t place);

#ifndef SWIFTDMA_NO_CALL_SITES

/* The conditional keeps the compiler's check of the argument's type. */
#define SWIFTDMA_PCI(dev) ((const void *)(1 ? (dev) : (struct pci_dev *)0))
#define SWIFTDMA_DEV(dev) ((const void *)(1 ? (dev) : (struct device *)0))

#define pci_dma_supported(dev, mask) \
  swiftdma_at_supported(SWIFTDMA_PCI(dev), mask, SWIFTDMA_HERE(0))
#define pci_set_dma_mask(dev, mask) \
  swiftdma_at_set_mask(SWIFTDMA_PCI(dev), mask, SWIFTDMA_HERE(16u | 32u))
#define pci_set_consistent_dma_mask(dev, mask) \
  swiftdma_at_set_mask(SWIFTDMA_PCI(dev), mask, SWIFTDMA_HERE(32u))
#define pci_alloc_consistent(dev, size, handle) \
  swiftdma_at_alloc(SWIFTDMA_PCI(dev), size, handle, SWIFTDMA_HERE(0))
#define pci_free_consistent(dev, size, address, handle) \
  swiftdma_at_free(SWIFTDMA_PCI(dev), size, address, handle, SWIFTDMA_HERE(0))
#define pci_pool_create(name, dev, size, align, boundary, flags)                       \
  swiftdma_at_pool_create(name, SWIFTDMA_PCI(dev), size, align, boundary, (int)(flags), \
                          SWIFTDMA_HERE(0))
#define pci_pool_alloc(pool, flags, handle) \
  swiftdma_at_pool_alloc(pool, (int)(flags), handle, SWIFTDMA_HERE(0))
#define pci_pool_free(pool, address, handle) \
  swiftdma_at_pool_free(pool, address, handle, SWIFTDMA_HERE(0))
#define pci_pool_destroy(pool) swiftdma_at_pool_destroy(pool, SWIFTDMA_HERE(0))
#define pci_map_single(dev, address, size, direction) \
  swiftdma_at_map(SWIFTDMA_PCI(dev), address, size, direction, SWIFTDMA_HERE(0))
#define pci_unmap_single(dev, handle, size, direction) \
  swiftdma_at_unmap(SWIFTDMA_PCI(dev), handle, size, direction, SWIFTDMA_HERE(0))
#define pci_map_page(dev, page, offset, size, direction) \
  swiftdma_at_map_page(SWIFTDMA_PCI(dev), page, offset, size, direction, SWIFTDMA_HERE(0))
#define pci_unmap_page(dev, handle, size, direction) \
  swiftdma_at_unmap(SWIFTDMA_PCI(dev), handle, size, direction, SWIFTDMA_HERE(0))
#define pci_map_sg(dev, sg, nents, direction) \
  swiftdma_at_map_sg(SWIFTDMA_PCI(dev), sg, nents, direction, SWIFTDMA_HERE(0))
#define pci_unmap_sg(dev, sg, nents, direction) \
  swiftdma_at_unmap_sg(SWIFTDMA_PCI(dev), sg, nents, direction, SWIFTDMA_HERE(0))
#define pci_dma_sync_single(dev, handle, size, direction) \
  swiftdma_at_sync(SWIFTDMA_PCI(dev), handle, size, direction, SWIFTDMA_HERE(4u | 8u))
#define pci_dma_sync_single_for_cpu(dev, handle, size, direction) \
  swiftdma_at_sync(SWIFTDMA_PCI(dev), handle, size, direction, SWIFTDMA_HERE(4u))
#define pci_dma_sync_single_for_device(dev, handle, size, direction) \
  swiftdma_at_sync(SWIFTDMA_PCI(dev), handle, size, direction, SWIFTDMA_HERE(8u))
#define pci_dma_sync_sg(dev, sg, nents, direction) \
  swiftdma_at_sync_sg(SWIFTDMA_PCI(dev), sg, nents, direction, SWIFTDMA_HERE(4u | 8u))
#define pci_dma_sync_sg_for_cpu(dev, sg, nents, direction) \
  swiftdma_at_sync_sg(SWIFTDMA_PCI(dev), sg, nents, direction, SWIFTDMA_HERE(4u))
#define pci_dma_sync_sg_for_device(dev, sg, nents, direction) \
  swiftdma_at_sync_sg(SWIFTDMA_PCI(dev), sg, nents, direction, SWIFTDMA_HERE(8u))
#define pci_dma_mapping_error(dev, handle) \
  swiftdma_at_mapping_error(SWIFTDMA_PCI(dev), handle, SWIFTDMA_HERE(0))

#define dma_supported(dev, mask) swiftdma_at_supported(SWIFTDMA_DEV(dev), mask, SWIFTDMA_HERE(1u))
#define dma_set_mask(dev, mask) \
  swiftdma_at_set_mask(SWIFTDMA_DEV(dev), mask, SWIFTDMA_HERE(1u | 16u))
#define dma_set_coherent_mask(dev, mask) \
  swiftdma_at_set_mask(SWIFTDMA_DEV(dev), mask, SWIFTDMA_HERE(1u | 32u))
#define dma_set_mask_and_coherent(dev, mask) \
  swiftdma_at_set_mask(SWIFTDMA_DEV(dev), mask, SWIFTDMA_HERE(1u | 16u | 32u))
#define dma_alloc_coherent(dev, size, handle, flags) \
  ((void)(flags), swiftdma_at_alloc(SWIFTDMA_DEV(dev), size, handle, SWIFTDMA_HERE(1u)))
#define dma_free_coherent(dev, size, address, handle) \
  swiftdma_at_free(SWIFTDMA_DEV(dev), size, address, handle, SWIFTDMA_HERE(1u))
#define dma_pool_create(name, dev, size, align, boundary) \
  swiftdma_at_pool_create(name, SWIFTDMA_DEV(dev), size, align, boundary, 0, SWIFTDMA_HERE(1u))
#define dma_pool_alloc(pool, flags, handle) \
  swiftdma_at_pool_alloc(pool, (int)(flags), handle, SWIFTDMA_HERE(0))
#define dma_pool_zalloc(pool, flags, handle) \
  swiftdma_at_pool_alloc(pool, (int)(flags) | __GFP_ZERO, handle, SWIFTDMA_HERE(0))
#define dma_pool_free(pool, address, handle) \
  swiftdma_at_pool_free(pool, address, handle, SWIFTDMA_HERE(0))
/* As kfree, it takes a null pool. */
#define dma_pool_destroy(pool) swiftdma_at_pool_destroy(pool, SWIFTDMA_HERE(1u))
#define dma_map_single(dev, address, size, direction) \
  swiftdma_at_map(SWIFTDMA_DEV(dev), address, size, (int)(direction), SWIFTDMA_HERE(1u | 2u))
#define dma_unmap_single(dev, handle, size, direction) \
  swiftdma_at_unmap(SWIFTDMA_DEV(dev), handle, size, (int)(direction), SWIFTDMA_HERE(1u))
#define dma_map_page(dev, page, offset, size, direction)                         \
  swiftdma_at_map_page(SWIFTDMA_DEV(dev), page, offset, size, (int)(direction), \
                       SWIFTDMA_HERE(1u | 2u))
#define dma_unmap_page(dev, handle, size, direction) \
  swiftdma_at_unmap(SWIFTDMA_DEV(dev), handle, size, (int)(direction), SWIFTDMA_HERE(1u))
#define dma_map_sg(dev, sg, nents, direction) \
  swiftdma_at_map_sg(SWIFTDMA_DEV(dev), sg, nents, (int)(direction), SWIFTDMA_HERE(1u))
#define dma_unmap_sg(dev, sg, nents, direction) \
  swiftdma_at_unmap_sg(SWIFTDMA_DEV(dev), sg, nents, (int)(direction), SWIFTDMA_HERE(1u))
#define dma_sync_single_for_cpu(dev, handle, size, direction) \
  swiftdma_at_sync(SWIFTDMA_DEV(dev), handle, size, (int)(direction), SWIFTDMA_HERE(1u | 4u))
#define dma_sync_single_for_device(dev, handle, size, direction) \
  swiftdma_at_sync(SWIFTDMA_DEV(dev), handle, size, (int)(direction), SWIFTDMA_HERE(1u | 8u))
#define dma_sync_sg_for_cpu(dev, sg, nents, direction) \
  swiftdma_at_sync_sg(SWIFTDMA_DEV(dev), sg, nents, (int)(direction), SWIFTDMA_HERE(1u | 4u))
#define dma_sync_sg_for_device(dev, sg, nents, direction) \
  swiftdma_at_sync_sg(SWIFTDMA_DEV(dev), sg, nents, (int)(direction), SWIFTDMA_HERE(1u | 8u))
#define dma_mapping_error(dev, handle) \
  swiftdma_at_mapping_error(SWIFTDMA_DEV(dev), handle, SWIFTDMA_HERE(1u))

#endif /* SWIFTDMA_NO_CALL_SITES */

#ifdef __cplusplus
}
#endif

#endif
