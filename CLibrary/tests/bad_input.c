/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad input of every kind to every call: each is refused, with the value the call's contract says and
 * a reason, and nothing is changed. No checker is on: refusing is the library's own. */

#include "check.h"

static struct swiftdma_machine *machine;
static struct pci_dev *dev, *other;

/* What must not change, whatever is refused. */
struct state {
  int mappings, consistent, mappings_of_other;
  uint64_t mask, memory;
};
static struct state now(void) {
  struct state state = {swiftdma_device_live_mappings(dev), swiftdma_device_live_consistent(dev),
                        swiftdma_device_live_mappings(other), dev->dma_mask,
                        swiftdma_free_memory(machine)};
  return state;
}

static int is_same(const struct state *one, const struct state *two) {
  return one->mappings == two->mappings && one->consistent == two->consistent &&
         one->mappings_of_other == two->mappings_of_other && one->mask == two->mask &&
         one->memory == two->memory;
}

static int refusals;

/* The expression is true, a reason is given, and nothing has changed. */
#define REFUSED(condition)                                                              \
  do {                                                                                  \
    struct state before = now();                                                        \
    int stale = swiftdma_device_add(NULL, NULL, NULL);                                  \
    (void)stale;                                                                        \
    CHECK(condition);                                                                   \
    struct state after = now();                                                         \
    CHECK(is_same(&before, &after));                                                    \
    refusals++;                                                                         \
  } while (0)
#define REFUSED_WITH(error, condition)                    \
  do {                                                    \
    REFUSED(condition);                                   \
    if (swiftdma_last_error() != -(error)) {              \
      fprintf(stderr, "%s:%d: the reason was %d\n", __FILE__, __LINE__, swiftdma_last_error()); \
    }                                                     \
    CHECK(swiftdma_last_error() == -(error));             \
  } while (0)

static void *const bad_pointers[] = {(void *)1, (void *)8, (void *)0xdeadbeef,
                                     (void *)(uintptr_t)0x7fffffffffffULL,
                                     (void *)UINTPTR_MAX, (void *)(UINTPTR_MAX - 4095)};

static struct pci_dev fake_device;
static struct { char bytes[64]; } fake_pool;

static void bad_devices(void) {
  u8 *memory = kmalloc(128, GFP_KERNEL);
  struct pci_dev *devices[10];
  int count = 0;
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    devices[count++] = bad_pointers[index];
  }
  devices[count++] = &fake_device;
  devices[count++] = (struct pci_dev *)((char *)dev + 8);
  devices[count++] = (struct pci_dev *)(void *)&dev->dev;
  for (int index = 0; index < count; index++) {
    struct pci_dev *bad = devices[index];
    dma_addr_t handle = 77;
    struct scatterlist list[1];
    memset(list, 0, sizeof(list));
    list[0].address = (char *)memory;
    list[0].length = 64;
    REFUSED_WITH(ENODEV, pci_dma_supported(bad, 0xffffffff) == 0);
    REFUSED_WITH(ENODEV, pci_set_dma_mask(bad, 0xffffffff) == -ENODEV);
    REFUSED_WITH(ENODEV, pci_alloc_consistent(bad, 64, &handle) == NULL && handle == 77);
    REFUSED_WITH(ENODEV, (pci_free_consistent(bad, 64, memory, 0x1000), 1));
    REFUSED_WITH(ENODEV, pci_map_single(bad, memory, 64, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
    REFUSED_WITH(ENODEV, (pci_unmap_single(bad, 0x1000, 64, PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(ENODEV, (pci_dma_sync_single(bad, 0x1000, 64, PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(ENODEV, pci_map_sg(bad, list, 1, PCI_DMA_TODEVICE) == 0);
    REFUSED_WITH(ENODEV, (pci_unmap_sg(bad, list, 1, PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(ENODEV, (pci_dma_sync_sg(bad, list, 1, PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(ENODEV, pci_pool_create("x", bad, 64, 0, 0, 0) == NULL);
    REFUSED_WITH(ENODEV, swiftdma_device_remove(bad) == -ENODEV);
    REFUSED_WITH(ENODEV, swiftdma_device_live_mappings(bad) == -ENODEV);
    REFUSED_WITH(ENODEV, pci_enable_device(bad) == -ENODEV);
    u32 value = 0;
    REFUSED_WITH(ENODEV, pci_read_config_dword(bad, 0, &value) == -ENODEV && value == UINT32_MAX);
    /* As a struct device, the real one by its wrong address. */
    struct device *generic = (struct device *)(void *)(index == 8 ? dev : bad);
    REFUSED_WITH(ENODEV, dma_map_single(generic, memory, 64, DMA_TO_DEVICE) == DMA_MAPPING_ERROR);
  }
  kfree(memory);
}

static void bad_masks(void) {
  static const uint64_t masks[] = {0, 0xff, 0xf0f0f0f0, 0xfffffffe, 1, (uint64_t)1 << 63,
                                   0xffffffff00000000ULL};
  for (unsigned int index = 0; index < ARRAY_SIZE(masks); index++) {
    REFUSED(pci_dma_supported(dev, masks[index]) == 0);
    REFUSED_WITH(EIO, pci_set_dma_mask(dev, masks[index]) == -EIO);
    REFUSED_WITH(EIO, dma_set_coherent_mask(&dev->dev, masks[index]) == -EIO);
  }
  REFUSED_WITH(EIO, pci_set_dma_mask(NULL, 0xffffffff) == -EIO);
}

static void bad_consistent(void) {
  dma_addr_t handle = 77, good_handle, lying;
  REFUSED_WITH(EINVAL, pci_alloc_consistent(dev, 0, &handle) == NULL && handle == 77);
  REFUSED_WITH(EINVAL, pci_alloc_consistent(dev, SIZE_MAX, &handle) == NULL && handle == 77);
  REFUSED(pci_alloc_consistent(dev, SIZE_MAX / 2, &handle) == NULL && handle == 77);
  REFUSED(pci_alloc_consistent(dev, (size_t)1 << 40, &handle) == NULL && handle == 77);
  REFUSED_WITH(EINVAL, pci_alloc_consistent(dev, 64, NULL) == NULL);
  char *memory = pci_alloc_consistent(dev, 8192, &good_handle);
  CHECK(memory != NULL);
  static const size_t sizes[] = {0, 1, 4096, 8191, 8193, 16384, SIZE_MAX};
  for (unsigned int index = 0; index < ARRAY_SIZE(sizes); index++) {
    REFUSED_WITH(EINVAL, (pci_free_consistent(dev, sizes[index], memory, good_handle), 1));
  }
  REFUSED_WITH(EINVAL, (pci_free_consistent(dev, 8192, memory + 4096, good_handle), 1));
  REFUSED_WITH(EINVAL, (pci_free_consistent(dev, 8192, NULL, good_handle), 1));
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    REFUSED_WITH(EINVAL, (pci_free_consistent(dev, 8192, bad_pointers[index], good_handle), 1));
  }
  REFUSED_WITH(EXDEV, (pci_free_consistent(other, 8192, memory, good_handle), 1));
  REFUSED_WITH(ENOENT, (pci_free_consistent(dev, 8192, memory, good_handle + 4096), 1));
  REFUSED_WITH(ENOENT, (pci_free_consistent(dev, 8192, memory, 0), 1));
  REFUSED_WITH(ENOENT, (pci_free_consistent(dev, 8192, memory, DMA_MAPPING_ERROR), 1));
  REFUSED_WITH(EINVAL, (pci_unmap_single(dev, good_handle, 8192, PCI_DMA_BIDIRECTIONAL), 1));
  REFUSED_WITH(EINVAL, pci_map_single(dev, memory, 8192, PCI_DMA_NONE) == DMA_MAPPING_ERROR);
  pci_free_consistent(dev, 8192, memory, good_handle);
  REFUSED_WITH(ENOENT, (pci_free_consistent(dev, 8192, memory, good_handle), 1));
  u8 *stream = kmalloc(64, GFP_KERNEL);
  lying = pci_map_single(dev, stream, 64, PCI_DMA_BIDIRECTIONAL);
  REFUSED_WITH(EINVAL, (pci_free_consistent(dev, 64, stream, lying), 1));
  pci_unmap_single(dev, lying, 64, PCI_DMA_BIDIRECTIONAL);
  kfree(stream);
}

static void bad_single(void) {
  u8 *memory = kmalloc(256, GFP_KERNEL);
  u8 local[64], *area = vmalloc(8192), *host = malloc(64);
  void *code = (void *)(uintptr_t)&bad_masks;
  static u8 data[64];
  static const int directions[] = {-1, 3, 4, 99, INT32_MAX, INT32_MIN};
  dma_addr_t handle = pci_map_single(dev, memory, 256, PCI_DMA_FROMDEVICE);
  CHECK(handle != DMA_MAPPING_ERROR);
  for (unsigned int index = 0; index < ARRAY_SIZE(directions); index++) {
    int direction = directions[index];
    REFUSED_WITH(EINVAL, pci_map_single(dev, memory, 64, direction) == DMA_MAPPING_ERROR);
    REFUSED_WITH(EINVAL, (pci_unmap_single(dev, handle, 256, direction), 1));
    REFUSED_WITH(EINVAL, (pci_dma_sync_single(dev, handle, 256, direction), 1));
    REFUSED_WITH(EINVAL, dma_map_single(&dev->dev, memory, 64, (enum dma_data_direction)direction) ==
                             DMA_MAPPING_ERROR);
  }
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, (size_t)1 << 63};
  for (unsigned int index = 0; index < ARRAY_SIZE(sizes); index++) {
    REFUSED_WITH(EINVAL,
                 pci_map_single(dev, memory, sizes[index], PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
    REFUSED(((pci_unmap_single(dev, handle, sizes[index], PCI_DMA_FROMDEVICE)), 1));
    REFUSED(((pci_dma_sync_single(dev, handle, sizes[index], PCI_DMA_FROMDEVICE)), 1));
  }
  REFUSED_WITH(EINVAL, pci_map_single(dev, memory, 0, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  static const size_t overlong[] = {257, 4096, 1 << 20, (size_t)1 << 62};
  for (unsigned int index = 0; index < ARRAY_SIZE(overlong); index++) {
    REFUSED_WITH(EFAULT,
                 pci_map_single(dev, memory, overlong[index], PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  }
  void *const kinds[] = {NULL, local, area, host, code, data, &dev, dev, machine,
                         bad_pointers[0], bad_pointers[2], bad_pointers[3], bad_pointers[4]};
  for (unsigned int index = 0; index < ARRAY_SIZE(kinds); index++) {
    REFUSED_WITH(EFAULT, pci_map_single(dev, kinds[index], 4, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  }
  REFUSED_WITH(EINVAL, pci_map_page(dev, NULL, 0, 64, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  REFUSED_WITH(EINVAL, pci_map_page(dev, virt_to_page(memory), SIZE_MAX, 64, PCI_DMA_TODEVICE) ==
                           DMA_MAPPING_ERROR);
  static const size_t wrong[] = {0, 1, 255, 257, 4096};
  for (unsigned int index = 0; index < ARRAY_SIZE(wrong); index++) {
    REFUSED_WITH(EINVAL, (pci_unmap_single(dev, handle, wrong[index], PCI_DMA_FROMDEVICE), 1));
  }
  REFUSED_WITH(EINVAL, (pci_unmap_single(dev, handle, 256, PCI_DMA_TODEVICE), 1));
  REFUSED_WITH(EINVAL, (pci_unmap_single(dev, handle, 256, PCI_DMA_BIDIRECTIONAL), 1));
  REFUSED_WITH(EXDEV, (pci_unmap_single(other, handle, 256, PCI_DMA_FROMDEVICE), 1));
  static const int64_t offsets[] = {1, -1, 64, 4096, 1 << 20};
  for (unsigned int index = 0; index < ARRAY_SIZE(offsets); index++) {
    REFUSED_WITH(ENOENT, (pci_unmap_single(dev, handle + (uint64_t)offsets[index], 256,
                                           PCI_DMA_FROMDEVICE), 1));
  }
  REFUSED_WITH(ENOENT, (pci_unmap_single(dev, DMA_MAPPING_ERROR, 256, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(ENOENT, (pci_unmap_single(dev, 0, 256, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(EINVAL, (pci_dma_sync_single(dev, handle, 0, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(ERANGE, (pci_dma_sync_single(dev, handle, 257, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(ERANGE, (pci_dma_sync_single(dev, handle + 255, 2, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(ENOENT, (pci_dma_sync_single(dev, handle + 256, 1, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(EINVAL, (pci_dma_sync_single(dev, handle, 256, PCI_DMA_TODEVICE), 1));
  REFUSED(pci_dma_mapping_error(dev, DMA_MAPPING_ERROR) != 0);
  pci_unmap_single(dev, handle, 256, PCI_DMA_FROMDEVICE);
  REFUSED_WITH(ENOENT, (pci_unmap_single(dev, handle, 256, PCI_DMA_FROMDEVICE), 1));
  REFUSED_WITH(ENOENT, (pci_dma_sync_single(dev, handle, 256, PCI_DMA_FROMDEVICE), 1));
  kfree(memory);
  REFUSED_WITH(EFAULT, pci_map_single(dev, memory, 64, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  vfree(area);
  free(host);
}

static void bad_lists(void) {
  struct scatterlist list[4];
  u8 *memory = kmalloc(1024, GFP_KERNEL), *area = vmalloc(4096);
  u8 local[16];
  memset(list, 0, sizeof(list));
  for (int index = 0; index < 4; index++) {
    list[index].address = (char *)memory + index * 256;
    list[index].length = 256;
  }
  static const int counts[] = {0, -1, INT32_MIN, INT32_MAX, 65537};
  for (unsigned int index = 0; index < ARRAY_SIZE(counts); index++) {
    REFUSED_WITH(EINVAL, pci_map_sg(dev, list, counts[index], PCI_DMA_TODEVICE) == 0);
    REFUSED_WITH(EINVAL, (pci_unmap_sg(dev, list, counts[index], PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(EINVAL, (pci_dma_sync_sg(dev, list, counts[index], PCI_DMA_TODEVICE), 1));
  }
  REFUSED_WITH(EINVAL, pci_map_sg(dev, NULL, 1, PCI_DMA_TODEVICE) == 0);
  REFUSED_WITH(EINVAL, (pci_unmap_sg(dev, NULL, 1, PCI_DMA_TODEVICE), 1));
  REFUSED_WITH(EINVAL, (pci_dma_sync_sg(dev, NULL, 1, PCI_DMA_TODEVICE), 1));
  for (int shift = 1; shift < 8; shift++) {
    struct scatterlist *odd = (struct scatterlist *)(void *)((char *)list + shift);
    REFUSED_WITH(EINVAL, pci_map_sg(dev, odd, 1, PCI_DMA_TODEVICE) == 0);
  }
  REFUSED_WITH(EINVAL, pci_map_sg(dev, list, 4, PCI_DMA_NONE) == 0);
  void *const addresses[] = {area, local, &fake_device, (void *)1, (void *)UINTPTR_MAX};
  for (unsigned int place = 0; place < 4; place++) {
    struct scatterlist good = list[place];
    for (unsigned int index = 0; index < ARRAY_SIZE(addresses); index++) {
      list[place].address = addresses[index];
      REFUSED_WITH(EFAULT, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
    }
    list[place] = good;
    list[place].length = 0;
    REFUSED_WITH(EINVAL, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
    list[place] = good;
    list[place].length = UINT32_MAX;
    REFUSED_WITH(EFAULT, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
    list[place] = good;
    list[place].address = NULL;
    REFUSED_WITH(EINVAL, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
    list[place] = good;
    list[place].page = virt_to_page(memory);
    REFUSED_WITH(EINVAL, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
    list[place] = good;
  }
  int count = pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE);
  CHECK(count >= 1);
  REFUSED_WITH(EBUSY, pci_map_sg(dev, list, 4, PCI_DMA_TODEVICE) == 0);
  for (int wrong = 1; wrong < 8; wrong++) {
    if (wrong == 4) continue;
    REFUSED_WITH(EINVAL, (pci_unmap_sg(dev, list, wrong, PCI_DMA_TODEVICE), 1));
    REFUSED_WITH(EINVAL, (pci_dma_sync_sg(dev, list, wrong, PCI_DMA_TODEVICE), 1));
  }
  REFUSED_WITH(EINVAL, (pci_unmap_sg(dev, list, 4, PCI_DMA_FROMDEVICE), 1));
  REFUSED(((pci_unmap_sg(other, list, 4, PCI_DMA_TODEVICE)), 1));
  REFUSED_WITH(EINVAL, (pci_unmap_single(dev, sg_dma_address(list), sg_dma_len(list),
                                         PCI_DMA_TODEVICE), 1));
  pci_unmap_sg(dev, list, 4, PCI_DMA_TODEVICE);
  REFUSED_WITH(ENOENT, (pci_unmap_sg(dev, list, 4, PCI_DMA_TODEVICE), 1));
  REFUSED_WITH(ENOENT, (pci_dma_sync_sg(dev, list, 4, PCI_DMA_TODEVICE), 1));
  REFUSED(sg_dma_address(NULL) == DMA_MAPPING_ERROR && sg_dma_len(NULL) == 0);
  kfree(memory);
  vfree(area);
}

static void bad_pools(void) {
  dma_addr_t handle = 77, good;
  static const size_t aligns[] = {3, 6, 12, 100, SIZE_MAX, (size_t)1 << 63, (size_t)1 << 40};
  for (unsigned int index = 0; index < ARRAY_SIZE(aligns); index++) {
    REFUSED_WITH(EINVAL, pci_pool_create("x", dev, 64, aligns[index], 0, 0) == NULL);
  }
  static const size_t boundaries[] = {1, 63, 65, 100, 3000, SIZE_MAX};
  for (unsigned int index = 0; index < ARRAY_SIZE(boundaries); index++) {
    REFUSED_WITH(EINVAL, pci_pool_create("x", dev, 64, 0, boundaries[index], 0) == NULL);
  }
  static const size_t sizes[] = {0, SIZE_MAX, (size_t)1 << 31, (size_t)1 << 63};
  for (unsigned int index = 0; index < ARRAY_SIZE(sizes); index++) {
    REFUSED(pci_pool_create("x", dev, sizes[index], 0, 0, 0) == NULL);
  }
  REFUSED_WITH(EINVAL, pci_pool_create(NULL, dev, 64, 0, 0, 0) == NULL);
  struct pci_pool *pool = pci_pool_create("a pool", dev, 64, 0, 0, 0);
  struct pci_pool *second = pci_pool_create("a pool", dev, 64, 0, 0, 0);
  u8 *block = pci_pool_alloc(pool, SLAB_ATOMIC, &good);
  CHECK(pool != NULL && second != NULL && block != NULL);
  struct pci_pool *pools[9];
  int count = 0;
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    pools[count++] = bad_pointers[index];
  }
  pools[count++] = (struct pci_pool *)(void *)&fake_pool;
  pools[count++] = (struct pci_pool *)(void *)((char *)pool + 8);
  pools[count++] = NULL;
  for (int index = 0; index < count; index++) {
    REFUSED_WITH(EINVAL, pci_pool_alloc(pools[index], SLAB_ATOMIC, &handle) == NULL && handle == 77);
    REFUSED_WITH(EINVAL, (pci_pool_free(pools[index], block, good), 1));
    REFUSED_WITH(EINVAL, (pci_pool_destroy(pools[index]), 1));
  }
  REFUSED_WITH(EINVAL, pci_pool_alloc(pool, SLAB_ATOMIC, NULL) == NULL);
  REFUSED_WITH(EBUSY, (pci_pool_destroy(pool), 1));
  REFUSED_WITH(ENOENT, (pci_pool_free(second, block, good), 1));
  REFUSED_WITH(EINVAL, (pci_pool_free(pool, block + 1, good), 1));
  REFUSED_WITH(EINVAL, (pci_pool_free(pool, NULL, good), 1));
  REFUSED_WITH(ENOENT, (pci_pool_free(pool, block, good + 1), 1));
  REFUSED(((pci_pool_free(pool, block, good + 64)), 1));
  REFUSED_WITH(ENOENT, (pci_pool_free(pool, block, good + 4096), 1));
  REFUSED_WITH(ENOENT, (pci_pool_free(pool, block, DMA_MAPPING_ERROR), 1));
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    REFUSED_WITH(EINVAL, (pci_pool_free(pool, bad_pointers[index], good), 1));
  }
  spinlock_t lock = SPIN_LOCK_UNLOCKED;
  spin_lock(&lock);
  REFUSED_WITH(EAGAIN, dma_pool_zalloc(pool, GFP_KERNEL, &handle) == NULL && handle == 77);
  spin_unlock(&lock);
  pci_pool_free(pool, block, good);
  REFUSED_WITH(EALREADY, (pci_pool_free(pool, block, good), 1));
  pci_pool_destroy(pool);
  REFUSED_WITH(EINVAL, pci_pool_alloc(pool, SLAB_ATOMIC, &handle) == NULL);
  REFUSED_WITH(EINVAL, (pci_pool_destroy(pool), 1));
  pci_pool_destroy(second);
}

static void bad_machines(void) {
  struct swiftdma_machine *made = NULL;
  struct swiftdma_machine_options options;
  struct swiftdma_device_options device;
  struct swiftdma_model_options model;
  struct swiftdma_checker_options checker;
  struct pci_dev *added = NULL;
  struct { struct swiftdma_machine_options known; char more[16]; } longer;
  REFUSED_WITH(EINVAL, swiftdma_machine_create(NULL, NULL) == -EINVAL);
  static const size_t struct_sizes[] = {0, 1, 7, 4097, SIZE_MAX};
  for (unsigned int index = 0; index < ARRAY_SIZE(struct_sizes); index++) {
    memset(&options, 0, sizeof(options));
    options.struct_size = struct_sizes[index];
    REFUSED_WITH(EINVAL, swiftdma_machine_create(&options, &made) == -EINVAL && made == NULL);
  }
  memset(&longer, 0, sizeof(longer));
  longer.known.struct_size = sizeof(longer);
  longer.more[3] = 1;
  REFUSED_WITH(E2BIG, swiftdma_machine_create(&longer.known, &made) == -E2BIG && made == NULL);
#define OPTION(member, value, error)                                                            \
  do {                                                                                          \
    memset(&options, 0, sizeof(options));                                                       \
    options.struct_size = sizeof(options);                                                      \
    options.member = value;                                                                     \
    REFUSED_WITH(error, swiftdma_machine_create(&options, &made) == -(error) && made == NULL);  \
  } while (0)
  OPTION(mapping, (enum swiftdma_mapping)5, EINVAL);
  OPTION(mapping, (enum swiftdma_mapping)99, EINVAL);
  OPTION(kind, (enum swiftdma_machine_kind)2, EINVAL);
  OPTION(flags, 16u, EINVAL);
  OPTION(flags, ~0u, EINVAL);
  OPTION(memory_size, 1, EINVAL);
  OPTION(memory_size, 31 << 20, EINVAL);
  OPTION(memory_size, ((uint64_t)64 << 20) + 4096, EINVAL);
  OPTION(memory_size, UINT64_MAX, EINVAL);
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    struct swiftdma_machine *bad = bad_pointers[index];
    REFUSED_WITH(ENODEV, swiftdma_machine_destroy(bad) == -ENODEV);
    REFUSED_WITH(ENODEV, swiftdma_machine_select(bad) == -ENODEV);
    REFUSED_WITH(ENODEV, swiftdma_run(bad, 1) == -ENODEV);
    REFUSED_WITH(ENODEV, swiftdma_checker_start(bad, NULL) == -ENODEV);
    REFUSED(swiftdma_now(bad) == 0 && swiftdma_free_memory(bad) == 0);
    REFUSED_WITH(ENODEV, swiftdma_model_read((struct swiftdma_model *)(void *)bad, 0, &made, 1) == -ENODEV);
  }
  memset(&device, 0, sizeof(device));
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, &device, &added) == -EINVAL);
  device.struct_size = sizeof(device);
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, &device, NULL) == -EINVAL);
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, NULL, &added) == -EINVAL);
  device.kind = (enum swiftdma_device_kind)3;
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, &device, &added) == -EINVAL);
  device.kind = SWIFTDMA_EDU;
  device.mask = 0xf0f0;
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, &device, &added) == -EINVAL);
  device.mask = 0;
  device.kind = SWIFTDMA_NVME;
  device.image = "/nonexistent/image";
  REFUSED_WITH(EIO, swiftdma_device_add(machine, &device, &added) == -EIO && added == NULL);
  device.image = NULL;
  device.storage_size = 4097;
  REFUSED_WITH(EINVAL, swiftdma_device_add(machine, &device, &added) == -EINVAL);
  static const unsigned int bars[] = {0, 8, 24, 1u << 21, 0x80000001u};
  for (unsigned int index = 0; index < ARRAY_SIZE(bars); index++) {
    memset(&model, 0, sizeof(model));
    model.struct_size = sizeof(model);
    model.bar_size = bars[index];
    REFUSED_WITH(EINVAL, swiftdma_model_add(machine, &model, &added) == -EINVAL && added == NULL);
  }
  memset(&checker, 0, sizeof(checker));
  checker.struct_size = sizeof(checker);
  checker.flags = 4;
  REFUSED_WITH(EINVAL, swiftdma_checker_start(machine, &checker) == -EINVAL);
  REFUSED_WITH(EINVAL, swiftdma_checker_finish(machine) == -EINVAL);
  REFUSED_WITH(EINVAL, swiftdma_guard_start(machine) == -EINVAL);
  REFUSED_WITH(EINVAL, swiftdma_network_deliver(dev, "x", 1, 0) == -EINVAL);
}

static void bad_kernel_calls(void) {
  u32 value = 0;
  REFUSED_WITH(EINVAL, kmalloc(0, GFP_KERNEL) == NULL);
  REFUSED(kmalloc(SIZE_MAX / 2, GFP_KERNEL) == NULL);
  REFUSED_WITH(E2BIG, __get_free_pages(GFP_KERNEL, 11) == 0);
  REFUSED_WITH(E2BIG, __get_free_pages(GFP_KERNEL, ~0ul) == 0);
  REFUSED(vmalloc(0) == NULL);
  REFUSED(vmalloc(~0ul) == NULL);
  for (unsigned int index = 0; index < ARRAY_SIZE(bad_pointers); index++) {
    REFUSED_WITH(EINVAL, (kfree(bad_pointers[index]), 1));
    REFUSED_WITH(EINVAL, (vfree(bad_pointers[index]), 1));
    REFUSED_WITH(EINVAL, (free_pages((unsigned long)bad_pointers[index], 0), 1));
    REFUSED_WITH(EFAULT, readl(bad_pointers[index]) == UINT32_MAX);
    REFUSED_WITH(EFAULT, (writel(1, bad_pointers[index]), 1));
  }
  unsigned long pages = __get_free_pages(GFP_KERNEL, 2);
  REFUSED_WITH(EINVAL, (free_pages(pages, 1), 1));
  REFUSED_WITH(EINVAL, (free_pages(pages + 4096, 0), 1));
  REFUSED_WITH(EINVAL, (kfree((void *)pages), 1));
  free_pages(pages, 2);
  REFUSED_WITH(EINVAL, pci_read_config_dword(dev, 2, &value) == -EINVAL);
  REFUSED_WITH(EINVAL, pci_read_config_dword(dev, 256, &value) == -EINVAL);
  REFUSED_WITH(EINVAL, pci_read_config_dword(dev, -4, &value) == -EINVAL);
  REFUSED(pci_read_config_dword(dev, 0, NULL) == -EINVAL);
  REFUSED_WITH(EINVAL, pci_write_config_word(dev, 1, 0) == -EINVAL);
  REFUSED(pci_find_capability(dev, -1) == 0 && pci_find_capability(dev, 256) == 0);
  REFUSED_WITH(EINVAL, ioremap(0, 4096) == NULL);
  REFUSED_WITH(EINVAL, ioremap(pci_resource_start(dev, 0), 0) == NULL);
  REFUSED_WITH(EINVAL, ioremap(pci_resource_start(dev, 0), 4097) == NULL);
  REFUSED_WITH(EINVAL, ioremap(0x12345000, 1) == NULL);
  char *registers = ioremap(pci_resource_start(dev, 0), 4096);
  CHECK(registers != NULL);
  REFUSED_WITH(EFAULT, readl(registers + 1) == UINT32_MAX);
  REFUSED_WITH(EFAULT, readl(registers + 4093) == UINT32_MAX);
  REFUSED_WITH(EFAULT, readl(registers + 4096) == UINT32_MAX);
  REFUSED_WITH(EFAULT, readq(registers + 4092) == UINT64_MAX);
  iounmap(registers);
  REFUSED_WITH(EFAULT, readl(registers) == UINT32_MAX);
  REFUSED(request_irq(dev->irq, NULL, 0, "x", dev) == -EINVAL);
  REFUSED_WITH(EINVAL, (free_irq(dev->irq, dev), 1));
  REFUSED_WITH(EINVAL, (free_irq(5, dev), 1));
  REFUSED(kmem_cache_create("x", 0, 0, 0, NULL, NULL) == NULL);
  REFUSED(kmem_cache_create(NULL, 1, 0, 0, NULL, NULL) == NULL);
  REFUSED(pci_register_driver(NULL) == -EINVAL);
  REFUSED(scsi_to_pci_dma_dir(4) == PCI_DMA_NONE && scsi_to_pci_dma_dir(255) == PCI_DMA_NONE);
}

static void removed_device(void) {
  dma_addr_t handle = 0, block_handle = 0;
  struct pci_dev *gone = add_probe(machine, 0x600e);
  struct pci_pool *pool = pci_pool_create("left", gone, 64, 0, 0, 0);
  u8 *memory = kmalloc(64, GFP_KERNEL);
  CHECK(pci_pool_alloc(pool, SLAB_ATOMIC, &block_handle) != NULL);
  handle = pci_map_single(gone, memory, 64, PCI_DMA_TODEVICE);
  CHECK(swiftdma_device_remove(gone) == 0);
  REFUSED_WITH(ENODEV, swiftdma_device_remove(gone) == -ENODEV);
  REFUSED_WITH(ENODEV, pci_map_single(gone, memory, 64, PCI_DMA_TODEVICE) == DMA_MAPPING_ERROR);
  REFUSED_WITH(ENODEV, (pci_unmap_single(gone, handle, 64, PCI_DMA_TODEVICE), 1));
  REFUSED_WITH(ENODEV, pci_alloc_consistent(gone, 64, &handle) == NULL);
  REFUSED_WITH(ENODEV, pci_pool_create("x", gone, 64, 0, 0, 0) == NULL);
  REFUSED(swiftdma_model_of(gone) == NULL);
  kfree(memory);
}

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < 5; index++) {
    machine = make_machine(&setups[index], 0);
    dev = add_probe(machine, 1);
    other = add_probe(machine, 2);
    CHECK(pci_enable_device(dev) == 0);
    bad_devices();
    bad_masks();
    bad_consistent();
    bad_single();
    bad_lists();
    bad_pools();
    bad_machines();
    bad_kernel_calls();
    removed_device();
    CHECK(swiftdma_device_live_mappings(dev) == 0 && swiftdma_device_live_consistent(dev) == 0);
    CHECK(swiftdma_machine_destroy(machine) == 0);
    if (index == 0) printf("count: bad input: %d different refusals\n", refusals);
  }
  return result("bad input");
}
