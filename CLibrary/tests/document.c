/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements and traps of the document that are C's: each test carries their numbers, and runs over each
 * mapping, coherent and incoherent. Documentation/requirements.md names these tests. */

#include "check.h"

#define TEST(name, function) {name, function}

static struct swiftdma_machine *machine;
static struct pci_dev *dev;
static struct swiftdma_model *model;
static int is_translated, is_copying;

static void opposite_polarities(void) {
  static const uint64_t masks[] = {0xffffffff, 0x7fffffff, 0x00ffffff, 0xffff, 1, 0, 0xf0};
  for (unsigned int index = 0; index < ARRAY_SIZE(masks); index++) {
    dma_addr_t before = dev->dma_mask;
    int is_supported = pci_dma_supported(dev, masks[index]) != 0;
    int status = pci_set_dma_mask(dev, masks[index]);
    /* Not zero is yes, zero is yes. */
    CHECK(is_supported == (status == 0));
    CHECK(status == 0 || status == -EIO);
    CHECK(dev->dma_mask == (status == 0 ? masks[index] : before));
    if (index < 3) CHECK(is_supported);
    if (index > 3) CHECK(!is_supported);
  }
}

static void two_lengths(void) {
  struct scatterlist sg;
  u8 *memory = kmalloc(100, GFP_KERNEL);
  sg_init_one(&sg, memory, 100);
  CHECK(pci_map_sg(dev, &sg, 1, PCI_DMA_TODEVICE) == 1);
  CHECK(sg_dma_length(&sg) == 100 && sg_dma_len(&sg) == 100);
  pci_unmap_sg(dev, &sg, 1, PCI_DMA_TODEVICE);
  kfree(memory);
}

static int last_level;
static void remember_level(void *context, int level, const char *text) {
  (void)context;
  (void)text;
  last_level = level;
}
static void warning_level(void) {
  swiftdma_set_log(remember_level, NULL);
  printk(KERN_WARN "the sample's name\n");
  CHECK(last_level == 4);
  printk(KERN_WARNING "the text's name\n");
  CHECK(last_level == 4);
  printk(KERN_DEBUG "another\n");
  CHECK(last_level == 7);
  swiftdma_set_log(drop_message, NULL);
}

static void silent_hand_back(void) {
  u8 *memory = kmalloc(256, GFP_KERNEL), bytes[256];
  dma_addr_t handle = pci_map_single(dev, memory, 256, PCI_DMA_FROMDEVICE);
  /* Many frames come into one buffer; after each sync the CPU looks, and says nothing more. */
  for (int frame = 1; frame <= 50; frame++) {
    memset(bytes, frame, sizeof(bytes));
    CHECK(swiftdma_model_write(model, handle, bytes, 256) == 0);
    pci_dma_sync_single(dev, handle, 256, PCI_DMA_FROMDEVICE);
    CHECK(memory[0] == (u8)frame && memory[255] == (u8)frame);
  }
  pci_unmap_single(dev, handle, 256, PCI_DMA_FROMDEVICE);
  /* To the device: what the CPU changed is seen after the one call. */
  memset(memory, 1, 256);
  handle = pci_map_single(dev, memory, 256, PCI_DMA_TODEVICE);
  memset(memory, 2, 256);
  pci_dma_sync_single(dev, handle, 256, PCI_DMA_TODEVICE);
  CHECK(swiftdma_model_read(model, handle, bytes, 256) == 0 && bytes[0] == 2 && bytes[255] == 2);
  pci_unmap_single(dev, handle, 256, PCI_DMA_TODEVICE);
  kfree(memory);
}

static void sync_directions(void) {
  u8 *memory = kmalloc(128, GFP_KERNEL), bytes[128];
  memset(memory, 7, 128);
  dma_addr_t handle = pci_map_single(dev, memory, 128, PCI_DMA_BIDIRECTIONAL);
  CHECK(swiftdma_model_read(model, handle, bytes, 128) == 0 && bytes[127] == 7);
  memset(bytes, 8, 128);
  CHECK(swiftdma_model_write(model, handle, bytes, 64) == 0);
  /* Both ways is no trap: the device's bytes reach the CPU, the CPU's others stay. */
  pci_dma_sync_single(dev, handle, 128, PCI_DMA_BIDIRECTIONAL);
  CHECK(memory[0] == 8 && memory[63] == 8 && memory[64] == 7);
  pci_dma_sync_single_for_cpu(dev, handle, 128, PCI_DMA_BIDIRECTIONAL);
  memory[100] = 9;
  pci_dma_sync_single_for_device(dev, handle, 128, PCI_DMA_BIDIRECTIONAL);
  CHECK(swiftdma_model_read(model, handle, bytes, 128) == 0 && bytes[100] == 9 && bytes[0] == 8);
  pci_unmap_single(dev, handle, 128, PCI_DMA_BIDIRECTIONAL);
  kfree(memory);
}

static void failed_map(void) {
  u8 local[4];
  dma_addr_t handle = pci_map_single(dev, local, 4, PCI_DMA_TODEVICE);
  CHECK(handle == DMA_MAPPING_ERROR && handle != 0);
  CHECK(pci_dma_mapping_error(dev, handle) != 0 && dma_mapping_error(&dev->dev, handle) != 0);
  CHECK(pci_dma_mapping_error(dev, 0) == 0);
  CHECK(swiftdma_last_error() == -EFAULT);
}

static void failed_list(void) {
  struct scatterlist list[3], before[3];
  u8 *memory = kmalloc(512, GFP_KERNEL), local[4];
  memset(list, 0, sizeof(list));
  for (int index = 0; index < 3; index++) {
    list[index].address = (char *)(index == 1 ? local : memory);
    list[index].length = 4;
  }
  memcpy(before, list, sizeof(list));
  CHECK(pci_map_sg(dev, list, 3, PCI_DMA_TODEVICE) == 0);
  CHECK(swiftdma_device_live_mappings(dev) == 0);
  for (int index = 0; index < 3; index++) {
    CHECK(list[index].address == before[index].address && list[index].length == 4);
  }
  kfree(memory);
}

static void *from_interrupt;
static dma_addr_t from_interrupt_handle;
static void allocate_there(int irq, void *device, struct pt_regs *regs) {
  (void)irq;
  (void)regs;
  CHECK(in_interrupt());
  from_interrupt = pci_alloc_consistent(device, 5000, &from_interrupt_handle);
  dma_addr_t handle;
  struct pci_pool *pool = pci_pool_create("there", device, 32, 0, 0, SLAB_ATOMIC);
  CHECK(pool != NULL);
  void *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handle);
  CHECK(block != NULL);
  pci_pool_free(pool, block, handle);
  *(struct pci_pool **)dev->driver_data = pool;
}
static void alloc_in_interrupt(void) {
  struct pci_pool *pool = NULL;
  dev->driver_data = &pool;
  from_interrupt = NULL;
  CHECK(request_irq(dev->irq, allocate_there, 0, "there", dev) == 0);
  CHECK(swiftdma_model_interrupt(model) == 0);
  schedule();
  CHECK(from_interrupt != NULL && pool != NULL);
  pci_free_consistent(dev, 5000, from_interrupt, from_interrupt_handle);
  pci_pool_destroy(pool);
  free_irq(dev->irq, dev);
}

static void natural_alignment(void) {
  static const size_t sizes[] = {1, 4096, 5000, 12288, 20000, 65536};
  for (unsigned int index = 0; index < ARRAY_SIZE(sizes); index++) {
    size_t aligned = 4096;
    dma_addr_t handle = 1;
    while (aligned < sizes[index]) aligned *= 2;
    void *memory = pci_alloc_consistent(dev, sizes[index], &handle);
    CHECK(memory != NULL && (uintptr_t)memory % aligned == 0 && handle % aligned == 0);
    CHECK(handle / 65536 == (handle + sizes[index] - 1) / 65536);
    pci_free_consistent(dev, sizes[index], memory, handle);
  }
}

static void pool_flags(void) {
  for (int bit = 0; bit < 32; bit++) {
    dma_addr_t handle;
    int flags = (int)(1u << bit);
    struct pci_pool *pool = pci_pool_create("flags", dev, 40, 8, 0, flags);
    CHECK(pool != NULL);
    u8 *block = pci_pool_alloc(pool, flags & ~__GFP_WAIT, &handle);
    CHECK(block != NULL && handle % 8 == 0);
    /* The one flag that does something. */
    if (flags == SLAB_POISON) CHECK(block[0] == 0xa9 && block[39] == 0xa9);
    pci_pool_free(pool, block, handle);
    if (flags == SLAB_POISON) CHECK(block[0] == 0xa7 && block[39] == 0xa7);
    pci_pool_destroy(pool);
  }
}

static struct pci_pool *tight;
static void *held_block;
static dma_addr_t held_handle;
static void free_one(int irq, void *device, struct pt_regs *regs) {
  (void)irq;
  (void)device;
  (void)regs;
  if (held_block != NULL) pci_pool_free(tight, held_block, held_handle);
  held_block = NULL;
}
static void waiting_pool(void) {
  /* 24 bits reach little memory: large blocks are soon all taken. A handler frees one while the
   * allocation waits, without any lock of the pool's held. */
  dma_addr_t handles[64];
  void *blocks[64];
  int count = 0;
  CHECK(pci_set_dma_mask(dev, 0x00ffffff) == 0);
  tight = pci_pool_create("tight", dev, 2 << 20, 0, 0, SLAB_KERNEL);
  while (count < 64 && (blocks[count] = pci_pool_alloc(tight, SLAB_ATOMIC, &handles[count])) != NULL) {
    count++;
  }
  if (count == 64) {
    /* A machine with that much low memory has nothing to wait for. */
    CHECK(is_translated);
  } else {
    CHECK(count > 0);
    held_block = blocks[--count];
    held_handle = handles[count];
    CHECK(request_irq(dev->irq, free_one, 0, "free", dev) == 0);
    CHECK(swiftdma_model_interrupt(model) == 0);
    blocks[count] = pci_pool_alloc(tight, SLAB_KERNEL, &handles[count]);
    CHECK(blocks[count] != NULL && held_block == NULL);
    count++;
    free_irq(dev->irq, dev);
  }
  while (count > 0) {
    count--;
    pci_pool_free(tight, blocks[count], handles[count]);
  }
  pci_pool_destroy(tight);
}

static void no_device(void) {
  dma_addr_t handle, block_handle;
  CHECK(pci_dma_supported(NULL, 0x00ffffff) != 0);
  void *memory = pci_alloc_consistent(NULL, 3 * 4096, &handle);
  CHECK(memory != NULL && handle + 4 * 4096 <= 0x01000000);
  struct pci_pool *pool = pci_pool_create("isa", NULL, 64, 64, 0, SLAB_KERNEL);
  void *block = pci_pool_alloc(pool, SLAB_KERNEL, &block_handle);
  CHECK(block != NULL && block_handle + 64 <= 0x01000000);
  pci_pool_free(pool, block, block_handle);
  pci_pool_destroy(pool);
  pci_free_consistent(NULL, 3 * 4096, memory, handle);
}

static void pure_query(void) {
  for (int bits = 1; bits <= 64; bits++) {
    dma_addr_t before = dev->dma_mask;
    int first = pci_dma_supported(dev, DMA_BIT_MASK(bits));
    CHECK(first == pci_dma_supported(dev, DMA_BIT_MASK(bits)) && dev->dma_mask == before);
    /* This machine has memory that 24 bits reach. */
    if (bits >= 24) CHECK(first);
  }
}

static void empty_list(void) {
  struct scatterlist list[1];
  memset(list, 0, sizeof(list));
  CHECK(pci_map_sg(dev, list, 0, PCI_DMA_TODEVICE) == 0);
  CHECK(swiftdma_device_live_mappings(dev) == 0);
}

static void wide_addresses(void) {
  CHECK(sizeof(dma_addr_t) == 8 && (dma_addr_t)-1 > 0);
  CHECK(dma_set_mask_and_coherent(&dev->dev, DMA_BIT_MASK(64)) == 0 && dev->dma_mask == UINT64_MAX);
  void *pages[8];
  int above = 0;
  for (int index = 0; index < 8; index++) {
    pages[index] = (void *)__get_free_pages(GFP_KERNEL, 0);
    dma_addr_t handle = pci_map_single(dev, pages[index], 4096, PCI_DMA_TODEVICE);
    CHECK(handle != DMA_MAPPING_ERROR);
    above += handle >> 32 != 0;
    u8 byte = 1;
    CHECK(swiftdma_model_read(model, handle, &byte, 1) == 0 && byte == 0);
    pci_unmap_single(dev, handle, 4096, PCI_DMA_TODEVICE);
  }
  for (int index = 0; index < 8; index++) free_page((unsigned long)pages[index]);
  (void)above;
}

static void two_values(void) {
  dma_addr_t handle = 0x5555;
  struct pci_pool *pool = pci_pool_create("two", dev, 100, 4, 0, 0);
  u8 *block = pci_pool_alloc(pool, SLAB_ATOMIC, &handle), byte = 0x66;
  CHECK(block != NULL && handle != 0x5555);
  CHECK(swiftdma_model_write(model, handle + 99, &byte, 1) == 0);
  CHECK(((volatile u8 *)block)[99] == 0x66);
  pci_pool_free(pool, block, handle);
  pci_pool_destroy(pool);
}

static void own_allocator(void) {
  /* Regions of 256 bytes, cut from a page by the driver. */
  dma_addr_t page_handle;
  u8 *page = pci_alloc_consistent(dev, 4096, &page_handle);
  for (int index = 0; index < 16; index++) {
    u8 byte = (u8)index;
    CHECK(swiftdma_model_write(model, page_handle + (unsigned int)index * 256, &byte, 1) == 0);
  }
  for (int index = 0; index < 16; index++) CHECK(((volatile u8 *)page)[index * 256] == index);
  pci_free_consistent(dev, 4096, page, page_handle);
}

static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    TEST("T1 R25 the two mask calls say yes in opposite ways", opposite_polarities),
    TEST("T2 both names of the length accessor work", two_lengths),
    TEST("T3 both names of the warning level work", warning_level),
    TEST("T4 a buffer goes back to the device without a call", silent_hand_back),
    TEST("T5 one sync copies as its direction says, both ways too", sync_directions),
    TEST("T6 a failed map is all ones, which no bus address is", failed_map),
    TEST("T7 a list that fails is as it was", failed_list),
    TEST("T8 R46 R64 consistent memory and pools can be had in an interrupt", alloc_in_interrupt),
    TEST("T9 R51 R52 consistent memory is aligned naturally on both sides", natural_alignment),
    TEST("T11 R62 R63 every flag of a pool is harmless, and poison works", pool_flags),
    TEST("T15 R67 a pool that waits is woken by a handler's free", waiting_pool),
    TEST("T20 R45 R60 no device is one of 24 bits", no_device),
    TEST("T22 R16 asking for a mask changes nothing, and 24 bits are served", pure_query),
    TEST("T23 an empty list is refused", empty_list),
    TEST("T24 bus addresses have 64 bits", wide_addresses),
    TEST("R68 a block comes with its two addresses", two_values),
    TEST("R55 a driver can cut pages up itself", own_allocator),
};

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < SETUP_COUNT; index++) {
    for (unsigned int test = 0; test < ARRAY_SIZE(tests); test++) {
      int before = failures;
      is_translated = setups[index].mapping >= SWIFTDMA_IOMMU_STRICT;
      is_copying = setups[index].mapping == SWIFTDMA_BOUNCE_ALL;
      machine = make_machine(&setups[index], 0);
      dev = add_probe(machine, 0x7e57);
      model = swiftdma_model_of(dev);
      tests[test].run();
      CHECK(swiftdma_device_live_mappings(dev) == 0 && swiftdma_device_live_consistent(dev) == 0);
      CHECK(swiftdma_machine_destroy(machine) == 0);
      if (failures != before) fprintf(stderr, "error: %s, over %s\n", tests[test].name, setups[index].name);
    }
  }
  printf("count: document: %zu tests over %d setups\n", ARRAY_SIZE(tests), SETUP_COUNT);
  return result("document");
}
