/* SPDX-License-Identifier: Apache-2.0
 *
 * Each kind of mistake that a C driver can make: a small program that makes it, the rule that must
 * be found, and the line that made it. The first finding counts, and its line must be the one after
 * the word BAD. Then near misses, over each mapping: nothing may be found. */

#include "check.h"

static struct swiftdma_machine *machine;
static struct pci_dev *a, *b;
static struct swiftdma_model *model_a, *model_b;
static unsigned int bad_line;

/* The next call, on the same line, is the mistake. */
#define BAD bad_line = __LINE__;

static u8 *page_of(void) { return (u8 *)__get_free_page(GFP_KERNEL); }

/* --- Releases --- */
static void release_failed(void) {
  BAD pci_unmap_single(a, DMA_MAPPING_ERROR, 64, PCI_DMA_TODEVICE);
}
static void release_failed_list(void) {
  struct scatterlist list[1];
  memset(list, 0, sizeof(list));
  list[0].address = (char *)page_of();
  list[0].length = 64;
  swiftdma_device_set_max_segments(a, 0);
  list[0].dma_address = DMA_MAPPING_ERROR;
  BAD pci_unmap_sg(a, list, 1, PCI_DMA_TODEVICE);
}
static void double_unmap(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
  BAD pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void double_free(void) {
  dma_addr_t handle;
  void *memory = pci_alloc_consistent(a, 5000, &handle);
  pci_free_consistent(a, 5000, memory, handle);
  BAD pci_free_consistent(a, 5000, memory, handle);
}
static void make_list(struct scatterlist *list, int count) {
  memset(list, 0, sizeof(*list) * (size_t)count);
  for (int index = 0; index < count; index++) {
    list[index].address = (char *)page_of();
    list[index].length = 4096;
  }
}
static void double_unmap_list(void) {
  struct scatterlist list[3];
  make_list(list, 3);
  CHECK(pci_map_sg(a, list, 3, PCI_DMA_TODEVICE) > 0);
  pci_unmap_sg(a, list, 3, PCI_DMA_TODEVICE);
  BAD pci_unmap_sg(a, list, 3, PCI_DMA_TODEVICE);
}
static void unmap_unknown(void) { BAD pci_unmap_single(a, 0x123000, 64, PCI_DMA_TODEVICE); }
static void unmap_inside(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 640, PCI_DMA_TODEVICE);
  BAD pci_unmap_single(a, handle + 64, 576, PCI_DMA_TODEVICE);
}
static void unmap_of_other(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  BAD pci_unmap_single(b, handle, 64, PCI_DMA_TODEVICE);
}
static void free_of_other(void) {
  dma_addr_t handle;
  void *memory = pci_alloc_consistent(a, 64, &handle);
  BAD pci_free_consistent(b, 64, memory, handle);
}
static void unmap_size(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 640, PCI_DMA_TODEVICE);
  BAD pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void free_size(void) {
  dma_addr_t handle;
  void *memory = pci_alloc_consistent(a, 100, &handle);
  BAD pci_free_consistent(a, 4096, memory, handle);
}
static void consistent_unmapped(void) {
  dma_addr_t handle;
  pci_alloc_consistent(a, 64, &handle);
  BAD pci_unmap_single(a, handle, 64, PCI_DMA_BIDIRECTIONAL);
}
static void streaming_freed(void) {
  u8 *memory = page_of();
  dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_BIDIRECTIONAL);
  BAD pci_free_consistent(a, 64, memory, handle);
}
static void list_unmapped_single(void) {
  struct scatterlist list[2];
  make_list(list, 2);
  CHECK(pci_map_sg(a, list, 2, PCI_DMA_TODEVICE) > 0);
  BAD pci_unmap_single(a, sg_dma_address(list), 4096, PCI_DMA_TODEVICE);
}
static void free_address(void) {
  dma_addr_t handle;
  char *memory = pci_alloc_consistent(a, 8192, &handle);
  BAD pci_free_consistent(a, 8192, memory + 4096, handle);
}
static void unmap_count(void) {
  struct scatterlist list[4];
  make_list(list, 4);
  CHECK(pci_map_sg(a, list, 4, PCI_DMA_FROMDEVICE) > 0);
  BAD pci_unmap_sg(a, list, 2, PCI_DMA_FROMDEVICE);
}
static void unmap_direction(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void unmap_list_direction(void) {
  struct scatterlist list[2];
  make_list(list, 2);
  CHECK(pci_map_sg(a, list, 2, PCI_DMA_BIDIRECTIONAL) > 0);
  BAD pci_unmap_sg(a, list, 2, PCI_DMA_FROMDEVICE);
}
static void error_not_tested(void) {
  dma_addr_t handle = dma_map_single(&a->dev, page_of(), 64, DMA_TO_DEVICE);
  BAD dma_unmap_single(&a->dev, handle, 64, DMA_TO_DEVICE);
}

/* --- Memory that may not be mapped --- */
static void map_stack(void) {
  char local[64];
  BAD pci_map_single(a, local, 64, PCI_DMA_TODEVICE);
}
static char in_image[64];
static void map_image(void) { BAD pci_map_single(a, in_image, 64, PCI_DMA_TODEVICE); }
static void map_code(void) {
  BAD pci_map_single(a, (void *)(uintptr_t)&map_code, 4, PCI_DMA_TODEVICE);
}
static void map_vmalloc(void) {
  void *area = vmalloc(8192);
  BAD pci_map_single(a, area, 8192, PCI_DMA_TODEVICE);
}
static void map_list_vmalloc(void) {
  struct scatterlist list[2];
  make_list(list, 2);
  list[1].address = vmalloc(4096);
  BAD pci_map_sg(a, list, 2, PCI_DMA_TODEVICE);
}
static void map_list_stack(void) {
  struct scatterlist list[2];
  char local[64];
  make_list(list, 2);
  list[0].address = local;
  list[0].length = 64;
  BAD pci_map_sg(a, list, 2, PCI_DMA_TODEVICE);
}
static void map_malloc(void) {
  static void *memory;
  memory = malloc(100);
  BAD pci_map_single(a, memory, 100, PCI_DMA_TODEVICE);
  free(memory);
}
static void map_freed(void) {
  u8 *memory = kmalloc(100, GFP_KERNEL);
  kfree(memory);
  BAD pci_map_single(a, memory, 100, PCI_DMA_TODEVICE);
}
static void map_null(void) { BAD pci_map_single(a, NULL, 100, PCI_DMA_TODEVICE); }
static void map_past_object(void) {
  u8 *memory = kmalloc(256, GFP_KERNEL);
  BAD pci_map_single(a, memory, 257, PCI_DMA_TODEVICE);
}
static void map_nothing(void) { BAD pci_map_single(a, page_of(), 0, PCI_DMA_TODEVICE); }
static void map_overlap(void) {
  u8 *memory = page_of();
  pci_map_single(a, memory, 40, PCI_DMA_FROMDEVICE);
  BAD pci_map_single(a, memory + 40, 40, PCI_DMA_FROMDEVICE);
}
static void map_many_overlaps(void) {
  u8 *memory = page_of();
  for (int count = 0; count < 8; count++) {
    BAD pci_map_single(a, memory, 64, PCI_DMA_FROMDEVICE);
  }
}
static void long_segment(void) {
  struct scatterlist list[1];
  memset(list, 0, sizeof(list));
  list[0].address = (char *)__get_free_pages(GFP_KERNEL, 2);
  list[0].length = 16384;
  dma_set_max_seg_size(&a->dev, 8192);
  BAD pci_map_sg(a, list, 1, PCI_DMA_TODEVICE);
}
static void boundary(void) {
  struct scatterlist list[1];
  memset(list, 0, sizeof(list));
  list[0].address = (char *)__get_free_pages(GFP_KERNEL, 2);
  list[0].length = 16384;
  dma_set_seg_boundary(&a->dev, 8191);
  BAD pci_map_sg(a, list, 1, PCI_DMA_TODEVICE);
}
static void direction_none(void) { BAD pci_map_single(a, page_of(), 64, PCI_DMA_NONE); }
static void direction_odd(void) { BAD pci_map_single(a, page_of(), 64, 99); }
static void sync_direction_none(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD pci_dma_sync_single(a, handle, 64, PCI_DMA_NONE);
}
static void twice_mapped_list(void) {
  struct scatterlist list[2];
  make_list(list, 2);
  CHECK(pci_map_sg(a, list, 2, PCI_DMA_TODEVICE) > 0);
  BAD pci_map_sg(a, list, 2, PCI_DMA_TODEVICE);
}
static void empty_entry(void) {
  struct scatterlist list[2];
  make_list(list, 2);
  list[1].length = 0;
  BAD pci_map_sg(a, list, 2, PCI_DMA_TODEVICE);
}

/* --- Syncs --- */
static void sync_unknown(void) { BAD pci_dma_sync_single(a, 0x123000, 64, PCI_DMA_FROMDEVICE); }
static void sync_released(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  pci_unmap_single(a, handle, 64, PCI_DMA_FROMDEVICE);
  BAD pci_dma_sync_single(a, handle, 64, PCI_DMA_FROMDEVICE);
}
static void sync_outside(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD pci_dma_sync_single(a, handle, 65, PCI_DMA_FROMDEVICE);
}
static void sync_direction(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD dma_sync_single_for_cpu(&a->dev, handle, 64, DMA_BIDIRECTIONAL);
}
static void sync_read_only(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  BAD pci_dma_sync_single(a, handle, 64, PCI_DMA_FROMDEVICE);
}
static void sync_write_only(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD pci_dma_sync_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void sync_count(void) {
  struct scatterlist list[3];
  make_list(list, 3);
  CHECK(pci_map_sg(a, list, 3, PCI_DMA_FROMDEVICE) > 0);
  BAD pci_dma_sync_sg(a, list, 2, PCI_DMA_FROMDEVICE);
}

/* --- Leaks, masks, memory --- */
static void leak_at_removal(void) {
  BAD pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  swiftdma_device_remove(a);
}
static void leak_consistent(void) {
  dma_addr_t handle;
  BAD pci_alloc_consistent(a, 64, &handle);
  swiftdma_device_remove(a);
}
static struct pci_driver leaky;
static int leaky_probe(struct pci_dev *dev, const struct pci_device_id *id) {
  (void)id;
  dma_addr_t handle;
  BAD pci_alloc_consistent(dev, 64, &handle);
  return 0;
}
static void leak_at_unload(void) {
  static const struct pci_device_id ids[] = {{PCI_DEVICE(0x1af4, 0x0001)}, {0, 0, 0, 0, 0, 0, 0}};
  leaky.name = "leaky";
  leaky.id_table = ids;
  leaky.probe = leaky_probe;
  CHECK(pci_module_init(&leaky) == 0);
  pci_unregister_driver(&leaky);
}
static void mask_changed(void) {
  pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  BAD pci_set_dma_mask(a, 0x7fffffff);
}
static void refused_mask(void) {
  CHECK(pci_set_dma_mask(a, 0xff) == -EIO);
  BAD pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
}
static void assigned_mask(void) {
  a->dma_mask = 0xff;
  BAD pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
}
static void changed_memory(void) {
  u8 *memory = page_of();
  dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_TODEVICE);
  memory[3] ^= 1;
  BAD pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void freed_while_mapped(void) {
  u8 *memory = kmalloc(100, GFP_KERNEL);
  /* kfree has no place; what is named is where it was mapped. */
  BAD pci_map_single(a, memory, 100, PCI_DMA_FROMDEVICE);
  kfree(memory);
}

/* --- The device --- */
static void device_late(void) {
  u8 byte = 1;
  /* What is named is where the mapping was made that ended too early. */
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  pci_unmap_single(a, handle, 64, PCI_DMA_FROMDEVICE);
  swiftdma_model_write(model_a, handle, &byte, 1);
}
static void device_outside(void) {
  u8 bytes[65] = {0};
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  swiftdma_model_write(model_a, handle, bytes, 65);
}
static void device_writes_read_only(void) {
  u8 byte = 1;
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  swiftdma_model_write(model_a, handle, &byte, 1);
}
static void device_reads_write_only(void) {
  u8 byte;
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  swiftdma_model_read(model_a, handle, &byte, 1);
}
static void device_of_other(void) {
  u8 byte;
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  swiftdma_model_read(model_b, handle, &byte, 1);
}
static void device_unmapped(void) {
  u8 byte;
  bad_line = 0;
  swiftdma_model_read(model_a, 0x200000, &byte, 1);
}
static void device_while_cpu(void) {
  u8 byte = 1;
  BAD dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_BIDIRECTIONAL);
  pci_dma_sync_single_for_cpu(a, handle, 64, PCI_DMA_BIDIRECTIONAL);
  swiftdma_model_write(model_a, handle, &byte, 1);
}
static void device_no_master(void) {
  u8 byte;
  /* No call is at fault but one that is missing: no line. */
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  bad_line = 0;
  pci_clear_master(a);
  swiftdma_model_read(model_a, handle, &byte, 1);
}
static void device_error_address(void) {
  /* The result of a failed map, given to the device untested. */
  u8 byte;
  char local[4];
  BAD dma_addr_t handle = pci_map_single(a, local, 4, PCI_DMA_TODEVICE);
  swiftdma_model_read(model_a, handle, &byte, 1);
}

/* The teaching device, with an engine of so many address bits. */
static struct pci_dev *add_edu(uint64_t mask) {
  struct swiftdma_device_options options;
  struct pci_dev *dev = NULL;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = SWIFTDMA_EDU;
  options.mask = mask;
  CHECK(swiftdma_device_add(machine, &options, &dev) == 0);
  CHECK(pci_enable_device(dev) == 0);
  pci_set_master(dev);
  return dev;
}
/* Has it read 64 bytes into its own buffer. */
static void edu_read(struct pci_dev *dev, dma_addr_t handle) {
  void *registers = ioremap(pci_resource_start(dev, 0), pci_resource_len(dev, 0));
  writeq(handle, (char *)registers + 0x80);
  writeq(0x40000, (char *)registers + 0x88);
  writeq(64, (char *)registers + 0x90);
  writel(1, (char *)registers + 0x98);
  for (int tries = 0; tries < 1000 && (readl((char *)registers + 0x98) & 1) != 0; tries++) udelay(10);
  CHECK((readl((char *)registers + 0x98) & 1) == 0);
  iounmap(registers);
}
static void device_cuts_address(void) {
  /* The driver says 32 bits, the engine has 24: it reads elsewhere. */
  struct pci_dev *edu = add_edu(0x00ffffff);
  CHECK(pci_set_dma_mask(edu, 0xffffffff) == 0);
  BAD dma_addr_t handle = pci_map_single(edu, page_of(), 64, PCI_DMA_TODEVICE);
  CHECK(handle > 0x00ffffff);
  edu_read(edu, handle);
}

/* --- Pools --- */
static void pool_busy(void) {
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("busy", a, 64, 64, 0, SLAB_KERNEL);
  pci_pool_alloc(pool, SLAB_KERNEL, &handle);
  BAD pci_pool_destroy(pool);
}
static void pool_double(void) {
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("double", a, 64, 64, 0, SLAB_KERNEL);
  void *block = pci_pool_alloc(pool, SLAB_KERNEL, &handle);
  pci_pool_free(pool, block, handle);
  BAD pci_pool_free(pool, block, handle);
}
static void pool_unknown_block(void) {
  struct pci_pool *pool = pci_pool_create("unknown", a, 64, 64, 0, SLAB_KERNEL);
  BAD pci_pool_free(pool, page_of(), 0x123000);
}
static void pool_wrong(void) {
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("one", a, 64, 64, 0, SLAB_KERNEL);
  struct pci_pool *other = pci_pool_create("other", a, 64, 64, 0, SLAB_KERNEL);
  void *block = pci_pool_alloc(pool, SLAB_KERNEL, &handle);
  BAD pci_pool_free(other, block, handle);
}
static void pool_written(void) {
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("written", a, 64, 64, 0, SLAB_POISON);
  u8 *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handle);
  pci_pool_free(pool, block, handle);
  block[20] = 1;
  BAD pci_pool_alloc(pool, SLAB_ATOMIC, &handle);
}
static void pool_sleeps(void) {
  dma_addr_t handle;
  spinlock_t lock = SPIN_LOCK_UNLOCKED;
  struct pci_pool *pool = pci_pool_create("sleeps", a, 64, 64, 0, SLAB_KERNEL);
  spin_lock(&lock);
  BAD pci_pool_alloc(pool, SLAB_KERNEL, &handle);
  spin_unlock(&lock);
}
static void pool_long_wait(void) {
  /* 24 bits reach 15 MiB: blocks of 2 MiB end soon. */
  dma_addr_t handle;
  CHECK(pci_set_dma_mask(a, 0x00ffffff) == 0);
  struct pci_pool *pool = pci_pool_create("waits", a, 2 << 20, 0, 0, SLAB_KERNEL);
  while (pci_pool_alloc(pool, SLAB_ATOMIC, &handle) != NULL) continue;
  BAD pci_pool_alloc(pool, SLAB_KERNEL, &handle);
}
static void pool_alignment(void) { BAD pci_pool_create("odd", a, 64, 3, 0, SLAB_KERNEL); }
static void pool_gone(void) {
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("gone", a, 64, 64, 0, SLAB_KERNEL);
  pci_pool_destroy(pool);
  BAD pci_pool_alloc(pool, SLAB_KERNEL, &handle);
}

/* --- Devices and contexts --- */
static void unknown_device(void) {
  static struct pci_dev fake;
  BAD pci_map_single(&fake, page_of(), 64, PCI_DMA_TODEVICE);
}
static void removed_device(void) {
  swiftdma_device_remove(a);
  BAD pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
}
static void *freed_memory;
static dma_addr_t freed_handle;
static void free_handler(int irq, void *device, struct pt_regs *registers) {
  (void)irq;
  (void)device;
  (void)registers;
  BAD pci_free_consistent(a, 64, freed_memory, freed_handle);
}
static void free_in_interrupt(void) {
  freed_memory = pci_alloc_consistent(a, 64, &freed_handle);
  CHECK(request_irq(a->irq, free_handler, 0, "free", a) == 0);
  swiftdma_model_interrupt(model_a);
  schedule();
}
static void no_handle(void) { BAD pci_alloc_consistent(a, 64, NULL); }
static void sleep_with_lock(void) {
  spinlock_t lock = SPIN_LOCK_UNLOCKED;
  bad_line = 0;
  spin_lock(&lock);
  schedule();
  spin_unlock(&lock);
}
static void double_kfree(void) {
  void *memory = kmalloc(100, GFP_KERNEL);
  kfree(memory);
  bad_line = 0;
  kfree(memory);
}
static void vfree_of_kmalloc(void) {
  void *memory = kmalloc(100, GFP_KERNEL);
  bad_line = 0;
  vfree(memory);
}
static void bad_cookie(void) {
  bad_line = 0;
  (void)readl((void *)0x1000);
}

static const struct {
  const char *rule;
  const char *name;
  void (*run)(void);
} programs[] = {
#define PROGRAM(rule, function) {rule, #function, function}
    PROGRAM("release-of-failed-mapping", release_failed),
    PROGRAM("release-of-failed-mapping", release_failed_list),
    PROGRAM("double-release", double_unmap),
    PROGRAM("double-release", double_free),
    PROGRAM("double-release", double_unmap_list),
    PROGRAM("release-of-unknown", unmap_unknown),
    PROGRAM("release-of-unknown", unmap_inside),
    PROGRAM("release-for-wrong-device", unmap_of_other),
    PROGRAM("release-for-wrong-device", free_of_other),
    PROGRAM("release-with-different-size", unmap_size),
    PROGRAM("release-with-different-size", free_size),
    PROGRAM("release-with-wrong-function", consistent_unmapped),
    PROGRAM("release-with-wrong-function", streaming_freed),
    PROGRAM("release-with-wrong-function", list_unmapped_single),
    PROGRAM("free-with-different-cpu-address", free_address),
    PROGRAM("unmap-sg-with-different-count", unmap_count),
    PROGRAM("release-with-different-direction", unmap_direction),
    PROGRAM("release-with-different-direction", unmap_list_direction),
    PROGRAM("mapping-error-not-checked", error_not_tested),
    PROGRAM("map-of-stack", map_stack),
    PROGRAM("map-of-stack", map_list_stack),
    PROGRAM("map-of-kernel-image", map_image),
    PROGRAM("map-of-kernel-image", map_code),
    PROGRAM("map-of-vmalloc", map_vmalloc),
    PROGRAM("map-of-vmalloc", map_list_vmalloc),
    PROGRAM("map-of-invalid-area", map_malloc),
    PROGRAM("map-of-invalid-area", map_freed),
    PROGRAM("map-of-invalid-area", map_null),
    PROGRAM("map-of-invalid-area", map_past_object),
    PROGRAM("zero-length-map", map_nothing),
    PROGRAM("overlapping-cache-line", map_overlap),
    PROGRAM("too-many-overlapping-mappings", map_many_overlaps),
    PROGRAM("sg-segment-too-long", long_segment),
    PROGRAM("sg-segment-across-boundary", boundary),
    PROGRAM("invalid-direction", direction_none),
    PROGRAM("invalid-direction", direction_odd),
    PROGRAM("invalid-direction", sync_direction_none),
    PROGRAM("scatter-list-mapped-twice", twice_mapped_list),
    PROGRAM("invalid-scatter-entry", empty_entry),
    PROGRAM("sync-of-unknown", sync_unknown),
    PROGRAM("sync-after-release", sync_released),
    PROGRAM("sync-outside-mapping", sync_outside),
    PROGRAM("sync-with-different-direction", sync_direction),
    PROGRAM("sync-for-cpu-of-device-read-only", sync_read_only),
    PROGRAM("sync-for-device-of-device-write-only", sync_write_only),
    PROGRAM("sync-sg-with-different-count", sync_count),
    PROGRAM("leak", leak_at_removal),
    PROGRAM("leak", leak_consistent),
    PROGRAM("leak", leak_at_unload),
    PROGRAM("mask-changed-while-mapped", mask_changed),
    PROGRAM("map-with-refused-mask", refused_mask),
    PROGRAM("assigned-mask-refused", assigned_mask),
    PROGRAM("memory-changed-while-mapped", changed_memory),
    PROGRAM("memory-freed-while-mapped", freed_while_mapped),
    PROGRAM("device-use-after-unmap", device_late),
    PROGRAM("device-access-outside-mapping", device_outside),
    PROGRAM("device-write-to-read-only", device_writes_read_only),
    PROGRAM("device-read-of-write-only", device_reads_write_only),
    PROGRAM("device-access-of-other-device", device_of_other),
    PROGRAM("device-access-of-unmapped", device_unmapped),
    PROGRAM("device-access-while-cpu-owns", device_while_cpu),
    PROGRAM("device-access-without-bus-mastering", device_no_master),
    PROGRAM("map-of-stack", device_error_address),
    PROGRAM("device-fault", device_cuts_address),
    PROGRAM("pool-destroyed-with-blocks", pool_busy),
    PROGRAM("pool-double-free", pool_double),
    PROGRAM("pool-free-of-unknown", pool_unknown_block),
    PROGRAM("pool-free-to-wrong-pool", pool_wrong),
    PROGRAM("pool-block-written-while-free", pool_written),
    PROGRAM("sleep-in-atomic-context", pool_sleeps),
    PROGRAM("long-wait", pool_long_wait),
    PROGRAM("invalid-argument", pool_alignment),
    PROGRAM("unknown-pool", pool_gone),
    PROGRAM("unknown-device", unknown_device),
    PROGRAM("unknown-device", removed_device),
    PROGRAM("free-in-interrupt", free_in_interrupt),
    PROGRAM("invalid-argument", no_handle),
    PROGRAM("sleep-in-atomic-context", sleep_with_lock),
    PROGRAM("free-of-unknown", double_kfree),
    PROGRAM("free-with-wrong-function", vfree_of_kmalloc),
    PROGRAM("unknown-register-cookie", bad_cookie),
};

/* --- Near misses: as close to a mistake as a correct driver comes. Nothing may be found. --- */
static void near_lines(void) {
  /* Neighbouring cache lines; and one line in many mappings that the device only reads. */
  u8 *memory = page_of();
  dma_addr_t handles[16];
  for (int index = 0; index < 16; index++) {
    handles[index] = pci_map_single(a, memory + 64 * index, 64, PCI_DMA_FROMDEVICE);
  }
  for (int index = 0; index < 16; index++) {
    pci_unmap_single(a, handles[index], 64, PCI_DMA_FROMDEVICE);
  }
  for (int index = 0; index < 16; index++) {
    handles[index] = pci_map_single(a, memory, 64, PCI_DMA_TODEVICE);
  }
  for (int index = 0; index < 16; index++) {
    pci_unmap_single(a, handles[index], 64, PCI_DMA_TODEVICE);
  }
  /* One after the other they do not overlap. */
  for (int index = 0; index < 16; index++) {
    dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_FROMDEVICE);
    pci_unmap_single(a, handle, 64, PCI_DMA_FROMDEVICE);
  }
}
static void near_mask(void) {
  /* The engine has 24 bits and the driver says so: the last page that they reach is as good as any. */
  struct pci_dev *edu = add_edu(0x00ffffff);
  CHECK(pci_set_dma_mask(edu, 0x00ffffff) == 0);
  u8 *memory = (u8 *)__get_free_page(GFP_KERNEL | GFP_DMA);
  dma_addr_t handle = pci_map_single(edu, memory, 64, PCI_DMA_TODEVICE);
  CHECK(handle != DMA_MAPPING_ERROR && handle + 63 <= 0x00ffffff);
  edu_read(edu, handle);
  pci_unmap_single(edu, handle, 64, PCI_DMA_TODEVICE);
  /* Memory above: copied or translated, or refused, and a driver that tests is right. */
  handle = pci_map_single(edu, page_of(), 64, PCI_DMA_TODEVICE);
  if (!pci_dma_mapping_error(edu, handle)) {
    CHECK(handle + 63 <= 0x00ffffff);
    edu_read(edu, handle);
    pci_unmap_single(edu, handle, 64, PCI_DMA_TODEVICE);
  }
  free_page((unsigned long)memory);
}
static void near_mask_while_mapped(void) {
  dma_addr_t handle = pci_map_single(a, page_of(), 64, PCI_DMA_FROMDEVICE);
  CHECK(pci_set_dma_mask(a, a->dma_mask) == 0);
  pci_unmap_single(a, handle, 64, PCI_DMA_FROMDEVICE);
  CHECK(pci_set_dma_mask(a, 0x7fffffff) == 0);
}
static void near_end(void) {
  /* The last byte of a page, of a mapping, of a sync. */
  u8 byte = 1, *memory = page_of();
  dma_addr_t handle = pci_map_single(a, memory + 4032, 64, PCI_DMA_FROMDEVICE);
  CHECK(swiftdma_model_write(model_a, handle + 63, &byte, 1) == 0);
  pci_dma_sync_single(a, handle, 64, PCI_DMA_FROMDEVICE);
  CHECK(memory[4095] == 1);
  pci_unmap_single(a, handle, 64, PCI_DMA_FROMDEVICE);
}
static void near_sync(void) {
  u8 byte = 2, *memory = page_of();
  dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_BIDIRECTIONAL);
  pci_dma_sync_single_for_cpu(a, handle, 64, PCI_DMA_BIDIRECTIONAL);
  memory[1] = 1;
  pci_dma_sync_single_for_device(a, handle, 64, PCI_DMA_BIDIRECTIONAL);
  CHECK(swiftdma_model_write(model_a, handle, &byte, 1) == 0);
  pci_unmap_single(a, handle, 64, PCI_DMA_BIDIRECTIONAL);
  CHECK(memory[0] == 2 && memory[1] == 1);
}
static void near_list(void) {
  /* Merged or not, a list ends with the count it was mapped with; then it may be mapped again. */
  struct scatterlist list[4];
  make_list(list, 4);
  for (int round = 0; round < 2; round++) {
    CHECK(pci_map_sg(a, list, 4, PCI_DMA_FROMDEVICE) > 0);
    pci_dma_sync_sg(a, list, 4, PCI_DMA_FROMDEVICE);
    pci_unmap_sg(a, list, 4, PCI_DMA_FROMDEVICE);
  }
}
static void near_failed(void) {
  /* A failed map that is tested, and not used. */
  dma_addr_t handle;
  CHECK(pci_set_dma_mask(a, 0x00ffffff) == 0);
  handle = pci_map_single(a, page_of(), 64, PCI_DMA_TODEVICE);
  if (!pci_dma_mapping_error(a, handle)) pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
}
static void near_address_again(void) {
  /* The same address may come again: ends in the order of the maps. */
  u8 *memory = page_of();
  for (int round = 0; round < 3; round++) {
    dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_TODEVICE);
    dma_addr_t other = pci_map_single(b, memory, 64, PCI_DMA_TODEVICE);
    pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
    pci_unmap_single(b, other, 64, PCI_DMA_TODEVICE);
  }
}
static void near_pool(void) {
  dma_addr_t handles[100];
  void *blocks[100];
  struct pci_pool *pool = pci_pool_create("near", a, 64, 64, 4096, SLAB_POISON);
  for (int index = 0; index < 100; index++) {
    blocks[index] = pci_pool_alloc(pool, SLAB_ATOMIC, &handles[index]);
    memset(blocks[index], 1, 64);
  }
  for (int index = 0; index < 100; index++) pci_pool_free(pool, blocks[index], handles[index]);
  blocks[0] = pci_pool_alloc(pool, SLAB_KERNEL, &handles[0]);
  pci_pool_free(pool, blocks[0], handles[0]);
  pci_pool_destroy(pool);
}
static void near_consistent(void) {
  /* CPU and device at the same time, to the last byte of what was asked for. */
  u8 byte = 3;
  dma_addr_t handle;
  u8 *memory = pci_alloc_consistent(a, 100, &handle);
  CHECK(swiftdma_model_write(model_a, handle + 99, &byte, 1) == 0);
  memory[98] = 4;
  pci_free_consistent(a, 100, memory, handle);
}
static void near_changed(void) {
  /* The CPU may read what the device reads, and change it once it is its own. */
  u8 *memory = page_of();
  memory[3] = 1;
  dma_addr_t handle = pci_map_single(a, memory, 64, PCI_DMA_TODEVICE);
  CHECK(memory[3] == 1);
  pci_unmap_single(a, handle, 64, PCI_DMA_TODEVICE);
  memory[3] = 2;
  free_page((unsigned long)memory);
}
static void near_lock(void) {
  dma_addr_t handle;
  spinlock_t lock = SPIN_LOCK_UNLOCKED;
  struct pci_pool *pool = pci_pool_create("lock", a, 64, 64, 0, SLAB_KERNEL);
  spin_lock(&lock);
  void *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handle);
  pci_pool_free(pool, block, handle);
  spin_unlock(&lock);
  pci_pool_destroy(pool);
  kfree(NULL);
}

static const struct {
  const char *name;
  void (*run)(void);
} near[] = {
#define NEAR(function) {#function, function}
    NEAR(near_lines), NEAR(near_mask), NEAR(near_mask_while_mapped), NEAR(near_end),
    NEAR(near_sync), NEAR(near_list), NEAR(near_failed), NEAR(near_address_again),
    NEAR(near_pool), NEAR(near_consistent), NEAR(near_changed), NEAR(near_lock),
};

static void begin(const struct setup *setup, unsigned int flags) {
  machine = make_machine(setup, 0);
  start_checker(machine, flags);
  a = add_probe(machine, 1);
  b = add_probe(machine, 2);
  model_a = swiftdma_model_of(a);
  model_b = swiftdma_model_of(b);
}

/* The finding that counts: of the rule where others may come first, else the first. */
static int place_of(const char *rule) {
  int is_late = strcmp(rule, "too-many-overlapping-mappings") == 0 || strcmp(rule, "device-fault") == 0;
  for (int index = 0; is_late && index < seen_count; index++) {
    if (strcmp(seen[index].rule, rule) == 0) return index;
  }
  return 0;
}

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (unsigned int index = 0; index < ARRAY_SIZE(programs); index++) {
    begin(&setups[0], strcmp(programs[index].name, "changed_memory") == 0 ? SWIFTDMA_CHECK_CONTENT : 0);
    bad_line = ~0u;
    programs[index].run();
    CHECK(seen_count > 0);
    /* A line that is 0: the mistake has no place in the source that the library is told of. */
    const struct seen *found = &seen[place_of(programs[index].rule)];
    int is_right = seen_count > 0 && strcmp(found->rule, programs[index].rule) == 0 &&
                   found->line == bad_line &&
                   strcmp(found->file, bad_line == 0 ? "" : "bugs.c") == 0;
    CHECK(is_right);
    if (!is_right) {
      fprintf(stderr, "%s: expected %s at line %u, found %s at %s:%u\n", programs[index].name,
              programs[index].rule, bad_line, seen_count > 0 ? found->rule : "nothing",
              found->file, found->line);
    }
    CHECK(swiftdma_machine_destroy(machine) == 0);
  }
  for (int over = 0; over < SETUP_COUNT; over++) {
    for (unsigned int index = 0; index < ARRAY_SIZE(near); index++) {
      begin(&setups[over], SWIFTDMA_CHECK_CONTENT);
      near[index].run();
      CHECK(swiftdma_checker_finish(machine) == 0 && seen_count == 0);
      if (seen_count > 0) fprintf(stderr, "%s over %s: %s\n", near[index].name, setups[over].name, seen[0].text);
      CHECK(swiftdma_machine_destroy(machine) == 0);
    }
  }
  printf("count: bugs: %zu programs, %zu near misses over %d setups\n", ARRAY_SIZE(programs),
         ARRAY_SIZE(near), SETUP_COUNT);
  return result("bugs");
}
